//! The files that a config was read from, and whether one has changed since.
//!
//! Guards: every way in which editors and tools replace a file is noticed (written, renamed into place, a link with a new
//! target, as in Kubernetes); a change is reported only when the files are stable. Files are checked with `stat`, which
//! works on every file system and has no queue that can overflow. Not here: when to check, reloading (`app::reload`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files and folders in the state in which they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFileSet(BTreeMap<PathBuf, FileStamp>);

/// The state of a path. Links are followed, so a link with a new target has another stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FileStamp {
    Missing,
    /// The change time also changes with permissions, and when the other times are set back.
    File {
        device: u64,
        inode: u64,
        bytes: u64,
        written_ns: i128,
        changed_ns: i128,
    },
    /// The names in it that an include could mean.
    Folder(Vec<OsString>),
}

impl ConfigFileSet {
    /// Takes a path as it is now, unless it was taken before. Call it before the path is read: what changes in between is
    /// then noticed later.
    pub(super) fn take(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), FileStamp::of(path));
        }
    }

    /// The same paths as they are now.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), FileStamp::of(path))).collect())
    }

    fn first_difference<'a>(&'a self, other: &Self) -> Option<&'a Path> {
        let differs = |(path, stamp): &(&PathBuf, &FileStamp)| other.0.get(*path) != Some(*stamp);
        self.0.iter().find(differs).map(|(path, _)| path.as_path())
    }
}

impl FileStamp {
    fn of(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Self::folder(path),
            Ok(metadata) => Self::file(&metadata),
            Err(_) => Self::Missing,
        }
    }

    fn file(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self::File {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            written_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Hidden names are never included; an editor's swap file is one.
    fn folder(path: &Path) -> Self {
        let Ok(entries) = std::fs::read_dir(path) else { return Self::Missing };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<OsString> =
            names.filter(|name| !name.as_encoded_bytes().starts_with(b".")).collect();
        names.sort();
        Self::Folder(names)
    }
}

#[derive(Clone, Debug)]
pub struct FileWatcher {
    read: ConfigFileSet,
    /// The files at the last check, if they differed from those that were read.
    unstable: Option<ConfigFileSet>,
}

impl FileWatcher {
    /// Watches the files that were read.
    pub fn over(read: ConfigFileSet) -> Self {
        Self { read, unstable: None }
    }

    /// The files to check.
    pub fn file_set(&self) -> &ConfigFileSet {
        &self.read
    }

    /// Takes a look (`ConfigFileSet::again`). Gives the first path that is different from when it was read, once everything
    /// looks as it did the time before; and each difference only once.
    pub fn see(&mut self, now: ConfigFileSet) -> Option<PathBuf> {
        if now == self.read {
            self.unstable = None;
        } else if self.unstable.as_ref() == Some(&now) {
            let path = now.first_difference(&self.read).map(Path::to_owned);
            *self = Self::over(now);
            return path;
        } else {
            self.unstable = Some(now);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn lookout(paths: &[&Path]) -> FileWatcher {
        let mut file_set = ConfigFileSet::default();
        for path in paths {
            file_set.take(path);
        }
        FileWatcher::over(file_set)
    }

    /// The next two checks: the first one only notices a change.
    #[track_caller]
    fn settles(lookout: &mut FileWatcher) -> Option<PathBuf> {
        let now = lookout.file_set().again();
        assert_eq!(lookout.see(now.clone()), None, "too early");
        let seen = lookout.see(now.clone());
        assert_eq!(lookout.see(now), None, "only once");
        seen
    }

    #[test]
    fn every_way_to_replace_a_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, "a = 1").unwrap();
        let mut lookout = lookout(&[&file]);
        let ways: [(&str, &dyn Fn()); 5] = [
            ("written over", &|| fs::write(&file, "a = 22").unwrap()),
            ("renamed into place", &|| {
                fs::write(dir.path().join("new"), "a = 33").unwrap();
                fs::rename(dir.path().join("new"), &file).unwrap();
            }),
            ("moved aside, then written again", &|| {
                fs::rename(&file, dir.path().join("config.toml~")).unwrap();
                fs::write(&file, "a = 44").unwrap();
            }),
            ("its permissions", &|| {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            }),
            ("removed", &|| fs::remove_file(&file).unwrap()),
        ];
        for (way, change) in ways {
            assert_eq!(settles(&mut lookout), None, "before: {way}");
            change();
            assert_eq!(settles(&mut lookout), Some(file.clone()), "{way}");
        }
    }

    #[test]
    fn a_link_that_is_turned_to_another_folder_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (folder, text) in [("..1", "a = 1"), ("..2", "a = 2")] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("config.toml"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/config.toml", at("config.toml")).unwrap();
        let file = at("config.toml");
        let mut lookout = lookout(&[&file]);
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(settles(&mut lookout), Some(file));
    }

    #[test]
    fn a_folder_is_its_visible_names() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("watch.d");
        let mut lookout = lookout(&[&folder]);
        fs::create_dir(&folder).unwrap();
        assert_eq!(settles(&mut lookout), Some(folder.clone()), "it was not there");
        fs::write(folder.join(".ops.toml.swp"), "").unwrap();
        assert_eq!(settles(&mut lookout), None, "a swap file");
        fs::write(folder.join("ops.toml"), "").unwrap();
        assert_eq!(settles(&mut lookout), Some(folder));
    }

    #[test]
    fn while_it_moves_nothing_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, "").unwrap();
        let mut lookout = lookout(&[&file]);
        for length in 1..5 {
            fs::write(&file, "x".repeat(length)).unwrap();
            let now = lookout.file_set().again();
            assert_eq!(lookout.see(now), None);
        }
        let now = lookout.file_set().again();
        assert_eq!(lookout.see(now), Some(file));
    }

    #[test]
    fn what_is_put_back_was_never_different() {
        let dir = tempfile::tempdir().unwrap();
        let (file, aside) = (dir.path().join("config.toml"), dir.path().join("aside"));
        symlink("one", dir.path().join("link")).unwrap();
        fs::write(dir.path().join("one"), "1").unwrap();
        fs::write(dir.path().join("two"), "2").unwrap();
        symlink("one", &file).unwrap();
        let mut lookout = lookout(&[&file]);
        for target in ["two", "one"] {
            symlink(target, &aside).unwrap();
            fs::rename(&aside, &file).unwrap();
            let now = lookout.file_set().again();
            assert_eq!(lookout.see(now), None, "{target}");
        }
        assert_eq!(settles(&mut lookout), None);
    }
}
