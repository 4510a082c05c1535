//! A tenant's small TCP service: says its tenant's name to whoever connects.
//!
//! `monitor-tenant-service ADDRESS:PORT NAME`

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long one client may keep the service from the next.
const CLIENT_WITHIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, name] = arguments.as_slice() else {
        eprintln!("usage: monitor-tenant-service ADDRESS:PORT NAME");
        return ExitCode::from(2);
    };
    match serve(address, name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: &str, name: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    eprintln!("{name} listens on {}", listener.local_addr()?);
    for client in listener.incoming() {
        // A client that goes away in the middle is no reason to end.
        if let Err(error) = client.and_then(|client| answer(client, name)) {
            eprintln!("client: {error}");
        }
    }
    Ok(())
}

fn answer(mut client: TcpStream, name: &str) -> io::Result<()> {
    client.set_read_timeout(Some(CLIENT_WITHIN))?;
    client.set_write_timeout(Some(CLIENT_WITHIN))?;
    let mut request = [0; 1024];
    let _ = client.read(&mut request)?;
    write!(
        client,
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{name}\n",
        name.len().saturating_add(1)
    )
}
