//! A listener whose connections can be cut, dripped and dropped in the middle of an answer.
//!
//! Guards: what a fault does to a connection is done below HTTP, where a real network does it; every other
//! connection is a plain TCP stream. Deliberately not here: which request gets which fate.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::clock::{SharedClock, Sleep};

/// What becomes of the bytes of the answer that is being written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// They go out.
    #[default]
    Plain,
    /// The head and so many bytes of the body go out, then the connection ends.
    Cut { body_bytes: usize },
    /// A few bytes go out, then a pause, and so on.
    Drip { pause: Duration },
    /// Nothing goes out: the connection ends.
    Drop,
}

/// The handle on one connection that its requests carry.
#[derive(Clone, Debug, Default)]
pub(super) struct Switch(Arc<Mutex<Fate>>);

impl Switch {
    /// What becomes of the next answer.
    pub(super) fn set(&self, fate: Fate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fate;
    }

    fn get(&self) -> Fate {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, Listener>> for Switch {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().switch.clone()
    }
}

/// Accepts the connections.
#[derive(Debug)]
pub(super) struct Listener {
    tcp: TcpListener,
    clock: SharedClock,
    stop: CancellationToken,
}

impl Listener {
    pub(super) async fn bind(
        address: SocketAddr,
        clock: SharedClock,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        Ok(Self { tcp: TcpListener::bind(address).await?, clock, stop })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl axum::serve::Listener for Listener {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((stream, address)) => {
                    // Only a matter of speed, and answers are whole in one write anyhow.
                    let _ = stream.set_nodelay(true);
                    return (Line::new(stream, self.clock.clone(), &self.stop), address);
                }
                // The peer went away, or files have run out: the next one may do better.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// One connection.
pub(super) struct Line {
    stream: TcpStream,
    switch: Switch,
    clock: SharedClock,
    pause: Option<Sleep>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Line {
    fn new(stream: TcpStream, clock: SharedClock, stop: &CancellationToken) -> Self {
        let stopped = Box::pin(stop.clone().cancelled_owned());
        Self { stream, switch: Switch::default(), clock, pause: None, stopped }
    }

    fn write_cut(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        body_bytes: usize,
    ) -> Poll<io::Result<usize>> {
        // The server writes an answer's whole head at once, so its end is in the first bytes or there is none.
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        let allowed = bytes.len().min(head + body_bytes);
        if allowed == 0 {
            self.switch.set(Fate::Drop);
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..allowed]))?;
        if written == allowed {
            self.switch.set(Fate::Drop);
        }
        Poll::Ready(Ok(written))
    }

    fn write_drip(&mut self, cx: &mut Context<'_>, bytes: &[u8], pause: Duration) -> Poll<io::Result<usize>> {
        const DROPS_OF: usize = 16;
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some(waiting) = &mut self.pause {
            ready!(waiting.as_mut().poll(cx));
            self.pause = None;
        }
        let few = &bytes[..bytes.len().min(DROPS_OF)];
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, few))?;
        self.pause = Some(self.clock.sleep_until(self.clock.now().plus(pause)));
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.switch.get() {
            Fate::Plain => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Fate::Cut { body_bytes } => self.write_cut(cx, bytes, body_bytes),
            Fate::Drip { pause } => self.write_drip(cx, bytes, pause),
            Fate::Drop => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
