//! The token that guards what is about people, when the config names none.
//!
//! Guards: made once, from the system's randomness, whole or not at all, never readable by everybody. Deliberately not
//! here: a configured token (`config::secrets`), the check (`gate`).

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Secret;
use crate::store::beside;

/// Beside the database.
const FILE_NAME: &str = "http-token";
/// The owner writes, the group reads: who may read the database may ask for it.
const MODE: u32 = 0o640;
const RANDOM_BYTES: usize = 32;
/// What somebody wrote there by hand must be at least this long.
const SHORTEST: usize = 16;

/// Where the token of a database in `dir` is.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// Reads the token kept in `dir`, or makes one and keeps it there; removes what a start that was killed left of one.
pub fn load_or_create(dir: &Path) -> Result<Secret> {
    let path = path(dir);
    remove_halves(dir);
    match beside::read(&path) {
        Ok(text) => checked(&path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => create(dir, &path),
        Err(error) => Err(Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

fn remove_halves(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(&format!(".{FILE_NAME}.")));
        if process.is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit())) {
            // One that cannot be removed is in the way of nothing.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn checked(path: &Path, text: &str) -> Result<Secret> {
    let secret = Secret::new(text);
    if secret.reveal().len() < SHORTEST || !secret.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = format!(
            "{} holds no token of {SHORTEST} or more printable characters: remove it, and a new one is made",
            path.display()
        );
        return Err(Error::new(ErrorKind::InvalidData, text));
    }
    if std::fs::metadata(path)?.permissions().mode() & 0o007 != 0 {
        tracing::warn!(path = %path.display(), "the token's file is open to everybody: chmod 0640 it");
    }
    Ok(secret)
}

fn create(dir: &Path, path: &Path) -> Result<Secret> {
    let mut random = [0; RANDOM_BYTES];
    // The system's generator; there is no randomness anywhere else in this program, so no crate for it either.
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token = URL_SAFE_NO_PAD.encode(random);
    let half = dir.join(format!(".{FILE_NAME}.{}", std::process::id()));
    let written = write_closed(&half, &token).and_then(|()| std::fs::rename(&half, path));
    if let Err(error) = written {
        // Nothing useful is in it, and the next attempt makes its own.
        let _ = std::fs::remove_file(&half);
        return Err(Error::new(error.kind(), format!("{} cannot be made: {error}", path.display())));
    }
    Ok(Secret::new(&token))
}

fn write_closed(path: &Path, text: &str) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let token = load_or_create(dir.path()).unwrap();
        assert_eq!(token.reveal().len(), 43);
        assert!(load_or_create(dir.path()).unwrap().matches(token.reveal()));
        let mode = std::fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_start_left_of_a_token_is_removed_and_a_planted_link_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".http-token.4711"), "half").unwrap();
        load_or_create(dir.path()).unwrap();
        std::fs::write(dir.path().join(".http-token.4712"), "half").unwrap();
        load_or_create(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let secret = dir.path().join("secret-of-another-user");
        std::fs::rename(path(dir.path()), &secret).unwrap();
        std::os::unix::fs::symlink(&secret, path(dir.path())).unwrap();
        let error = load_or_create(dir.path()).unwrap_err().to_string();
        assert!(error.contains("http-token: it is a symbolic link"), "{error}");
    }

    #[test]
    fn two_installations_have_two_tokens() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let token = load_or_create(a.path()).unwrap();
        assert!(!load_or_create(b.path()).unwrap().matches(token.reveal()));
    }

    #[test]
    fn an_empty_or_short_file_is_said_and_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "\n", "short", "with blanks in between it"] {
            std::fs::write(path(dir.path()), text).unwrap();
            assert_eq!(load_or_create(dir.path()).unwrap_err().kind(), ErrorKind::InvalidData, "{text:?}");
        }
    }
}
