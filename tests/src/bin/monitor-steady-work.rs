//! Works at a steady pace: connections, and now and then a program.
//!
//! `monitor-steady-work ADDRESS:PORT RATE SECONDS` connects a UDP socket so many
//! times a second (no packet is sent), and starts `/bin/true` once in a while.
//! Where the machine is too slow for the pace it does what it can, and says how
//! much that was, in JSON.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

/// Connections for each program that is started.
const CONNECTS_FOR_A_PROGRAM: u64 = 500;
/// Between two portions of work.
const TICK: Duration = Duration::from_millis(2);
const USAGE: &str = "usage: monitor-steady-work ADDRESS:PORT RATE SECONDS";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, rate, seconds] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (Ok(address), Ok(rate), Ok(seconds)) = (address.parse(), rate.parse(), seconds.parse())
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match work(address, rate, Duration::from_secs(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "its result")]
fn work(address: SocketAddr, rate: u64, length: Duration) -> io::Result<()> {
    let socket = UdpSocket::bind(if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    })?;
    let (mut connects, mut programs, start) = (0, 0, Instant::now());
    while start.elapsed() < length {
        let due = due(rate, start.elapsed());
        // So many at most before it looks at the time again.
        let next = due.min(connects + CONNECTS_FOR_A_PROGRAM);
        for _ in connects..next {
            socket.connect(address)?;
        }
        connects = next;
        if connects / CONNECTS_FOR_A_PROGRAM > programs {
            Command::new("/bin/true").status()?;
            programs += 1;
        }
        if connects == due {
            thread::sleep(TICK);
        }
    }
    let took = start.elapsed().as_millis();
    println!("{{\"connects\":{connects},\"programs\":{programs},\"milliseconds\":{took}}}");
    Ok(())
}

/// How many should have been done by now.
fn due(rate: u64, elapsed: Duration) -> u64 {
    let done = u128::from(rate) * elapsed.as_micros() / 1_000_000;
    u64::try_from(done).unwrap_or(u64::MAX)
}
