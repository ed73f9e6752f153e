//! Reads references to secrets in the config, and checks that each can be read.
//!
//! Guards: everything that can be checked without running a command is reported now, not at the first use: missing files
//! and credentials, wide permissions, signing secrets of the wrong form. Not here: reading a secret (`secrets`).

use std::io::ErrorKind;
use std::path::Path;

use reqwest::header::HeaderValue;
use toml::de::DeValue;

use super::keys::nearest;
use super::problem::{Place, Problem};
use super::public;
use super::secret_source::SOURCES;
use super::secrets::text::{copied_error, variable_before};
use super::secrets::{Env, SecretError, SecretSource, add_credential, read, signing_secret_error};
use super::section::{Located, RawValue, Report, ValueError, kind};
use super::{Text, plain_file, value};
use crate::secret::Secret;
use crate::signature::robot;

const EXAMPLE: &str =
    "for example `{ credential = \"app-secret\" }` or `{ file = \"/etc/presenced/app-secret\" }`";

/// What every reader of secrets needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// What the reading has come to.
    pub(super) report: &'a Report,
    /// The config file's folder, from which relative paths count.
    pub(super) folder: &'a Path,
    /// Where credentials and variables are looked up.
    pub(super) around: &'a Env,
}

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Anything.
    General,
    /// What DingTalk's console shows and a person copies.
    Copied,
    /// An address.
    Url,
    Header,
    /// Standard Webhooks signatures: it has a form.
    Signing,
    /// The secret of a DingTalk robot, or a Standard Webhooks secret for a proxy before it.
    Robot,
}

impl Purpose {
    /// Why a secret cannot be one for this, and what to do. Never holds any of it.
    fn error(self, secret: &Secret) -> Option<(String, &'static str)> {
        let text = secret.reveal();
        let of_secret = |error: String| (format!("the secret {error}"), "");
        match self {
            Self::General => variable_before(text).map(of_secret),
            Self::Copied => copied_error(secret).map(of_secret),
            Self::Url => {
                let error = super::address::url(text).err()?;
                Some((
                    format!("the URL of this secret {}", error.message),
                    "write all of it, from `https://` on",
                ))
            }
            Self::Header => {
                let message = "this secret is not a valid header value";
                HeaderValue::from_str(text)
                    .is_err()
                    .then(|| (message.to_owned(), "use visible ASCII characters"))
            }
            Self::Signing => {
                let help =
                    "`presenced webhook secret new` creates one: `whsec_` and the base64 of 24 to 64 bytes";
                let form = || signing_secret_error(secret).map(|error| (error.to_owned(), help));
                variable_before(text).map(of_secret).or_else(form)
            }
            Self::Robot if text.starts_with(robot::SECRET_PREFIX) => None,
            Self::Robot => {
                let message = format!("a robot's signing secret starts with `{}`", robot::SECRET_PREFIX);
                let help = "see the security settings of the robot, under signing";
                let form = || signing_secret_error(secret).map(|_| (message, help));
                variable_before(text).map(of_secret).or_else(form)
            }
        }
    }
}

