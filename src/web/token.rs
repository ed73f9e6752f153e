//! The token of the listener, if the config sets none.
//!
//! Guards: created once from the random generator of the system, completely or not at all; only owner and group may read
//! it. Not here: a configured token (`config::secrets`), the check (`access`).

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Secret;
use crate::store::beside;

/// Name of the file beside the database.
const FILE_NAME: &str = "http-token";
/// The group may read it, as it may read the database.
const MODE: u32 = 0o640;
const RANDOM_BYTES: usize = 32;
/// Minimum length of a token that an operator wrote.
const SHORTEST: usize = 16;

/// Path of the token for a database in `dir`.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// Reads the token in `dir`, or creates one. Removes temporary files of starts that were killed.
pub fn load_or_create(dir: &Path) -> Result<Secret> {
    let path = path(dir);
    remove_temporary_files(dir);
    match beside::read(&path) {
        Ok(text) => checked(&path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => create(dir, &path),
        Err(error) => Err(Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

fn remove_temporary_files(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(&format!(".{FILE_NAME}.")));
        if process.is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit())) {
            // A file that cannot be removed does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn checked(path: &Path, text: &str) -> Result<Secret> {
    let secret = Secret::new(text);
    if secret.reveal().len() < SHORTEST || !secret.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = format!(
            "{} has no token of {SHORTEST} or more printable characters; remove the file to get a new one",
            path.display()
        );
        return Err(Error::new(ErrorKind::InvalidData, text));
    }
    if std::fs::metadata(path)?.permissions().mode() & 0o007 != 0 {
        tracing::warn!(path = %path.display(), "every user can read the token file; run chmod 0640 on it");
    }
    Ok(secret)
}

fn create(dir: &Path, path: &Path) -> Result<Secret> {
    let mut random = [0; RANDOM_BYTES];
    // The generator of the system. No other part of the program needs randomness, so there is no crate for it.
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token = URL_SAFE_NO_PAD.encode(random);
    let temporary = dir.join(format!(".{FILE_NAME}.{}", std::process::id()));
    let written = write_closed(&temporary, &token).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // The next attempt creates its own file.
        let _ = std::fs::remove_file(&temporary);
        return Err(Error::new(error.kind(), format!("cannot create {}: {error}", path.display())));
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
