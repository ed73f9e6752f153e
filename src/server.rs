//! An HTTP server on a TCP or Unix socket, with a limit on its connections, their time and their size.
//!
//! Guards: a connection that sends no complete request, or reads no answer, for half a minute is closed, and so is one that
//! sends more than a request needs; a stop waits for answers a few seconds at most. Not here: requests (`web`, `control`).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, Sleep, SystemClock};

/// Deadline for the first request of a connection.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(5);
/// Deadline from one answer to the next, so also the lifetime of an idle connection.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Wait after a failed accept, which usually means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum of bytes received from one answer to the next: the heads and bodies of a few requests.
    pub request_bytes: usize,
    /// Time for answers in progress when the daemon stops.
    pub drain: Duration,
}

/// A bound socket.
#[derive(Debug)]
pub enum Socket {
    /// For other machines, or this one.
    Tcp(TcpListener),
    /// For processes that may open its path.
    Unix(UnixListener),
}

/// Answers until `stop`, then finishes answers in progress.
pub async fn serve(
    socket: Socket,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    // Connections use the clock of the machine, because the clock of a demo runs faster.
    let listener = Listener::new(socket, limits, Arc::new(SystemClock));
    let service = router.layer(middleware::from_fn(mark_answering));
    let serving = axum::serve(listener, service.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    let drained = async {
        stop.cancelled().await;
        // A client that reads slowly does not delay the stop.
        timeout(limits.drain, std::future::pending::<()>()).await
    };
    tokio::select! {
        served = serving => served,
        _ = drained => Ok(()),
    }
}

/// Suspends the deadline of a connection while its request is answered, which has deadlines of its own.
async fn mark_answering(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    peer.answering.store(true, Ordering::Relaxed);
    let response = next.run(request).await;
    peer.answering.store(false, Ordering::Relaxed);
    response
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address; a Unix socket has none.
    pub address: Option<SocketAddr>,
    answering: Arc<AtomicBool>,
}

impl Peer {
    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        self.address.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A listener with a maximum number of connections.
struct Listener {
    socket: Socket,
    free: Arc<Semaphore>,
    limits: Limits,
    clock: SharedClock,
}

impl Listener {
    fn new(socket: Socket, limits: Limits, clock: SharedClock) -> Self {
        Self { socket, free: Arc::new(Semaphore::new(limits.connections)), limits, clock }
    }

    async fn accept_any(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Box::new(stream), Some(address)))
            }
            Socket::Unix(listener) => Ok((Box::new(listener.accept().await?.0), None)),
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Timed;
    type Addr = Peer;

    async fn accept(&mut self) -> (Timed, Peer) {
        loop {
            let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else {
                // The semaphore is never closed.
                return std::future::pending().await;
            };
            match self.accept_any().await {
                Ok((stream, address)) => {
                    let peer = Peer { address, answering: Arc::default() };
                    let answering = Arc::clone(&peer.answering);
                    return (Timed::new(stream, permit, answering, self), peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.clock.sleep_until(self.clock.now().plus(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        let address = match &self.socket {
            Socket::Tcp(listener) => Some(listener.local_addr()?),
            Socket::Unix(_) => None,
        };
        Ok(Peer { address, answering: Arc::default() })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}
/// Boxed, so that hyper is compiled for one kind of stream.
type Stream = Box<dyn Duplex>;

/// A connection with its permit and its deadline. Only bytes that are sent extend the deadline, so a slow request does not.
struct Timed {
    stream: Stream,
    deadline: Sleep,
    answering: Arc<AtomicBool>,
    unanswered_bytes: usize,
    limit_bytes: usize,
    clock: SharedClock,
    _permit: OwnedSemaphorePermit,
}

impl Timed {
    fn new(
        stream: Stream,
        permit: OwnedSemaphorePermit,
        answering: Arc<AtomicBool>,
        listener: &Listener,
    ) -> Self {
        let clock = Arc::clone(&listener.clock);
        let deadline = clock.sleep_until(clock.now().plus(FIRST_REQUEST_TIME));
        let limit_bytes = listener.limits.request_bytes;
        Self { stream, deadline, answering, unanswered_bytes: 0, limit_bytes, clock, _permit: permit }
    }

    /// The timeout error, once the deadline has passed.
    fn late<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.answering.load(Ordering::Relaxed) {
            // The answer is written next, which polls the new deadline.
            return Poll::Pending;
        }
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
                if self.unanswered_bytes > self.limit_bytes {
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
    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::clock::ManualClock;
    use crate::time::Timestamp;

    const ALMOST: Duration = Duration::from_millis(29_999);

    const MAX_BYTES: usize = 1024;

    async fn connect(listener: &Listener) -> TcpStream {
        TcpStream::connect(listener.local_addr().unwrap().address.unwrap()).await.unwrap()
    }

    async fn pair() -> (ManualClock, Listener, TcpStream) {
        let clock = ManualClock::at(Timestamp::from_ms(0));
        let socket = Socket::Tcp(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let limits = Limits { connections: 1, request_bytes: MAX_BYTES, drain: Duration::ZERO };
        let listener = Listener::new(socket, limits, Arc::new(clock.clone()));
        let client = connect(&listener).await;
        (clock, listener, client)
    }

    #[tokio::test]
    async fn a_request_that_drips_is_cut_off() {
        let (clock, mut listener, mut client) = pair().await;
        let (mut server, _) = listener.accept().await;
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
        let (_clock, mut listener, mut client) = pair().await;
        let (mut server, _) = listener.accept().await;
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
        let (clock, mut listener, _client) = pair().await;
        let (mut server, _) = listener.accept().await;
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
    async fn a_request_that_is_being_answered_has_no_deadline_here() {
        let (clock, mut listener, _client) = pair().await;
        let (mut server, peer) = listener.accept().await;
        clock.advance(ALMOST);
        for answering in [true, false] {
            peer.answering.store(answering, Ordering::Relaxed);
            let mut byte = [0];
            let mut reading = std::pin::pin!(server.read(&mut byte));
            let polled = reading.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
            assert_eq!(polled.is_pending(), answering);
        }
    }

    #[tokio::test]
    async fn no_connection_is_accepted_above_the_limit() {
        let (_clock, mut listener, _client) = pair().await;
        let (first, _) = listener.accept().await;
        let _second = connect(&listener).await;
        let waker = std::task::Waker::noop();
        {
            let mut accepting = std::pin::pin!(listener.accept());
            let polled = accepting.as_mut().poll(&mut Context::from_waker(waker));
            assert!(polled.is_pending(), "the only place is taken");
        }
        drop(first);
        listener.accept().await;
    }
}
