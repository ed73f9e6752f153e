//! Secrets in the file: reading the reference, and whether it leads anywhere.
//!
//! Guards: what can be known without running anything is said now, not when the secret is first needed: a missing
//! file or credential, permissions that are too wide, a signing secret of the wrong form. Deliberately not here:
//! getting a secret (`secrets`).

use std::io::ErrorKind;
use std::path::Path;

use reqwest::header::HeaderValue;
use toml::de::DeValue;

use super::keys::nearest;
use super::problem::{Place, Problem};
use super::public::{self, SOURCES};
use super::secrets::text::{copied_trouble, variable_before};
use super::secrets::{SecretError, SecretSource, Surroundings, add_credential, read, signing_secret_trouble};
use super::section::{Raw, Report, Spot, Trouble, kind};
use super::{Text, file, value};
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
    pub(super) around: &'a Surroundings,
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
    /// The value of a header.
    Header,
    /// Standard Webhooks signatures: it has a form.
    Signing,
    /// A DingTalk robot's signature, or a Standard Webhooks one for whoever stands in between.
    Robot,
}

impl Purpose {
    /// Why a secret cannot be one for this, and what to do. Never holds any of it.
    fn trouble(self, secret: &Secret) -> Option<(String, &'static str)> {
        let text = secret.reveal();
        let of_secret = |trouble: String| (format!("the secret {trouble}"), "");
        match self {
            Self::General => variable_before(text).map(of_secret),
            Self::Copied => copied_trouble(secret).map(of_secret),
            Self::Url => {
                let trouble = super::address::url(text).err()?;
                Some((
                    format!("the URL of this secret {}", trouble.message),
                    "write all of it, from `https://` on",
                ))
            }
            Self::Header => {
                let message = "this secret cannot travel in a header";
                HeaderValue::from_str(text)
                    .is_err()
                    .then(|| (message.to_owned(), "visible signs of ASCII can"))
            }
            Self::Signing => {
                let help =
                    "`presenced webhook secret new` makes one: `whsec_` and the base64 of 24 to 64 bytes";
                let form = || signing_secret_trouble(secret).map(|trouble| (trouble.to_owned(), help));
                variable_before(text).map(of_secret).or_else(form)
            }
            Self::Robot if text.starts_with(robot::SECRET_PREFIX) => None,
            Self::Robot => {
                let message = format!("a robot's signing secret starts with `{}`", robot::SECRET_PREFIX);
                let help = "it stands in the robot's security settings, under signing";
                let form = || signing_secret_trouble(secret).map(|_| (message, help));
                variable_before(text).map(of_secret).or_else(form)
            }
        }
    }
}

impl Context<'_> {
    /// Reads a reference: `{ credential = ".." }` and its like, or the secret itself.
    pub(super) fn source(&self, raw: Raw<'_>) -> Result<SecretSource, Trouble> {
        let pairs = match raw.value {
            DeValue::String(text) if text.trim().is_empty() => return Err(Trouble::new("is empty", EXAMPLE)),
            DeValue::String(text) => return Ok(SecretSource::Plain(Secret::new(text))),
            DeValue::Table(_) => raw.pairs().unwrap_or_default(),
            other => return Err(Trouble::new(format!("expected a secret, found {}", kind(other)), EXAMPLE)),
        };
        let [(key, from)] = pairs.as_slice() else {
            return Err(Trouble::new("a secret comes from one place", EXAMPLE));
        };
        let texts = || -> Result<Vec<String>, Trouble> {
            let items = from.items().ok_or_else(|| {
                Trouble::new(
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
                    return Err(Trouble::new("is no name of a credential", "a name without `/`"));
                }
                Ok(SecretSource::Credential(name))
            }
            "file" => {
                let written = value::some_text(*from)?;
                let path = self.folder.join(&written);
                self.report.reads(&path);
                Ok(SecretSource::File(path))
            }
            "env" => Ok(SecretSource::Env(value::some_text(*from)?)),
            "command" => match texts()? {
                words if words.first().is_none_or(String::is_empty) => Err(Trouble::new(
                    "the command is empty",
                    "for example `{ command = [\"pass\", \"show\", \"crm\"] }`",
                )),
                words => Ok(SecretSource::Command(words)),
            },
            other => Err(match nearest(other, SOURCES) {
                Some(near) => Trouble::new(
                    format!("a secret cannot come from `{other}`"),
                    format!("did you mean `{near}`?"),
                ),
                // The word may be the secret itself.
                None => Trouble::new(
                    "a secret cannot come from there",
                    format!("one of {}", SOURCES.map(|known| format!("`{known}`")).join(", ")),
                ),
            }),
        }
    }

    /// Reads a text that may be a secret.
    pub(super) fn text(&self, raw: Raw<'_>) -> Result<Text, Trouble> {
        match raw.value {
            DeValue::String(text) => Ok(Text::Plain(text.to_string())),
            _ => self.source(raw).map(Text::Secret),
        }
    }

    /// Says what can be said about a secret without running anything.
    pub(super) fn examine(&self, spot: &Spot<SecretSource>, purpose: Purpose) {
        self.examine_permissions(&spot.value, &spot.place);
        match &spot.value {
            SecretSource::Plain(_) => {
                let message = "a secret stands in the config as plain text";
                let problem = Problem::warning("plain-secret", Some(spot.place.clone()), message).aside("");
                self.report
                    .push(problem.help("keep it in a file or a credential: `{ credential = \"NAME\" }`"));
            }
            // Outside of the unit nobody knows which credentials the unit loads.
            SecretSource::Credential(_) if self.around.credentials().is_none() => return,
            SecretSource::Command(_) => return,
            _ => {}
        }
        match read(&spot.value, self.around) {
            Ok(secret) => {
                if let Some((message, help)) = purpose.trouble(&secret) {
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
            // The daemon may be another user than the one who checks.
            SecretError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {}
            SecretError::File { path, source } if source.kind() == ErrorKind::NotFound => {
                // As it is written: joined to the folder of the config everything looks like a path.
                let written = path.strip_prefix(self.folder).unwrap_or(&path);
                let message = format!("there is no {}", public::file(written));
                let help = if public::is_path(written) {
                    "make it, with the secret in it and nothing else"
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
            other @ (SecretError::NotASecret { .. } | SecretError::Command { .. }) => {
                self.report.error("bad-secret", place, other.to_string(), "");
            }
            other @ SecretError::Empty(_) => {
                self.report.error("missing-secret", place, other.to_string(), "");
            }
        }
    }

    fn examine_permissions(&self, source: &SecretSource, place: &Place) {
        let SecretSource::File(path) = source else { return };
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if metadata.is_file() && file::world_readable(&metadata) {
            let message = format!("everybody on this machine can read {}", path.display());
            self.report.warning("world-readable", place, message, &format!("chmod o-rwx {}", path.display()));
        }
    }
}
