//! The files beside the database: the lock, the reserve, copies, notes, and what is left of them.
//!
//! Guards: none of them is opened through a link, and none that another user put there: root runs commands in a folder that
//! the daemon's user may write to. What root makes there belongs to the daemon. Deliberately not here: SQLite's own files,
//! which SQLite opens without following links as well.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::StoreError;

/// Read and write for the owner, read for the group: looking by hand needs no more, and presence is personal data.
pub(super) const FILE_MODE: u32 = 0o640;

/// Whose a file must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'p> {
    /// The user's who runs this, the folder's owner's, or the owner's of this database: for what is written to.
    Of(&'p Path),
    /// Any user's: for what is only read.
    Any,
}

/// `presence.db` -> `presence.db<suffix>`.
pub(super) fn named(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    name.into()
}

/// Files whose names are the database's with something behind it that is `wanted`, sorted.
pub(super) fn listed(database: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, StoreError> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let stem = database.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = fs::read_dir(folder).map_err(|error| StoreError::file("list", folder, error))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| StoreError::file("list", folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.strip_prefix(&stem).is_some_and(&wanted) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Opens what is there, if it is a plain file of one name and of the right owner.
pub(super) fn open(path: &Path, options: &mut OpenOptions, owner: Owner<'_>) -> io::Result<File> {
    // A FIFO would wait for its other end.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => refused("it is a symbolic link"),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    plain(&metadata)?;
    if let Owner::Of(database) = owner {
        // A hard link could be another user's file; a plain file with one name was made here.
        if metadata.nlink() > 1 {
            return Err(refused("it is a hard link"));
        }
        let of = |path: &Path| path.metadata().ok().map(|metadata| metadata.uid());
        let folder = path.parent().and_then(of);
        let right = [Some(rustix::process::geteuid().as_raw()), folder, of(database)];
        if !right.contains(&Some(metadata.uid())) {
            return Err(refused("it belongs to another user"));
        }
    }
    Ok(file)
}

/// Refuses what is no plain file.
pub(super) fn require_plain(path: &Path) -> Result<(), StoreError> {
    let looked = path.symlink_metadata().and_then(|metadata| plain(&metadata));
    looked.map_err(|error| StoreError::file("open", path, error))
}

/// Makes a file where there is none, with the mode whatever the umask says.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    give_to_owner_of_folder(&file, path);
    Ok(file)
}

/// Opens for writing, or makes it. The mode is set only on what is made here: an operator's `chmod` stays.
pub(super) fn open_or_create(path: &Path, owner: Owner<'_>) -> io::Result<File> {
    match create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open(path, OpenOptions::new().write(true), owner)
        }
        made => made,
    }
}

/// A small file of one text, in the place of whatever is there.
pub(super) fn note(path: &Path, text: &str) -> io::Result<()> {
    // A link is removed, not what it leads to.
    let _ = fs::remove_file(path);
    create_new(path)?.write_all(text.as_bytes())
}

/// What a file says, if it is a plain one, whatever user owns it.
pub fn read(path: &Path) -> io::Result<String> {
    io::read_to_string(open(path, OpenOptions::new().read(true), Owner::Any)?)
}

fn plain(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_symlink() {
        return Err(refused("it is a symbolic link"));
    }
    if metadata.is_file() { Ok(()) } else { Err(refused("it is not a plain file")) }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{why}; it was not touched, remove it"))
}

/// What root makes here, by a command while the daemon is down, has to be the daemon's.
fn give_to_owner_of_folder(file: &File, path: &Path) {
    let folder = path.parent().and_then(|folder| folder.metadata().ok());
    if let (Some(folder), Ok(made)) = (folder, file.metadata())
        && made.uid() == 0
        && folder.uid() != 0
    {
        // Where it cannot be given away the next start says that the file cannot be opened.
        let _ = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_a_folder_and_a_pipe_are_refused_and_what_they_lead_to_is_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("presence.db");
        let secret = folder.path().join("secret");
        fs::write(&secret, "of another user").unwrap();
        let planted = named(&database, ".lock");
        let refuse = |why: &str| {
            for writing in [true, false] {
                let opened = if writing {
                    open_or_create(&planted, Owner::Of(&database)).map(drop)
                } else {
                    read(&planted).map(drop)
                };
                let error = opened.unwrap_err().to_string();
                assert!(error.contains(why) || error.contains("directory"), "{error}");
            }
            assert_eq!(fs::read_to_string(&secret).unwrap(), "of another user");
        };
        symlink(&secret, &planted).unwrap();
        refuse("symbolic link");
        assert!(require_plain(&planted).is_err());
        fs::remove_file(&planted).unwrap();
        symlink(folder.path().join("nowhere"), &planted).unwrap();
        refuse("symbolic link");
        assert!(!folder.path().join("nowhere").exists());
        fs::remove_file(&planted).unwrap();
        fs::create_dir(&planted).unwrap();
        refuse("not a plain file");
        fs::remove_dir(&planted).unwrap();
        fs::hard_link(&secret, &planted).unwrap();
        let error = open_or_create(&planted, Owner::Of(&database)).unwrap_err().to_string();
        assert!(error.contains("hard link"), "{error}");
        note(&planted, "ours").unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "of another user");
        assert_eq!(read(&planted).unwrap(), "ours");
    }
}
