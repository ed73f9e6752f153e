//! Reads plain files: the config, its includes, and the secrets, certificates and templates that it names.
//!
//! Guards: a read never blocks and never fills the memory: a FIFO, device, folder or socket is refused before a byte is
//! read, and so is a file that is larger than its kind can be. Not here: the meaning of the bytes.

use std::fs::{FileType, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The certificates of every public authority together take a quarter of this.
pub(super) const MAX_CA_BYTES: u64 = 1024 * 1024;

/// The bytes of a plain file of at most `limit` bytes, and what the file system knows about it.
pub(super) fn read(path: &Path, limit: u64) -> std::io::Result<(Vec<u8>, Metadata)> {
    // Before it is opened, because opening is enough to move some devices; and again, because it may be another one by
    // then.
    must_be_plain(std::fs::metadata(path)?.file_type())?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    must_be_plain(metadata.file_type())?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it is larger than {} KiB", limit / 1024);
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok((bytes, metadata))
}

/// The bytes of a `ca_file`, where one is set, or why it cannot be read.
pub fn read_ca_file(file: Option<&Path>) -> Result<Option<Vec<u8>>, String> {
    let read = |path: &Path| match read(path, MAX_CA_BYTES) {
        Ok((bytes, _)) => Ok(bytes),
        Err(error) => Err(format!("{}: {error}", path.display())),
    };
    file.map(read).transpose()
}

/// Why these bytes are no certificates to trust, such as those of a key or of another format.
pub(super) fn certificates_error(pem: &[u8]) -> Option<String> {
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let Ok(certificate) = certificate else { return Some("is no PEM file".to_owned()) };
        if let Err(error) = webpki::anchor_from_trusted_cert(&certificate) {
            return Some(format!("holds a certificate that cannot be used: {error}"));
        }
        found += 1;
    }
    (found == 0).then(|| "holds no certificate (`-----BEGIN CERTIFICATE-----`)".to_owned())
}

fn must_be_plain(found: FileType) -> std::io::Result<()> {
    let kind = match found {
        found if found.is_file() => return Ok(()),
        found if found.is_dir() => "a folder",
        found if found.is_fifo() => "a pipe (FIFO)",
        found if found.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("it is {kind}, not a plain file")))
}

/// Whether every user of the machine may read the file.
pub(super) fn world_readable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_are_read_and_nothing_hangs() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, mode, 0).expect("made");
        std::os::unix::fs::symlink(at("fifo"), at("link")).expect("linked");
        let refused = |path: &Path| read(path, 64).expect_err("no plain file").to_string();
        assert_eq!(refused(&at("socket")), "it is a socket, not a plain file");
        assert_eq!(refused(&at("fifo")), "it is a pipe (FIFO), not a plain file");
        assert_eq!(refused(&at("link")), "it is a pipe (FIFO), not a plain file");
        assert_eq!(refused(folder.path()), "it is a folder, not a plain file");
        assert_eq!(refused(Path::new("/dev/zero")), "it is a device, not a plain file");
        assert_eq!(read(&at("absent"), 64).expect_err("absent").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, vec![b'a'; 2048]).expect("written");
        assert_eq!(read(&path, 2048).expect("read").0.len(), 2048);
        let error = read(&path, 2047).expect_err("too large");
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::FileTooLarge, "it is larger than 1 KiB")
        );
    }
}
