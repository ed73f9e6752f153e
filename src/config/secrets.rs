//! Reads secrets: from a systemd credential, a file, the environment, a command, or the config itself.
//!
//! Guards: `Debug` and errors never show a secret; reading takes bounded time and memory. Not here: the use of secrets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use tokio::io::AsyncReadExt;

use super::{plain_file, public};
use crate::secret::Secret;

mod error;
pub(super) mod text;

pub use super::secret_source::{SecretSource, Text, add_credential};
pub use error::SecretError;

/// No secret is longer; a path that names a log must not fill the memory.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// How long a command may take.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// The environment that secrets are looked up in.
#[derive(Clone, Debug)]
pub enum Env {
    Process,
    /// A fixed one: the tests'.
    Fixed(BTreeMap<String, OsString>),
}

impl Env {
    pub fn var(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process => std::env::var_os(name),
            Self::Fixed(variables) => variables.get(name).cloned(),
        }
    }

    /// Where systemd put the credentials, when it did.
    pub fn credentials(&self) -> Option<PathBuf> {
        self.var("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty()).map(PathBuf::from)
    }
}

/// Gets a secret, from the environment of this process.
pub async fn resolve(source: &SecretSource) -> Result<Secret, SecretError> {
    resolve_in(source, &Env::Process).await
}

/// Gets a secret.
pub async fn resolve_in(source: &SecretSource, around: &Env) -> Result<Secret, SecretError> {
    match source {
        SecretSource::Command(command) => from_command(command, COMMAND_TIMEOUT).await,
        other => read(other, around),
    }
}

/// Gets a secret that needs no command; one that does is an error here.
pub fn read(source: &SecretSource, around: &Env) -> Result<Secret, SecretError> {
    match source {
        SecretSource::Plain(secret) => Ok(secret.clone()),
        SecretSource::Credential { name, beside } => {
            let path = around.credentials().map_or_else(|| beside.clone(), |folder| folder.join(name));
            from_file(&path).map_err(|error| match error {
                SecretError::File { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                    SecretError::Credential { name: name.clone() }
                }
                other => other,
            })
        }
        SecretSource::File(path) => from_file(path),
        SecretSource::Pushed(path) => from_file(path).map_err(|error| match error {
            SecretError::File { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                SecretError::NotPushed
            }
            other => other,
        }),
        SecretSource::Env(name) => {
            let value = around.var(name).ok_or_else(|| SecretError::Env(name.clone()))?;
            let what = format!("the {}", public::variable(name));
            text::of_bytes(value.into_encoded_bytes(), what)
        }
        SecretSource::Command(command) => Err(SecretError::Command {
            program: command.first().cloned().unwrap_or_default(),
            problem: "is not run here".to_owned(),
        }),
    }
}

fn from_file(path: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let (bytes, _) = plain_file::read(path, MAX_SECRET_BYTES).map_err(failed)?;
    text::of_bytes(bytes, format!("the {}", public::file(path)))
}

