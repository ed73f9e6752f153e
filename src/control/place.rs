//! The path of the control socket.
//!
//! Guards: daemon and command derive the same path from the path of the config file alone; a folder in the shared temporary
//! directory is used only if it belongs to the user and is closed to others. Not here: the protocol (`channel`).

use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The folder that systemd creates for `RuntimeDirectory=presenced`.
const SYSTEM_DIR: &str = "/run/presenced";

/// The path at which a daemon with this config file (canonical path) listens: in the first writable folder.
pub fn serve_place(config_file: &Path) -> Result<PathBuf> {
    let name = socket_name(config_file);
    for dir in shared_dirs() {
        if writable(&dir) {
            return Ok(dir.join(name));
        }
    }
    Ok(own_dir(&std::env::temp_dir(), true)?.join(name))
}

/// The paths at which a command looks for that daemon, in order.
pub fn ask_places(config_file: &Path) -> Vec<PathBuf> {
    let name = socket_name(config_file);
    let own = own_dir(&std::env::temp_dir(), false).ok();
    shared_dirs().into_iter().chain(own).map(|dir| dir.join(&name)).collect()
}

fn shared_dirs() -> Vec<PathBuf> {
    // systemd separates several folders by colons; the first one is used.
    let given = std::env::var("RUNTIME_DIRECTORY").ok();
    let given = given.as_deref().and_then(|dirs| dirs.split(':').next()).filter(|dir| !dir.is_empty());
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in given
        .map(PathBuf::from)
        .into_iter()
        .chain([PathBuf::from(SYSTEM_DIR)])
        .chain(of_user.map(PathBuf::from))
    {
        if dir.is_absolute() && !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// `presenced-` and 16 hex digits, because the path of a socket has at most 108 bytes.
fn socket_name(config_file: &Path) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in config_file.as_os_str().as_encoded_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("presenced-{hash:016x}.sock")
}

/// Whether a file can be created in `dir`. Tried, because permissions, mounts and access lists all matter.
fn writable(dir: &Path) -> bool {
    let probe = dir.join(format!(".presenced-probe-{}", std::process::id()));
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe).is_ok();
    // A probe that cannot be removed is empty and hidden.
    let _ = std::fs::remove_file(&probe);
    made
}

fn own_dir(temporary: &Path, create: bool) -> Result<PathBuf> {
    let me = std::fs::metadata("/proc/self")?.uid();
    let dir = temporary.join(format!("presenced-{me}"));
    if create {
        match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let found = std::fs::symlink_metadata(&dir)?;
    // No bit of group and others.
    let closed = found.is_dir() && found.uid() == me && found.permissions().mode().trailing_zeros() >= 6;
    if closed {
        Ok(dir)
    } else {
        Err(Error::new(
            ErrorKind::PermissionDenied,
            format!("{} is not a private folder of this user: remove it", dir.display()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_from_the_path_alone_and_is_short() {
        let name = socket_name(Path::new("/etc/presenced/config.toml"));
        assert_eq!(name, socket_name(Path::new("/etc/presenced/config.toml")));
        assert_ne!(name, socket_name(Path::new("/etc/presenced/other.toml")));
        assert_eq!(name.len(), "presenced-0123456789abcdef.sock".len());
    }

    #[test]
    fn a_command_looks_where_a_daemon_would_listen() {
        let config = Path::new("/etc/presenced/config.toml");
        let listens = serve_place(config).unwrap();
        assert!(ask_places(config).contains(&listens));
    }

    #[test]
    fn a_folder_open_to_others_is_not_trusted() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = own_dir(temporary.path(), true).unwrap();
        assert_eq!(own_dir(temporary.path(), true).unwrap(), dir, "found again");
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(own_dir(temporary.path(), true).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_link_planted_there_is_not_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let dir = own_dir(temporary.path(), true).unwrap();
        std::fs::remove_dir(&dir).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &dir).unwrap();
        assert!(own_dir(temporary.path(), true).is_err());
    }
}
