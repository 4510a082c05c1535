//! One line an event on the screen, as it happens, and what the engineer does
//! in between.
//!
//! Coloured only on a terminal. What belongs to no session of the scene is
//! counted and told at the end, not shown.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::clock::{now_unix_ns, time_of_day};
use crate::facts::Fact;
use crate::steps::{Times, in_words};

/// Which events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Those of sessions, and what the agent says of itself.
    Sessions,
    /// Those of logins, bound or not, and every credential and connection.
    Host,
    /// None: a test is looking.
    Nothing,
}

/// The look of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Doubtful,
    Alarm,
}

impl Look {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Doubtful => "\x1b[33m",
            Self::Alarm => "\x1b[1;31m",
        }
    }
}

/// The screen.
#[derive(Debug)]
pub struct Timeline {
    show: Show,
    is_coloured: bool,
    hidden: AtomicUsize,
    screen: Mutex<io::Stdout>,
}

impl Timeline {
    /// A screen on standard output.
    #[must_use]
    pub fn new(show: Show) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            show,
            is_coloured: io::stdout().is_terminal() && !no_color,
            hidden: AtomicUsize::new(0),
            screen: Mutex::new(io::stdout()),
        }
    }

    /// How many events were not shown.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden.load(Ordering::Relaxed)
    }

    /// The names of the columns.
    pub fn head(&self) {
        let head = row(
            "TIME (UTC)",
            ["ENGINEER", "SESSION", "TENANT"],
            "WHAT",
            "VERDICT",
        );
        self.line(&self.paint(Look::Bold, &head));
    }

    /// What the engineer does, or what the stage does.
    pub fn tells(&self, text: &str) {
        let line = format!("{}  >> {text}", time_of_day(now_unix_ns()));
        self.line(&self.paint(Look::Bold, &line));
    }

    /// A line of plain text.
    pub fn says(&self, text: &str) {
        self.line(text);
    }

    /// An event or an alert.
    pub fn shows(&self, fact: &Fact) {
        if !self.is_shown(fact) {
            self.hidden.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match fact.text("/type") {
            "event" => self.line(&self.event(fact)),
            "alert" => self.line(&self.paint(Look::Alarm, &alert(fact))),
            other => self.line(&format!(
                "{}  {other}: {}",
                time_of_day(fact.seen_unix_ns),
                fact.value
            )),
        }
    }

    /// The times from the kernel event on, and their names.
    pub fn table(&self, times: &Times) {
        self.line("");
        self.line(&self.paint(Look::Bold, "From the kernel event that revoked to"));
        for (name, at) in times.later() {
            let time = times
                .since_event_ms(at)
                .map_or_else(|| "not seen".to_owned(), |ms| format!("{ms:.1} ms"));
            self.line(&format!("  {:<40} {time:>12}", in_words(name)));
        }
    }

    fn is_shown(&self, fact: &Fact) -> bool {
        let kind = fact.text("/event/action/kind");
        let login =
            !fact.session().is_empty() || fact.number("/event/process/audit_session").is_some();
        match (self.show, fact.text("/type")) {
            (Show::Nothing, _) | (_, "heartbeat") => false,
            (_, "event") => {
                let of_agent = fact
                    .value
                    .pointer("/event/process")
                    .is_none_or(serde_json::Value::is_null);
                let touches = matches!(kind, "credential" | "connect");
                !matches!(kind, "fork" | "exit")
                    && match self.show {
                        Show::Sessions => !fact.session().is_empty() || of_agent,
                        Show::Host | Show::Nothing => login || of_agent || touches,
                    }
            }
            _ => true,
        }
    }

    fn event(&self, fact: &Fact) -> String {
        let at = fact.number("/event/at").unwrap_or(fact.seen_unix_ns);
        let look = match fact.verdict() {
            "in_scope" => Look::Good,
            "out_of_scope" => Look::Bad,
            "unattributed" => Look::Doubtful,
            "exempt" => Look::Dim,
            _ => Look::Plain,
        };
        let verdict = self.paint(look, fact.text("/verdict_text"));
        row(&time_of_day(at), who(fact), fact.text("/what"), &verdict)
    }

    fn paint(&self, look: Look, text: &str) -> String {
        if self.is_coloured && look != Look::Plain {
            format!("{}{text}\x1b[0m", look.code())
        } else {
            text.to_owned()
        }
    }

    fn line(&self, text: &str) {
        if self.show == Show::Nothing {
            return;
        }
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        // A screen that was closed is no reason to leave the stage standing.
        let _ = writeln!(screen, "{text}").and_then(|()| screen.flush());
    }
}

fn alert(fact: &Fact) -> String {
    let at = fact.number("/alert/at").unwrap_or(fact.seen_unix_ns);
    format!(
        "{}  ALERT {} {}: {} -> {}",
        time_of_day(at),
        fact.text("/alert/severity"),
        fact.text("/alert/rule"),
        fact.text("/alert/sentence"),
        fact.text("/alert/response"),
    )
}

/// Engineer, session and tenant; a session's last letters tell it apart.
fn who(fact: &Fact) -> [&str; 3] {
    let session = fact.session();
    let last = session
        .get(session.len().saturating_sub(6)..)
        .unwrap_or(session);
    [
        fact.principal(),
        last,
        fact.text("/event/attribution/tenant"),
    ]
    .map(|text| if text.is_empty() { "-" } else { text })
}

fn row(time: &str, who: [&str; 3], what: &str, verdict: &str) -> String {
    let [engineer, session, tenant] = who;
    format!("{time:<12}  {engineer:<8}  {session:<7}  {tenant:<8}  {what:<64}  {verdict}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fact(value: serde_json::Value) -> Fact {
        Fact {
            seen_unix_ns: 0,
            value,
        }
    }

    #[test]
    fn event_of_no_session_is_counted_and_not_shown() {
        let timeline = Timeline::new(Show::Sessions);
        let of_nobody = json!({"type": "event", "event": {
            "action": {"kind": "exec"}, "process": {"pid": 1}, "attribution": {"session": null}}});
        timeline.shows(&fact(of_nobody));
        assert_eq!(timeline.hidden(), 1);
    }

    #[test]
    fn line_names_engineer_session_tenant_what_and_verdict() {
        let timeline = Timeline::new(Show::Sessions);
        let line = timeline.event(&fact(json!({"type": "event",
            "event": {"at": 1_700_000_000_123_456_789_u64, "action": {"kind": "exec"},
                "attribution": {"session": "01JG3Y2E8QW0X9V5T4R3S2A1B0", "principal": "alice", "tenant": "acme"}},
            "what": "ran /usr/bin/id", "verdict_text": "in scope", "judgement": {"verdict": {"verdict": "in_scope"}}})));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words[..5],
            ["22:13:20.123", "alice", "S2A1B0", "acme", "ran"]
        );
        assert!(line.contains("in scope"), "{line}");
    }
}