async fn from_command(command: &[String], limit: Duration) -> Result<Secret, SecretError> {
    let program = command.first().cloned().unwrap_or_default();
    let failed = |problem: String| SecretError::Command { program: program.clone(), problem };
    let run = async {
        let mut child = tokio::process::Command::new(&program)
            .args(command.get(1..).unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let mut bytes = Vec::new();
        if let Some(output) = child.stdout.take() {
            let mut output = output.take(MAX_SECRET_BYTES + 1);
            output
                .read_to_end(&mut bytes)
                .await
                .map_err(|error| failed(format!("cannot be read: {error}")))?;
        }
        if bytes.len() as u64 > MAX_SECRET_BYTES {
            return Err(failed(format!("printed more than {MAX_SECRET_BYTES} bytes")));
        }
        let status = child.wait().await.map_err(|error| failed(format!("cannot be waited for: {error}")))?;
        if !status.success() {
            return Err(failed(format!("failed: {status}")));
        }
        text::of_bytes(bytes, format!("the output of the {}", public::command(&program)))
    };
    match tokio::time::timeout(limit, run).await {
        Ok(ended) => ended,
        Err(_) => Err(failed(format!("took longer than {} s", limit.as_secs_f64()))),
    }
}

/// Why a text is no Standard Webhooks signing secret, or nothing: `whsec_` and base64 of 24 to 64 bytes.
pub fn signing_secret_error(secret: &Secret) -> Option<&'static str> {
    let Some(encoded) = secret.reveal().strip_prefix("whsec_") else {
        return Some("a signing secret begins with `whsec_`");
    };
    match base64::engine::general_purpose::STANDARD.decode(encoded) {
        Ok(bytes) if (24..=64).contains(&bytes.len()) => None,
        Ok(_) => Some("a signing secret has 24 to 64 bytes"),
        Err(_) => Some("what follows `whsec_` is not base64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(pairs: &[(&str, &str)]) -> Env {
        Env::Fixed(pairs.iter().map(|(name, value)| ((*name).into(), value.into())).collect())
    }

    fn command(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn every_source_gives_the_trimmed_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app-secret");
        std::fs::write(&path, "hunter2\n").expect("written");
        let around =
            around(&[("KEY", "hunter2"), ("CREDENTIALS_DIRECTORY", &folder.path().display().to_string())]);
        for source in [
            SecretSource::Plain(Secret::new("hunter2")),
            SecretSource::File(path),
            SecretSource::Env("KEY".into()),
            SecretSource::Credential { name: "app-secret".into(), beside: "/nowhere/at/all".into() },
            SecretSource::Command(command(&["printf", "hunter2\\n"])),
        ] {
            let secret =
                resolve_in(&source, &around).await.unwrap_or_else(|error| panic!("{source:?}: {error}"));
            assert_eq!(secret.reveal(), "hunter2", "{source:?}");
        }
    }

    #[tokio::test]
    async fn a_missing_credential_names_the_line_to_add() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = around(&[("CREDENTIALS_DIRECTORY", &folder.path().display().to_string())]);
        let source = SecretSource::Credential { name: "crm".into(), beside: "/nowhere/at/all".into() };
        for around in [around(&[]), here] {
            let error = resolve_in(&source, &around).await.expect_err("missing");
            assert!(
                error.to_string().contains("`LoadCredential=crm:/etc/presenced/credentials/crm`"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn without_systemd_a_credential_is_a_file_beside_the_config() {
        let folder = tempfile::tempdir().expect("a folder");
        let beside = folder.path().join("app-secret");
        std::fs::write(&beside, "hunter2\n").expect("written");
        let source = SecretSource::Credential { name: "app-secret".into(), beside };
        assert_eq!(resolve_in(&source, &around(&[])).await.expect("the file").reveal(), "hunter2");
        // systemd's folder alone counts where there is one.
        let empty = tempfile::tempdir().expect("a folder");
        let around = around(&[("CREDENTIALS_DIRECTORY", &empty.path().display().to_string())]);
        assert!(resolve_in(&source, &around).await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_secret_is_an_error() {
        let around = around(&[("EMPTY", "  ")]);
        for (source, word) in [
            (SecretSource::Env("ABSENT".into()), "is not set"),
            (SecretSource::Env("EMPTY".into()), "is empty"),
            (SecretSource::File("/nowhere/at/all".into()), "cannot be read"),
            (SecretSource::File("/dev/zero".into()), "a device"),
            (SecretSource::Command(command(&["false"])), "failed"),
            (SecretSource::Command(command(&["true"])), "is empty"),
            (SecretSource::Command(command(&["/nowhere/at/all"])), "cannot be started"),
            (SecretSource::Command(command(&["cat", "/dev/zero"])), "printed more"),
        ] {
            let error = resolve_in(&source, &around).await.expect_err("no secret");
            assert!(error.to_string().contains(word), "{source:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended() {
        // The command outlives any test run; only the limit can end the wait.
        let error = from_command(&command(&["sleep", "86400"]), Duration::from_millis(50))
            .await
            .expect_err("a limit");
        assert!(error.to_string().contains("took longer"), "{error}");
    }

    #[test]
    fn signing_secrets_have_their_form() {
        let of = |bytes: usize| {
            Secret::new(&format!(
                "whsec_{}",
                base64::engine::general_purpose::STANDARD.encode(vec![7; bytes])
            ))
        };
        assert_eq!(signing_secret_error(&of(24)), None);
        assert_eq!(signing_secret_error(&of(64)), None);
        assert!(signing_secret_error(&of(23)).is_some());
        assert!(signing_secret_error(&of(65)).is_some());
        assert!(signing_secret_error(&Secret::new("whsec_?")).is_some());
        assert!(signing_secret_error(&Secret::new("abcdef")).is_some());
    }
}