impl Context<'_> {
    /// Reads a reference: `{ credential = ".." }` and its like, or the secret itself.
    pub(super) fn source(&self, raw: RawValue<'_>) -> Result<SecretSource, ValueError> {
        let pairs = match raw.value {
            DeValue::String(text) if text.trim().is_empty() => {
                return Err(ValueError::new("is empty", EXAMPLE));
            }
            DeValue::String(text) => return Ok(SecretSource::Plain(Secret::new(text))),
            DeValue::Table(_) => raw.pairs().unwrap_or_default(),
            other => {
                return Err(ValueError::new(format!("expected a secret, found {}", kind(other)), EXAMPLE));
            }
        };
        let [(key, from)] = pairs.as_slice() else {
            return Err(ValueError::new("a secret comes from one place", EXAMPLE));
        };
        let texts = || -> Result<Vec<String>, ValueError> {
            let items = from.items().ok_or_else(|| {
                ValueError::new(
                    "a command is a list of words",
                    "for example `{ command = [\"pass\", \"show\", \"crm\"] }`",
                )
            })?;
            items.into_iter().map(value::text).collect()
        };
        match key.value.as_str() {
            "credential" => {
                let name = value::some_text(*from)?;
                if name.contains('/') || name.starts_with('.') {
                    return Err(ValueError::new("is no name of a credential", "a name without `/`"));
                }
                let beside = self.folder.join("credentials").join(&name);
                if self.around.credentials().is_none() {
                    self.report.reads(&beside);
                }
                Ok(SecretSource::Credential { name, beside })
            }
            "file" => {
                let written = value::some_text(*from)?;
                let path = self.folder.join(&written);
                self.report.reads(&path);
                Ok(SecretSource::File(path))
            }
            "env" => Ok(SecretSource::Env(value::some_text(*from)?)),
            "command" => match texts()? {
                words if words.first().is_none_or(String::is_empty) => Err(ValueError::new(
                    "the command is empty",
                    "for example `{ command = [\"pass\", \"show\", \"crm\"] }`",
                )),
                words => Ok(SecretSource::Command(words)),
            },
            other => Err(match nearest(other, SOURCES) {
                Some(near) => ValueError::new(
                    format!("a secret cannot come from `{other}`"),
                    format!("did you mean `{near}`?"),
                ),
                // The word may be the secret itself.
                None => ValueError::new(
                    "a secret cannot come from there",
                    format!("one of {}", SOURCES.map(|known| format!("`{known}`")).join(", ")),
                ),
            }),
        }
    }

    /// Reads a text that may be a secret.
    pub(super) fn text(&self, raw: RawValue<'_>) -> Result<Text, ValueError> {
        match raw.value {
            DeValue::String(text) => Ok(Text::Plain(text.to_string())),
            _ => self.source(raw).map(Text::Secret),
        }
    }

    /// Checks a secret without running a command.
    pub(super) fn examine(&self, spot: &Located<SecretSource>, purpose: Purpose) {
        self.examine_permissions(&spot.value, &spot.place);
        match &spot.value {
            SecretSource::Plain(_) => {
                let message = "the secret is plain text in the config";
                let problem = Problem::warning("plain-secret", Some(spot.place.clone()), message).aside("");
                self.report
                    .push(problem.help("keep it in a file or a credential: `{ credential = \"NAME\" }`"));
            }
            // Outside of the systemd unit its credentials are unknown; `check` looks for the files that stand for them.
            SecretSource::Credential { beside, .. }
                if self.around.credentials().is_none() && !beside.exists() =>
            {
                return;
            }
            SecretSource::Command(_) | SecretSource::Pushed(_) => return,
            _ => {}
        }
        match read(&spot.value, self.around) {
            Ok(secret) => {
                if let Some((message, help)) = purpose.error(&secret) {
                    let problem = Problem::error("bad-secret", Some(spot.place.clone()), message).aside("");
                    self.report.push(if help.is_empty() { problem } else { problem.help(help) });
                }
            }
            Err(error) => self.report_missing(&spot.place, error),
        }
    }

    fn report_missing(&self, place: &Place, error: SecretError) {
        match error {
            SecretError::Credential { name } if public::is_name(&name) => {
                let message = format!("there is no credential `{name}`");
                self.report.error("missing-secret", place, message, &add_credential(&name));
            }
            SecretError::Credential { .. } => {
                let help =
                    "`credential` takes the name of a credential, such as `app-secret`, not the secret";
                self.report.error("missing-secret", place, "there is no credential of that name", help);
            }
            // The daemon may run as another user than `check`.
            SecretError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {}
            SecretError::File { path, source } if source.kind() == ErrorKind::NotFound => {
                // As it is written: joined to the folder of the config everything looks like a path.
                let written = path.strip_prefix(self.folder).unwrap_or(&path);
                let message = format!("there is no {}", public::file(written));
                let help = if public::is_path(written) {
                    "create it, with only the secret in it"
                } else {
                    "`file` takes the path of a file with the secret in it, not the secret"
                };
                self.report.error("missing-secret", place, message, help);
            }
            SecretError::File { path, source } => {
                let message = format!("the {} cannot be read", public::file(&path));
                self.report.error("missing-secret", place, message, &source.to_string());
            }
            SecretError::Env(name) => {
                let message = format!("the {} is not set here", public::variable(&name));
                let help = if public::is_variable(&name) {
                    "the daemon needs it in its own environment"
                } else {
                    "`env` takes the name of a variable, such as `CRM_SECRET`, not the secret"
                };
                self.report.warning("missing-secret", place, message, help);
            }
            // It is not read here.
            SecretError::NotPushed => {}
            other @ (SecretError::NotASecret { .. } | SecretError::Command { .. }) => {
                self.report.error("bad-secret", place, other.to_string(), "");
            }
            other @ SecretError::Empty(_) => {
                self.report.error("missing-secret", place, other.to_string(), "");
            }
        }
    }

    fn examine_permissions(&self, source: &SecretSource, place: &Place) {
        let path = match source {
            SecretSource::File(path) => path,
            SecretSource::Credential { beside, .. } if self.around.credentials().is_none() => beside,
            _ => return,
        };
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if metadata.is_file() && plain_file::world_readable(&metadata) {
            let message = format!("every user of this machine can read {}", path.display());
            self.report.warning("world-readable", place, message, &format!("chmod o-rwx {}", path.display()));
        }
    }
}
