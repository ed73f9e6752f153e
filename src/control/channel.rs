//! Requests to the running daemon, as HTTP over a Unix socket.
//!
//! Guards: the socket has mode 0600 from its creation; the socket of a dead daemon is replaced, that of a running one is
//! not; a request that was received is finished even if the command has ended. Not here: the path of the socket (`place`),
//! the limits of a connection (`server`).

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::routing::post;
use hyper::client::conn::http1;
use hyper::header;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Advice, Request, Response};
use crate::server::{self, Limits, Socket};

/// Path of the requests.
const PATH: &str = "/v1/control";
/// Maximum size of an answer; one of DingTalk has at most 1 MiB.
const MAX_ANSWER_BYTES: usize = 2 << 20;
/// Timeout of an answer. A poll may get a token, wait in a queue and make a call, each with its own timeout.
const ANSWER_TIME: Duration = Duration::from_mins(1);
/// The connections are commands of an operator, and timers. A replay may name many events.
const LIMITS: Limits = Limits { connections: 16, request_bytes: 2 << 20, drain: Duration::from_secs(5) };

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No daemon listens.
    #[error("the daemon does not answer (no socket at {})", list(.tried))]
    Unreachable {
        /// The paths that were tried.
        tried: Vec<PathBuf>,
    },
    /// A daemon listens, but this user may not connect.
    #[error("this user may not use the socket {} of the daemon: run the command as the user of the daemon or as root", .path.display())]
    Denied { path: PathBuf },
    /// The daemon did not answer in time.
    #[error("the daemon did not answer within {} s", ANSWER_TIME.as_secs())]
    Slow,
    /// The answer cannot be parsed, usually because daemon and command have different versions.
    #[error("cannot parse the answer of the daemon (does it have another version?): {0}")]
    Garbled(String),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The bound socket of the daemon.
#[derive(Debug)]
pub struct Endpoint {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Endpoint {
    /// Listens at `path`. A daemon that already listens there is an error (`AddrInUse`).
    pub async fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                let text = format!("{} exists and is not a socket: remove it", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            Ok(_) if UnixStream::connect(path).await.is_ok() => {
                let text = format!("another daemon listens at {}", path.display());
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            _ => {}
        }
        // Created in a private folder and moved, so that no other user can connect before the mode is set.
        let folder = path.with_extension(format!("{}.tmp", std::process::id()));
        remove_leftovers(path);
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let bound = bind_closed(&folder.join("s"), path);
        let removed = std::fs::remove_dir_all(&folder);
        let listener = bound?;
        removed?;
        let inode = std::fs::symlink_metadata(path)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// Path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers until `stop`; then removes the socket and finishes requests in progress within 5 s.
    pub async fn serve<H, F>(self, handler: H, stop: CancellationToken) -> io::Result<()>
    where
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let Self { listener, path, inode } = self;
        let requests = TaskTracker::new();
        let tracker = requests.clone();
        // A request has a task of its own, because that of its connection ends when the command is interrupted.
        let answer = move |body: Bytes| {
            let task = tracker.spawn(answer(handler.clone(), body));
            async move { task.await.unwrap_or_default() }
        };
        let removal = async {
            stop.cancelled().await;
            // A socket of a new daemon at the same path is not removed.
            if std::fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == inode) {
                // If this fails, the next daemon replaces it.
                let _ = std::fs::remove_file(&path);
            }
        };
        let router = Router::new().route(PATH, post(answer));
        let serving = server::serve(Socket::Unix(listener), router, LIMITS, stop.clone());
        let (served, ()) = tokio::join!(serving, removal);
        requests.close();
        let _ = timeout(LIMITS.drain, requests.wait()).await;
        served
    }
}

/// Sends a request to the daemon that listens at the first of these paths with a listener.
pub async fn ask(places: &[PathBuf], request: &Request) -> Result<Response, ControlError> {
    for path in places {
        match UnixStream::connect(path).await {
            Ok(stream) => {
                return match timeout(ANSWER_TIME, exchange(stream, request)).await {
                    Err(_) => Err(ControlError::Slow),
                    Ok(answer) => answer.map_err(|error| ControlError::Garbled(error.to_string())),
                };
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.exists() => {
                return Err(ControlError::Denied { path: path.clone() });
            }
            Err(_) => {}
        }
    }
    Err(ControlError::Unreachable { tried: places.to_vec() })
}

async fn exchange(stream: UnixStream, request: &Request) -> Result<Response, BoxError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = hyper::Request::post(PATH)
        .header(header::HOST, "presenced")
        .body(Body::from(serde_json::to_vec(request)?))?;
    let received = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = to_bytes(Body::new(answer.into_body()), MAX_ANSWER_BYTES).await?;
        if status.is_success() { Ok(serde_json::from_slice(&body)?) } else { Err(status.to_string().into()) }
    };
    // The connection must be polled for the answer to arrive, and its error is that of the answer.
    tokio::select! {
        answer = received => answer,
        Err(error) = connection => Err(error.into()),
    }
}

/// Removes folders of starts that were killed. Two daemons cannot start at once, because of the lock on the database.
fn remove_leftovers(path: &Path) {
    let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return };
    let stem = format!("{}.", path.file_stem().unwrap_or_default().to_string_lossy());
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(&stem)?.strip_suffix(".tmp"));
        if process.is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit())) {
            // A folder that cannot be removed does no harm; if it is needed, creating it fails with an error.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn bind_closed(at: &Path, then_move_to: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(at)?;
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(at, then_move_to)?;
    Ok(listener)
}

