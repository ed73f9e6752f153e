//! `presenced init`: writes the files to start with: a commented config, a folder for credentials, the systemd unit.
//!
//! Guards: existing files are not changed; only the owner may read the credentials folder. Not here: asking questions.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Exit, Globals};

const CONFIG: &str = include_str!("../../config.example.toml");
const UNIT: &str = include_str!("../../systemd/presenced.service");

/// Options of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write to (default: the current folder)
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let dir = args.dir.as_path();
    let folder = |path: &Path, mode| {
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        made.with_context(|| format!("cannot create {}", path.display()))
    };
    folder(dir, 0o750)?;
    folder(&dir.join("credentials"), 0o700)?;
    folder(&dir.join("watch.d"), 0o750)?;
    let mut new = Vec::new();
    for (name, text, mode) in [("config.toml", CONFIG, 0o640), ("presenced.service", UNIT, 0o644)] {
        if write(&dir.join(name), text, mode)? {
            new.push(name);
        } else {
            anstream::eprintln!("{} exists already and is not changed", dir.join(name).display());
        }
    }
    if !globals.quiet {
        for name in new {
            anstream::println!("{}", dir.join(name).display());
        }
        anstream::println!(
            "Next: edit {config}, write the app secret to {secret} (mode 0600), then run\n  presenced check -c {config}",
            config = dir.join("config.toml").display(),
            secret = dir.join("credentials/app-secret").display(),
        );
    }
    Ok(Exit::Done)
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
