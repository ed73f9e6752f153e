//! `presenced init`: writes a small config that runs as it is, its credentials, and the systemd unit.
//!
//! Guards: existing files are not changed; only the owner can read credentials; the last lines are the next commands. Not
//! here: the questions on a terminal (`questions`), the text of the config (`text`).

use std::fs;
use std::io::{ErrorKind, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use self::choice::{Choice, Site, Source, likely_site};
use super::check::first_check;
use super::new_secret::new_secret;
use super::{Exit, Failure, Globals, number};
use crate::secret::Secret;
use crate::simulator::receiver::DEMO_SECRET;

mod choice;
mod questions;
mod text;

const UNIT: &str = include_str!("../../systemd/presenced.service");
/// Of the 5,000 calls a month that the standard edition has for all apps of an organisation.
const CALLS: u64 = 3000;

/// Options of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Use the built-in DingTalk of `presenced simulate`; needs no account
    #[arg(long = "try", conflicts_with_all = ["app_key", "app_secret_file", "site", "calls", "user"])]
    trial: bool,
    /// Key of your DingTalk app
    #[arg(long, value_name = "KEY")]
    app_key: Option<String>,
    /// Read the secret of the app from FILE (`-` = standard input)
    #[arg(long, value_name = "FILE", requires = "app_key")]
    app_secret_file: Option<PathBuf>,
    /// Site of the organisation: mainland or international
    #[arg(long, value_enum, value_name = "SITE", requires = "app_key", hide_possible_values = true)]
    site: Option<Site>,
    /// Calls a month that presenced may spend
    #[arg(long = "calls-per-month", value_name = "N", default_value_t = CALLS, value_parser = number::whole(0_u64, None))]
    calls: u64,
    /// Watch this user; can be repeated
    #[arg(long, value_name = "UNIONID")]
    user: Vec<String>,
    /// Send signed callbacks to this URL
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    // Paths in the current folder are shown without `./`.
    let dir = args.dir.strip_prefix(".").unwrap_or(&args.dir).to_owned();
    let config = dir.join("config.toml");
    let is_asked = args.trial || args.app_key.is_some() || args.webhook.is_some() || !args.user.is_empty();
    if config.exists() {
        if is_asked {
            let message = format!(
                "{} exists already; edit it, or choose another folder with `--dir`",
                config.display()
            );
            return Err(Failure::new(Exit::Failed, message).into());
        }
        anstream::eprintln!("{} exists already and is not changed", config.display());
    }
    let interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let choice = match args {
        _ if is_asked => from_options(&args)?,
        _ if interactive && !config.exists() => questions::ask(args.calls)?,
        _ => from_options(&args)?,
    };
    let written = write_all(&dir, &choice)?;
    if !globals.quiet {
        for path in &written {
            anstream::println!("wrote {}", path.display());
        }
        if written.contains(&config) {
            first_check(&config);
        }
    }
    Ok(Exit::Done)
}

fn from_options(args: &Args) -> anyhow::Result<Choice> {
    let source = if args.trial {
        Source::BuiltIn
    } else {
        let secret = args.app_secret_file.as_deref().map(read_secret).transpose()?;
        let site = args.site.unwrap_or_else(likely_site);
        Source::App { site, key: args.app_key.clone(), secret, calls: args.calls }
    };
    Ok(Choice { source, users: args.user.clone(), webhook: args.webhook.clone() })
}

fn read_secret(path: &Path) -> anyhow::Result<Secret> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().take(64 * 1024).read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.with_context(|| format!("cannot read the secret from {}", path.display()))?;
    Ok(Secret::new(text.trim()))
}

/// Writes what does not exist yet, and returns it.
fn write_all(dir: &Path, choice: &Choice) -> anyhow::Result<Vec<PathBuf>> {
    let credentials = dir.join("credentials");
    let folders = [(dir, 0o750), (&credentials, 0o700)].into_iter();
    for (path, mode) in folders.filter(|(path, _)| !path.as_os_str().is_empty()) {
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        made.with_context(|| format!("cannot create {}", path.display()))?;
    }
    let is_service = dir.starts_with("/etc");
    let mut files = vec![(dir.join("config.toml"), text::config(choice, is_service), 0o640)];
    let app_secret = match &choice.source {
        Source::BuiltIn => Some(Secret::new("any-secret-is-accepted")),
        Source::App { secret, .. } => secret.clone(),
    };
    if let Some(secret) = app_secret {
        files.push((credentials.join("app-secret"), format!("{}\n", secret.reveal()), 0o600));
    }
    let has_webhook = text::callbacks(choice).is_some();
    if has_webhook {
        // The simulator verifies with the secret of the demo.
        let is_demo = matches!(choice.source, Source::BuiltIn) && choice.webhook.is_none();
        let secret = if is_demo { DEMO_SECRET.to_owned() } else { new_secret()? };
        files.push((credentials.join("webhook-secret"), secret + "\n", 0o600));
    }
    if matches!(choice.source, Source::App { .. }) {
        files.push((dir.join("presenced.service"), unit(has_webhook), 0o644));
    }
    let mut written = Vec::new();
    for (path, text, mode) in files {
        if write(&path, &text, mode)? {
            written.push(path);
        }
    }
    Ok(written)
}

/// The unit, with the credential of the webhook.
fn unit(has_webhook: bool) -> String {
    let example = "#LoadCredential=crm-webhook:/etc/presenced/credentials/crm-webhook";
    let credential = "LoadCredential=webhook-secret:/etc/presenced/credentials/webhook-secret";
    if has_webhook { UNIT.replace(example, credential) } else { UNIT.to_owned() }
}

/// Writes a new file; `false` if it exists already.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<bool> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .map(|()| true)
            .with_context(|| format!("cannot write {}", path.display())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot create {}", path.display())),
    }
}
