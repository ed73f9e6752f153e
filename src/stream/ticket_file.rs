//! Keeps the newest suite ticket in a file, so that it survives a restart.
//!
//! Guards: only the owner may read the file; it holds the old ticket or the new one, never a part. Not here: reading it
//! (`config::secrets`), its name (`config::dingtalk`).

use std::fs::OpenOptions;
use std::io::{Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::secret::Secret;

/// Replaces the ticket in `path`.
pub fn keep(path: &Path, ticket: &Secret) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    // The rest of a write that was cut short; `create_new` follows no link and takes no foreign file.
    let _ = std::fs::remove_file(&temporary);
    let written = write(&temporary, ticket).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The next attempt removes it too.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn write(path: &Path, ticket: &Secret) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", ticket.reveal())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_reads_the_newest_ticket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suite-ticket.default");
        std::fs::write(folder.path().join(".suite-ticket.default.new"), "cut sh").unwrap();
        for ticket in ["first", "second"] {
            keep(&path, &Secret::new(ticket)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{ticket}\n"));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        assert!(keep(Path::new("/nowhere/at/all"), &Secret::new("x")).is_err());
    }
}
