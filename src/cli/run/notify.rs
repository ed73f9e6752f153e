//! Notifications to the service manager while the daemon runs.
//!
//! Guards: sends are non-blocking; a notification is dropped if the socket is full, so that a busy service manager never
//! stops the daemon. Not here: READY at the start and STOPPING at the end, which must arrive and may wait (`sd_notify`).

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use sd_notify::NotifyState;

/// Sends states, if there is a service manager. Returns `false` if they should be sent again.
pub(super) fn send(states: &[NotifyState<'_>]) -> bool {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return true };
    let mut text = states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    text.push('\n');
    match send_to(&socket, &text) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            tracing::debug!("the notify socket is full; notification dropped");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "the service manager could not be notified");
            true
        }
    }
}

fn send_to(socket: &OsStr, text: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to_addr(text.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_does_not_read_blocks_no_sender() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let kept = (0..10_000).take_while(|_| send_to(path.as_os_str(), "WATCHDOG=1\n").is_ok()).count();
        assert!(kept < 10_000, "its mail box is finite");
        let mut buffer = [0; 64];
        for _ in 0..kept {
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
        }
        send_to(path.as_os_str(), "READY=1\n").unwrap();
    }

    #[test]
    fn a_name_without_a_file_is_reached_too() {
        let name = format!("presenced-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        send_to(OsStr::new(&format!("@{name}")), "READY=1\n").unwrap();
        let mut buffer = [0; 64];
        assert_eq!(listener.recv(&mut buffer).unwrap(), 8);
    }
}
