//! A listener that can cut, delay or drop the answer on a connection.
//!
//! Guards: faults of a connection happen below HTTP, as in a real network. Without a fault a connection is a plain TCP
//! stream. Not here: which request gets which fault (`faults`).

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

/// What happens to the bytes of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ResponseFault {
    /// They are sent.
    #[default]
    Plain,
    /// The head and this many bytes of the body are sent, then the connection closes.
    Cut { body_bytes: usize },
    /// They are sent a few at a time, with pauses.
    Drip { pause: Duration },
    /// Nothing is sent: the connection closes.
    Drop,
}

/// Sets the fault of one connection; each request carries it.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultHandle(Arc<Mutex<ResponseFault>>);

impl FaultHandle {
    /// Sets the fault of the next answer.
    pub(super) fn set(&self, fault: ResponseFault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn get(&self) -> ResponseFault {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, Listener>> for FaultHandle {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().fault.clone()
    }
}

/// Accepts connections.
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
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((stream, address)) => {
                    // It only affects speed, and an answer is one write anyway.
                    let _ = stream.set_nodelay(true);
                    return (Connection::new(stream, self.clock.clone(), &self.stop), address);
                }
                // The peer is gone, or no file descriptor is free; the next attempt may succeed.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    fault: FaultHandle,
    clock: SharedClock,
    pause: Option<Sleep>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    fn new(stream: TcpStream, clock: SharedClock, stop: &CancellationToken) -> Self {
        let stopped = Box::pin(stop.clone().cancelled_owned());
        Self { stream, fault: FaultHandle::default(), clock, pause: None, stopped }
    }

    fn write_cut(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        body_bytes: usize,
    ) -> Poll<io::Result<usize>> {
        // The server writes the whole head at once, so the first bytes contain its end.
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        let allowed = bytes.len().min(head + body_bytes);
        if allowed == 0 {
            self.fault.set(ResponseFault::Drop);
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..allowed]))?;
        if written == allowed {
            self.fault.set(ResponseFault::Drop);
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
        let part = &bytes[..bytes.len().min(DROPS_OF)];
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
        self.pause = Some(self.clock.sleep_until(self.clock.now().plus(pause)));
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.fault.get() {
            ResponseFault::Plain => Pin::new(&mut self.stream).poll_write(cx, bytes),
            ResponseFault::Cut { body_bytes } => self.write_cut(cx, bytes, body_bytes),
            ResponseFault::Drip { pause } => self.write_drip(cx, bytes, pause),
            ResponseFault::Drop => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