async fn answer<F: Future<Output = Response>>(handler: impl Fn(Request) -> F, body: Bytes) -> Vec<u8> {
    let response = match serde_json::from_slice(&body) {
        Ok(request) => timeout(ANSWER_TIME, handler(request)).await.unwrap_or_else(|_| Response::Refused {
            advice: Advice::TryLater,
            message: format!("not finished within {} s", ANSWER_TIME.as_secs()),
        }),
        Err(error) => Response::Refused {
            advice: Advice::Usage,
            message: format!("cannot parse the request (does the command have another version?): {error}"),
        },
    };
    serde_json::to_vec(&response).unwrap_or_default()
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    fn pong() -> Response {
        Response::Pong { version: "1".into(), database: None, time_zone: None }
    }

    async fn echo(request: Request) -> Response {
        match request {
            Request::Page | Request::Ping | Request::Reload | Request::Status => pong(),
            Request::Poll { who, .. } | Request::Forget { who } => {
                Response::Refused { advice: Advice::Nothing, message: who }
            }
            Request::Explain { union_id, .. } => {
                Response::Refused { advice: Advice::Nothing, message: union_id.to_string() }
            }
            Request::Prune => Response::Pruned(crate::store::retention::Pruned::default()),
            Request::Webhook(asked) => {
                Response::Refused { advice: Advice::Failed, message: format!("{asked:?}") }
            }
        }
    }

    #[tokio::test]
    async fn what_is_asked_is_answered_until_the_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        // As a start leaves it that is killed before its rename.
        std::fs::create_dir(dir.path().join("c.4711.tmp")).unwrap();
        let endpoint = Endpoint::bind(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left there");
        let stop = CancellationToken::new();
        let places = [dir.path().join("elsewhere.sock"), path.clone()];
        let asking = async {
            let answer = ask(&places, &Request::Ping).await.unwrap();
            assert_eq!(answer, pong());
            let poll = Request::Poll { who: "李伟".into(), dry_run: false };
            let refused = ask(&places, &poll).await.unwrap();
            assert_eq!(refused, Response::Refused { advice: Advice::Nothing, message: "李伟".into() });
            stop.cancel();
        };
        let (served, ()) = tokio::join!(endpoint.serve(echo, stop.clone()), asking);
        served.unwrap();
        assert!(!path.exists(), "the socket goes with the daemon");
        assert!(matches!(ask(&places, &Request::Ping).await, Err(ControlError::Unreachable { .. })));
    }

    /// Waits until nothing listens at `path`: a child that another test starts holds every socket until it has become
    /// its own program.
    async fn until_deaf(path: &Path) {
        while UnixStream::connect(path).await.is_ok() {
            SystemClock.sleep_until(SystemClock.now().plus(Duration::from_millis(1))).await;
        }
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        until_deaf(&path).await;
        assert!(path.exists(), "left behind");
        let living = Endpoint::bind(&path).await.unwrap();
        let second = Endpoint::bind(&path).await.unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(living);
        until_deaf(&path).await;
        assert!(Endpoint::bind(&path).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(Endpoint::bind(&path).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn another_version_at_either_end_is_named() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        let endpoint = Endpoint::bind(&path).await.unwrap();
        let stop = CancellationToken::new();
        let asking = async {
            for (body, answer) in [
                ("{\"ask\":\"dance\"}", "does the command have another version"),
                ("\n", "does the command have another version"),
                ("{\"ask\":\"ping\"}", "pong"),
            ] {
                let mut stream = UnixStream::connect(&path).await.unwrap();
                let head = format!("POST {PATH} HTTP/1.1\r\nhost: presenced\r\nconnection: close\r\n");
                let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                assert!(text.contains(answer), "{text}");
            }
            // The line that 0.1.0 sends.
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(b"{\"ask\":\"ping\"}\n").await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 400"), "{text}");
            stop.cancel();
        };
        let (served, ()) = tokio::join!(endpoint.serve(echo, stop.clone()), asking);
        served.unwrap();
        // A daemon of 0.1.0 answers with a line.
        let old = UnixListener::bind(&path).unwrap();
        let answering = async {
            let (mut stream, _) = old.accept().await.unwrap();
            stream.write_all(b"{\"answer\":\"refused\"}\n").await.unwrap();
        };
        let places = [path.clone()];
        let (refused, ()) = tokio::join!(ask(&places, &Request::Ping), answering);
        assert!(refused.unwrap_err().to_string().contains("does it have another version"));
    }

    #[tokio::test]
    async fn a_request_is_finished_though_the_command_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        let endpoint = Endpoint::bind(&path).await.unwrap();
        let stop = CancellationToken::new();
        let (begun, gone) = (CancellationToken::new(), CancellationToken::new());
        let finished = CancellationToken::new();
        let handler = {
            let (begun, gone, finished) = (begun.clone(), gone.clone(), finished.clone());
            move |request| {
                let (begun, gone, finished) = (begun.clone(), gone.clone(), finished.clone());
                async move {
                    begun.cancel();
                    gone.cancelled().await;
                    finished.cancel();
                    echo(request).await
                }
            }
        };
        let asking = async {
            let places = [path.clone()];
            tokio::select! {
                _ = ask(&places, &Request::Reload) => unreachable!("not answered yet"),
                () = begun.cancelled() => {}
            }
            stop.cancel();
            gone.cancel();
        };
        let (served, ()) = tokio::join!(endpoint.serve(handler, stop.clone()), asking);
        served.unwrap();
        assert!(finished.is_cancelled(), "a stop waits for it");
    }
}
