//! One request line and one answer line over a Unix socket.
//!
//! Guards: the socket has mode 0600 from its creation; the socket of a dead daemon is replaced, that of a running one is
//! not; a client that sends nothing or too much takes one slot for a few seconds. Not here: the path of the socket
//! (`place`).

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Advice, Request, Response};

/// Maximum length of a line; an answer of DingTalk has at most 1 MiB.
const MAX_LINE_BYTES: u64 = 2 << 20;
/// Timeout of receiving a request, which is a few hundred bytes.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// Timeout of an answer. A poll may get a token, wait in a queue and make a call, each with its own timeout.
const ANSWER_TIME: Duration = Duration::from_mins(1);
/// Maximum number of connections: commands of an operator, and timers.
const MAX_CONNECTIONS: usize = 16;
/// Wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Time for answers in progress when the daemon stops.
const DRAIN_TIME: Duration = Duration::from_secs(5);

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
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon did not answer in time.
    #[error("the daemon did not answer within {} s", ANSWER_TIME.as_secs())]
    Slow,
    /// The answer cannot be parsed, usually because daemon and command have different versions.
    #[error("cannot parse the answer of the daemon (does it have another version?): {0}")]
    Garbled(String),
}

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

    /// Answers until `stop`; then removes the socket and finishes answers in progress within 5 s.
    pub async fn serve<H, F>(self, handler: H, stop: CancellationToken)
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = open.join_next() => {}
                accepted = self.listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        open.spawn(handle_connection(stream, Arc::clone(&handler)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a control connection");
                        // Usually there are no file descriptors left for a moment.
                        let _ = timeout(ACCEPT_PAUSE, stop.cancelled()).await;
                    }
                },
            }
        }
        // No new connections. A socket of a new daemon at the same path is not removed.
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // If this fails, the next daemon replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
        drop(self.listener);
        // Unfinished answers are dropped with the set, and their connections close.
        let _ = timeout(DRAIN_TIME, async { while open.join_next().await.is_some() {} }).await;
    }
}

/// Sends a request to the daemon that listens at the first of these paths with a listener.
pub async fn ask(places: &[PathBuf], request: &Request) -> Result<Response, ControlError> {
    for path in places {
        match UnixStream::connect(path).await {
            Ok(stream) => {
                let answer = timeout(ANSWER_TIME, async {
                    let (reader, mut writer) = stream.into_split();
                    send(&mut writer, request).await?;
                    receive(reader).await
                });
                return match answer.await {
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

async fn handle_connection<H, F>(stream: UnixStream, handler: Arc<H>)
where
    H: Fn(Request) -> F,
    F: Future<Output = Response>,
{
    let (reader, mut writer) = stream.into_split();
    let response = match timeout(REQUEST_TIME, receive::<Request>(reader)).await {
        Ok(Ok(request)) => match timeout(ANSWER_TIME, handler(request)).await {
            Ok(response) => response,
            Err(_) => Response::Refused {
                advice: Advice::TryLater,
                message: format!("not finished within {} s", ANSWER_TIME.as_secs()),
            },
        },
        Ok(Err(error)) => Response::Refused {
            advice: Advice::Usage,
            message: format!("cannot parse the request (does the command have another version?): {error}"),
        },
        Err(_) => return,
    };
    if let Ok(Err(error)) = timeout(REQUEST_TIME, send(&mut writer, &response)).await {
        tracing::debug!(%error, "the client did not wait for the answer");
    }
}

async fn send(writer: &mut (impl AsyncWriteExt + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await
}

async fn receive<T: DeserializeOwned>(reader: impl AsyncReadExt + Unpin) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(reader.take(MAX_LINE_BYTES)).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete line"));
    }
    Ok(serde_json::from_slice(&line)?)
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    async fn echo(request: Request) -> Response {
        match request {
            Request::Ping | Request::Reload | Request::Status => Response::Pong { version: "1".into() },
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
            let pong = ask(&places, &Request::Ping).await.unwrap();
            assert_eq!(pong, Response::Pong { version: "1".into() });
            let poll = Request::Poll { who: "李伟".into(), dry_run: false };
            let refused = ask(&places, &poll).await.unwrap();
            assert_eq!(refused, Response::Refused { advice: Advice::Nothing, message: "李伟".into() });
            stop.cancel();
        };
        tokio::join!(endpoint.serve(echo, stop.clone()), asking);
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
    async fn nonsense_gets_a_refusal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.sock");
        let endpoint = Endpoint::bind(&path).await.unwrap();
        let stop = CancellationToken::new();
        let asking = async {
            for nonsense in [&b"{\"ask\":\"dance\"}\n"[..], b"\xff\n", b"\n"] {
                let mut stream = UnixStream::connect(&path).await.unwrap();
                stream.write_all(nonsense).await.unwrap();
                let answer: Response = receive(stream).await.unwrap();
                assert!(matches!(answer, Response::Refused { advice: Advice::Usage, .. }), "{answer:?}");
            }
            stop.cancel();
        };
        tokio::join!(endpoint.serve(echo, stop.clone()), asking);
    }
}
