use serde_json::json;

use super::super::expect::Expectations;
use super::*;

fn sight(text: &str) -> Sight {
    let text = format!("title = 'x'\nneeds = []\n[[expect]]\n{text}");
    Expectations::read(&text).unwrap().expect.remove(0)
}

fn read_of(inode: u64, session: Option<&str>, verdict: &str) -> Fact {
    let value = json!({
        "type": "event", "what": "cat read", "verdict_text": verdict,
        "event": {
            "id": format!("j/b/p0/{inode}"),
            "attribution": {"session": session, "reason": session.is_none().then_some("no_mark")},
            "process": {"uid": 0, "exe": {"text": "/usr/bin/cat"}},
            "action": {"kind": "credential", "operation": "read",
                       "object": {"device": 8, "inode": inode, "generation": 0}}
        },
        "judgement": {"verdict": {"verdict": verdict}}
    });
    Fact {
        seen_unix_ns: 0,
        value,
    }
}

fn names() -> Names {
    let object = Object {
        device: 8,
        inode: 5,
    };
    Names {
        objects: [("K".to_owned(), vec![object])].into(),
        variables: vec![
            ("PEER4".to_owned(), "10.21.0.10".to_owned()),
            ("PORT".to_owned(), "9000".to_owned()),
            ("P".to_owned(), "wrong".to_owned()),
        ],
        own: "S1".to_owned(),
        inner: vec!["S4".to_owned()],
        other: "S2".to_owned(),
    }
}

const READ: &str =
    "kind='credential'\noperation='read'\nobject='K'\nprogram='cat'\nverdict='in_scope'";

#[test]
fn event_of_the_object_and_the_session_is_right() {
    let found = look_for(
        &sight(READ),
        &[read_of(5, Some("S1"), "in_scope")],
        &names(),
    );
    assert!(found.is_right(), "{found:?}");
    assert_eq!((found.attributed, found.judged), (Some(true), Some(true)));
}

#[test]
fn other_object_is_not_the_one() {
    let found = look_for(
        &sight(READ),
        &[read_of(6, Some("S1"), "in_scope")],
        &names(),
    );
    assert!(!found.seen);
    assert!(
        found.differs[0].contains("seen 0 times instead of 1"),
        "{found:?}"
    );
}

#[test]
fn second_event_of_one_read_is_one_too_many() {
    let twice = [
        read_of(5, Some("S1"), "in_scope"),
        read_of(5, Some("S1"), "in_scope"),
    ];
    assert!(!look_for(&sight(READ), &twice, &names()).seen);
    assert!(look_for(&sight(&format!("{READ}\ncount=2")), &twice, &names()).is_right());
    assert!(look_for(&sight(&format!("{READ}\nat_least=1")), &twice, &names()).is_right());
}

#[test]
fn event_that_is_given_to_another_is_seen_and_wrongly_attributed() {
    for (session, word) in [
        (Some("S2"), "other engineer"),
        (None, "nobody"),
        (Some("S9"), "S9"),
    ] {
        let found = look_for(&sight(READ), &[read_of(5, session, "in_scope")], &names());
        assert!(found.seen && found.attributed == Some(false));
        assert!(found.differs[0].contains(word), "{found:?}");
    }
}

#[test]
fn wrong_verdict_is_told() {
    let found = look_for(
        &sight(READ),
        &[read_of(5, Some("S1"), "out_of_scope")],
        &names(),
    );
    assert_eq!(
        (found.seen, found.attributed, found.judged),
        (true, Some(true), Some(false))
    );
}

#[test]
fn what_must_not_be_said_is_found_by_all_that_is_given() {
    let facts = [read_of(5, Some("S2"), "in_scope")];
    let says = |more: &str| {
        look_for_forbidden(
            &sight(&format!("kind='credential'\n{more}")),
            &facts,
            &names(),
        )
        .len()
    };
    assert_eq!(says(""), 1);
    assert_eq!(says("session='own'"), 0);
    assert_eq!(says("session='other'"), 1);
    assert_eq!(says("verdict='out_of_scope'"), 0);
}

#[test]
fn fields_are_compared_as_texts_numbers_and_parts() {
    let facts = [read_of(5, Some("S1"), "in_scope")];
    let is = |field: &str| {
        look_for(
            &sight(&format!("kind='credential'\nfields={{ {field} }}")),
            &facts,
            &names(),
        )
        .seen
    };
    assert!(is("operation='read'") && is("operation=['write','read']") && is("operation='~ea'"));
    assert!(is("'object.device'=8") && is("'/event/process/uid'=0") && is("'object.inode'='*'"));
    assert!(!is("operation='write'") && !is("nothing='*'") && !is("'object.device'=9"));
}

#[test]
fn destinations_are_addresses_and_not_texts() {
    let value = json!({"type": "event", "event": {"id": "j/b/p0/1", "attribution": {"session": "S1"},
        "action": {"kind": "connect", "destination": {"address": "10.21.0.10", "port": 9000}}}});
    let facts = [Fact {
        seen_unix_ns: 0,
        value,
    }];
    let is = |to: &str| {
        look_for(
            &sight(&format!("kind='connect'\ndestination='{to}'")),
            &facts,
            &names(),
        )
        .seen
    };
    assert!(is("$PEER4:$PORT") && is("*:9000") && is("10.21.0.10:*"));
    assert!(!is("10.21.0.11:9000") && !is("$PEER4:1"));
}

#[test]
fn each_event_is_counted_as_right_unnamed_or_wrong() {
    let events = [Some("S1"), None, Some("S2"), Some("S4")].map(|one| read_of(5, one, "in_scope"));
    let count = |session: &str| {
        let found = look_for(
            &sight(&format!("{READ}\ncount=4\n{session}")),
            &events,
            &names(),
        );
        (found.right, found.unnamed, found.wrong, found.attributed)
    };
    assert_eq!(count(""), (1, 1, 2, Some(false)));
    assert_eq!(count("session=['own','inner']"), (2, 1, 1, Some(false)));
    assert_eq!(
        count("session=['own','inner','none','other']"),
        (3, 1, 0, Some(true))
    );
    assert_eq!(count("session='any'"), (3, 1, 0, None));
}

#[test]
fn grade_and_reason_are_told_where_they_differ() {
    let mut event = read_of(5, Some("S1"), "in_scope");
    event.value["event"]["attribution"]["lineage"] = "kernel".into();
    let right = look_for(
        &sight(&format!("{READ}\nlineage=['linked','kernel']")),
        &[event.clone()],
        &names(),
    );
    assert!(right.is_right(), "{right:?}");
    let wrong = look_for(
        &sight(&format!("{READ}\nlineage='linked'\nreason='no_mark'")),
        &[event],
        &names(),
    );
    assert_eq!(wrong.attributed, Some(false));
    assert_eq!(
        wrong.differs,
        [
            "1: lineage \"kernel\" instead of linked",
            "1: reason \"\" instead of no_mark"
        ]
    );
}

#[test]
fn event_of_nobody_must_say_why() {
    let text = format!("{READ}\nsession='none'\nreason='no_mark'");
    let mut event = read_of(5, None, "in_scope");
    let found = look_for(&sight(&text), std::slice::from_ref(&event), &names());
    assert!(found.is_right(), "{found:?}");
    event.value["event"]["attribution"]["reason"] = serde_json::Value::Null;
    let found = look_for(
        &sight(&format!("{READ}\nsession='none'")),
        &[event],
        &names(),
    );
    assert_eq!(found.differs, ["1: no session, and no reason why"]);
}
