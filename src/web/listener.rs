//! Connections with a limit on their number, time and size.
//!
//! Guards: a connection that sends no complete request, or reads no answer, for half a minute is closed, and so is one that
//! sends more than a request needs. Not here: requests.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::{SharedClock, Sleep};

/// Deadline for the first request of a connection.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(5);
/// Deadline from one answer to the next, so also the lifetime of an idle connection.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Maximum of bytes received from one answer to the next: several request heads. No request has a body.
const MAX_BYTES: usize = 32 * 1024;
/// Wait after a failed accept, which usually means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A listener with a maximum number of connections.
pub(super) struct Bounded {
    listener: TcpListener,
    free: Arc<Semaphore>,
    clock: SharedClock,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, connections: usize, clock: SharedClock) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(connections)), clock }
    }
}

impl Listener for Bounded {
    type Io = Timed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed, SocketAddr) {
        loop {
            let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else {
                // The semaphore is never closed.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => return (Timed::new(stream, permit, self.clock.clone()), peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.clock.sleep_until(self.clock.now().plus(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Address of the client.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection with its permit and its deadline. Only bytes that are sent extend the deadline, so a slow request does not.
pub(super) struct Timed {
    stream: TcpStream,
    deadline: Sleep,
    unanswered_bytes: usize,
    clock: SharedClock,
    _permit: OwnedSemaphorePermit,
}

impl Timed {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit, clock: SharedClock) -> Self {
        let deadline = clock.sleep_until(clock.now().plus(FIRST_REQUEST_TIME));
        Self { stream, deadline, unanswered_bytes: 0, clock, _permit: permit }
    }

    /// The timeout error, once the deadline has passed.
    fn late<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn extend_deadline(&mut self) {
        self.unanswered_bytes = 0;
        self.deadline = self.clock.sleep_until(self.clock.now().plus(IDLE_TIME));
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(done) => {
                self.unanswered_bytes += buffer.filled().len() - before;
                if self.unanswered_bytes > MAX_BYTES {
                    return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
                }
                Poll::Ready(done)
            }
            Poll::Pending => self.late(context),
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(done) => {
                self.extend_deadline();
                Poll::Ready(done)
            }
            Poll::Pending => self.late(context),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::clock::ManualClock;
    use crate::time::Timestamp;

    const ALMOST: Duration = Duration::from_millis(29_999);

    async fn pair(connections: usize) -> (ManualClock, Bounded, TcpStream) {
        let clock = ManualClock::at(Timestamp::from_ms(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bounded = Bounded::new(listener, connections, Arc::new(clock.clone()));
        let client = TcpStream::connect(bounded.local_addr().unwrap()).await.unwrap();
        (clock, bounded, client)
    }

    #[tokio::test]
    async fn a_request_that_drips_is_cut_off() {
        let (clock, mut bounded, mut client) = pair(1).await;
        let (mut server, _) = bounded.accept().await;
        let mut byte = [0];
        client.write_all(b"G").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        clock.advance(ALMOST);
        client.write_all(b"E").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        clock.advance(Duration::from_millis(1));
        assert_eq!(server.read(&mut byte).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_request_without_end_is_cut_off_and_an_answer_makes_room_for_the_next() {
        let (_clock, mut bounded, mut client) = pair(1).await;
        let (mut server, _) = bounded.accept().await;
        let mut bytes = vec![0; MAX_BYTES];
        for _ in 0..2 {
            client.write_all(&bytes).await.unwrap();
            server.read_exact(&mut bytes).await.unwrap();
            server.write_all(b"ok").await.unwrap();
        }
        client.write_all(&bytes).await.unwrap();
        server.read_exact(&mut bytes).await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[tokio::test]
    async fn an_answer_gives_new_time() {
        let (clock, mut bounded, _client) = pair(1).await;
        let (mut server, _) = bounded.accept().await;
        clock.advance(ALMOST);
        server.write_all(b"ok").await.unwrap();
        let waker = std::task::Waker::noop();
        let mut byte = [0];
        for (advance, late) in [(ALMOST, false), (Duration::from_millis(1), true)] {
            clock.advance(advance);
            let mut reading = std::pin::pin!(server.read(&mut byte));
            let polled = reading.as_mut().poll(&mut Context::from_waker(waker));
            assert_eq!(matches!(polled, Poll::Ready(Err(_))), late);
        }
    }

    #[tokio::test]
    async fn nobody_is_accepted_above_the_limit() {
        let (_clock, mut bounded, _client) = pair(1).await;
        let (first, _) = bounded.accept().await;
        let _second = TcpStream::connect(bounded.local_addr().unwrap()).await.unwrap();
        let waker = std::task::Waker::noop();
        {
            let mut accepting = std::pin::pin!(bounded.accept());
            let polled = accepting.as_mut().poll(&mut Context::from_waker(waker));
            assert!(polled.is_pending(), "the only place is taken");
        }
        drop(first);
        bounded.accept().await;
    }
}
