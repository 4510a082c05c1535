//! What it costs a session's connections that they are held to its grants: a
//! measurement, which runs when it is asked for.
//!
//! `cargo test -p monitor-agent --test kernel scope_cost -- --ignored --nocapture`

use std::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

use monitor_agent::{enforce::kernel::Scopes as _, kernel::SessionMark};
use monitor_common::scope::{SCOPE_GRANTED, SCOPE_GRANTS_MAX, SCOPE_REFUSED};
use monitor_model::enforce::Away;

use crate::{
    actor::Actor,
    enforce::{LEASE, compiled, holds, stands},
    rig::{Rig, Seen},
};

/// Connections of one round.
const CONNECTIONS: u32 = 500;
/// Rounds of each kind, in turns.
const ROUNDS: usize = 21;
/// Networks of each grant.
const NETWORKS: u32 = 1_000;

/// Connects, accepts and closes; says how many nanoseconds one took.
pub(crate) fn connect_often(address: &str) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let started = Instant::now();
    for _ in 0..CONNECTIONS {
        let connected = TcpStream::connect(address).unwrap();
        drop((listener.accept().unwrap(), connected));
    }
    println!("{}", (started.elapsed() / CONNECTIONS).as_nanos());
}

/// Some hundred networks of a grant, and the one that is connected to.
fn grant(number: u32) -> Vec<String> {
    let network = |at: u32| {
        let [_, high, middle, low] = (number * NETWORKS + at).to_be_bytes();
        format!("10.{high}.{middle}.{low}/32")
    };
    let own = (number == 1).then(|| "127.0.0.7/32".to_owned());
    (0..NETWORKS).map(network).chain(own).collect()
}

fn median(mut nanoseconds: Vec<u64>) -> u64 {
    nanoseconds.sort_unstable();
    nanoseconds[nanoseconds.len() / 2]
}

#[test]
#[ignore = "a measurement"]
fn what_a_connection_costs_that_is_held_to_grants() {
    let Some(mut rig) = Rig::new() else { return };
    rig.probes.lease(Some(LEASE), Away::Keep).unwrap();
    let grants = u32::try_from(SCOPE_GRANTS_MAX).unwrap();
    for number in 1..=grants {
        let networks = grant(number);
        let granted: &[(u16, u8)] = &[(0, SCOPE_GRANTED)];
        let said: Vec<_> = networks.iter().map(|it| (it.as_str(), granted)).collect();
        let cells = compiled(number, SCOPE_REFUSED, &said);
        rig.probes.put_scope(&cells).unwrap();
    }
    let held = SessionMark([0x31; 16]);
    let most = SessionMark([0x32; 16]);
    stands(&rig, held, &[holds(1)]);
    // The one that opens it is the last that is asked.
    let all: Vec<_> = (1..=grants).rev().map(holds).collect();
    stands(&rig, most, &all);
    let kinds = [
        ("no session", None),
        ("a session that is held to nothing", Some(rig.mark)),
        ("held to one grant", Some(held)),
        ("held to as many grants as a session may have", Some(most)),
    ];
    let mut took = vec![Vec::new(); kinds.len()];
    for _round in 0..ROUNDS {
        for ((_, mark), took) in kinds.iter().zip(&mut took) {
            let actor = Actor::new(&["connect often", "127.0.0.7"]);
            let actor = match mark {
                Some(mark) => actor.marked(&rig.probes, *mark),
                None => actor,
            };
            let said = actor.act();
            let line = said.lines().find_map(|line| line.trim().parse().ok());
            took.push(line.unwrap());
            if let Some(mark) = mark {
                // What was told makes room.
                let is_end = |seen: &Seen| matches!(seen, Seen::SessionEnded(_));
                rig.collect_of(*mark, |seen| seen.iter().any(is_end));
            }
        }
    }
    println!(
        "TCP connect, accept and close over loopback, {CONNECTIONS} in each of {ROUNDS} rounds, medians"
    );
    println!("{grants} grants of {NETWORKS} networks each");
    for ((name, _), took) in kinds.iter().zip(took) {
        println!("{name}: {} ns", median(took));
    }
}
