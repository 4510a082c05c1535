//! Turmoil's connections, as tonic and the crates take them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use monitor_transport::dial::{Connection, Dial, Dialling};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};
use turmoil::net::{TcpListener, TcpStream};

/// Connections that wait to be served.
const WAITING_MAX: usize = 64;

/// The simulated network, to dial in.
#[derive(Clone, Copy, Debug)]
pub struct Network;

impl Dial for Network {
    fn dial(&self, host: String, port: u16) -> Dialling {
        Box::pin(async move {
            let stream: Box<dyn Connection> = Box::new(TcpStream::connect((host, port)).await?);
            Ok(stream)
        })
    }
}

/// One connection at a server.
#[derive(Debug)]
pub struct Line(TcpStream);

/// Listens on every address of the host; the task ends with the host.
///
/// # Errors
/// The port is taken.
pub async fn listen(port: u16) -> io::Result<ReceiverStream<io::Result<Line>>> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    let (lines, incoming) = mpsc::channel(WAITING_MAX);
    tokio::task::spawn_local(async move {
        loop {
            let line = listener.accept().await.map(|(stream, _)| Line(stream));
            if lines.send(line).await.is_err() {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(incoming))
}

impl Connected for Line {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo {
            local_addr: self.0.local_addr().ok(),
            remote_addr: self.0.peer_addr().ok(),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
