//! The files beside the database: the lock, the reserve file, copies, notices, and their remains.
//!
//! Guards: no such file is opened through a link, and none that another user created: root runs commands in a folder
//! that the daemon's user may write to. A file that root creates there belongs to the daemon's user. Deliberately not
//! here: SQLite's own files, which SQLite opens without following links as well.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::StoreError;

/// Read and write for the owner, read for the group: interactive queries need no more, and presence is personal data.
pub(super) const FILE_MODE: u32 = 0o640;

/// Which user must own a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'p> {
    /// For files that are written: the current user, the owner of the folder, or the owner of this database.
    Of(&'p Path),
    /// For files that are only read: any user.
    Any,
}

/// The identity of a file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl From<Metadata> for FileId {
    fn from(metadata: Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl FileId {
    /// The open database and its WAL files; SQLite removes those only after the last connection.
    pub(super) fn of_open(database: &Path) -> Result<Vec<(PathBuf, Self)>, StoreError> {
        let paths = ["", "-wal", "-shm"].map(|suffix| named(database, suffix));
        paths.into_iter().map(|path| Self::of(&path).map(|id| (path, id))).collect()
    }

    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        Ok(path.metadata().map_err(|error| StoreError::file("read the metadata of", path, error))?.into())
    }
}

/// `presence.db` -> `presence.db<suffix>`.
pub(super) fn named(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    name.into()
}

/// Files whose names are the database's name followed by a suffix for which `wanted` returns true, sorted.
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

/// Opens an existing file if it is a regular file with one name and the right owner.
pub(super) fn open(path: &Path, options: &mut OpenOptions, owner: Owner<'_>) -> io::Result<File> {
    // Opening a FIFO would wait for its other end.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => refused("it is a symbolic link"),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    plain(&metadata)?;
    if let Owner::Of(database) = owner {
        // A hard link could be another user's file; a regular file with one name was created here.
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

/// Fails if the path is not a regular file.
pub(super) fn require_plain(path: &Path) -> Result<(), StoreError> {
    let checked = path.symlink_metadata().and_then(|metadata| plain(&metadata));
    checked.map_err(|error| StoreError::file("open", path, error))
}

/// Creates a file that must not exist yet, with this mode whatever the umask is.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    give_to_owner_of_folder(&file, path);
    Ok(file)
}

/// Opens a file for writing, or creates it. The mode is set only on creation: an operator's `chmod` stays.
pub(super) fn open_or_create(path: &Path, owner: Owner<'_>) -> io::Result<File> {
    match create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open(path, OpenOptions::new().write(true), owner)
        }
        made => made,
    }
}

/// Replaces a file by a small file with this text.
pub(super) fn write_text(path: &Path, text: &str) -> io::Result<()> {
    // This removes a link, not its target.
    let _ = fs::remove_file(path);
    create_new(path)?.write_all(text.as_bytes())
}

/// Reads a regular file, whichever user owns it.
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

/// Gives a file that root created, by a command while the daemon is down, to the daemon's user.
fn give_to_owner_of_folder(file: &File, path: &Path) {
    let folder = path.parent().and_then(|folder| folder.metadata().ok());
    if let (Some(folder), Ok(made)) = (folder, file.metadata())
        && made.uid() == 0
        && folder.uid() != 0
    {
        // If this fails, the next start reports that the file cannot be opened.
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
        write_text(&planted, "ours").unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "of another user");
        assert_eq!(read(&planted).unwrap(), "ours");
    }
}
