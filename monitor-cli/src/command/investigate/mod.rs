//! `investigate`: what an engineer's sessions did, touched and reached.
//!
//! In: sessions, events, alerts and orders, through the public API. Out: one
//! story; on demand a graph of it. Bound: the maxima of [`fetch`]; what is
//! beyond them is said to be missing.
//!
//! # Layout
//! - [`fetch`]: asks the collector; the only part that does.
//! - [`story`]: puts it together, from [`steps`]. [`uses`]: which connections used
//!   a credential, by the `family` of processes.
//! - [`graph`]: the blast radius; [`dot`] and [`svg`] write it.
//! - `print`: shows the story.

use std::path::Path;

use monitor_model::clock::{Clock as _, SystemClock};

use self::{fetch::Asked, graph::Graph, story::Story};
use crate::{
    cli::Investigate,
    connection::Connection,
    error::CliError,
    output::{Screen, json::Record},
};

pub mod dot;
mod family;
pub mod fetch;
pub mod graph;
mod print;
pub mod steps;
pub mod story;
pub mod svg;
pub mod uses;

/// Tells the story, and writes the graph where that is asked for.
///
/// # Errors
/// [`CliError::NotFound`] when nothing of the engineer is known in that time;
/// [`CliError::File`] for a graph that cannot be written; else as the
/// connection tells it.
pub async fn run(
    asked: &Investigate,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let now = SystemClock.now();
    let question = Asked {
        engineer: asked.engineer.clone(),
        since: asked.since.instant(now),
        until: asked.until.map_or(now, |until| until.instant(now)),
    };
    if question.since >= question.until {
        let text = "--until does not lie after --since: give a later one, or leave it out";
        return Err(CliError::Usage(text.to_owned()));
    }
    let story = Story::of(fetch::material(question, connection).await?);
    if story.sessions.is_empty() && story.timeline.is_empty() {
        return Err(CliError::NotFound(format!(
            "no session, event or alert of {} is known of that time",
            asked.engineer
        )));
    }
    let graph = Graph::of(&story);
    if let Some(path) = &asked.dot {
        write(path, &dot::text(&graph))?;
    }
    if let Some(path) = &asked.svg {
        write(path, &svg::text(&graph))?;
    }
    if screen.is_table() || screen.is_csv() {
        return print::print(&story, screen);
    }
    screen.record(&Record::new("investigation").with("investigation", &story))?;
    Ok(screen.flush()?)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text).map_err(|source| CliError::File {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests;
