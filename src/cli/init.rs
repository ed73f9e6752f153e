//! `presenced init`: the files to begin with: a commented config, a folder for credentials, the unit.
//!
//! Guards: nothing that is there already is touched; the folder of credentials is closed to others. Deliberately not
//! here: asking questions.

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
    /// Where to; default: this folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Runs it.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let dir = args.dir.as_path();
    let folder = |path: &Path, mode| {
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        made.with_context(|| format!("{} cannot be made", path.display()))
    };
    folder(dir, 0o750)?;
    folder(&dir.join("credentials"), 0o700)?;
    folder(&dir.join("watch.d"), 0o750)?;
    let mut new = Vec::new();
    for (name, text, mode) in [("config.toml", CONFIG, 0o640), ("presenced.service", UNIT, 0o644)] {
        if write(&dir.join(name), text, mode)? {
            new.push(name);
        } else {
            anstream::eprintln!("{} is there already and stays as it is", dir.join(name).display());
        }
    }
    if !globals.quiet {
        for name in new {
            anstream::println!("{}", dir.join(name).display());
        }
        anstream::println!(
            "Next: fill in {config}, put the app's secret into {secret} (0600), and run\n  presenced check -c {config}",
            config = dir.join("config.toml").display(),
            secret = dir.join("credentials/app-secret").display(),
        );
    }
    Ok(Exit::Done)
}

/// `false`: there is one already.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<bool> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .map(|()| true)
            .with_context(|| format!("{} cannot be written", path.display())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{} cannot be made", path.display())),
    }
}
