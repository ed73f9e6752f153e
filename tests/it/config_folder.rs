//! A folder with a config in it, for tests of what is read and what is said about it.
//!
//! Guards: nothing of the machine's own surroundings is read. Deliberately not here: what should come of it (`config_check`,
//! `config_formats`, `config_reading`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use presenced::config::problem::render;
use presenced::config::secrets::Env;
use presenced::config::{Loaded, Refused, load_in};
use tempfile::TempDir;

/// What every config needs, without anybody to watch.
pub(crate) const HEAD: &str = r#"time_zone = "Asia/Shanghai"
[dingtalk]
app_key = "dingxxxx"
app_secret = { credential = "app-secret" }
calls_per_month = 5000
"#;
/// Somebody to watch.
pub(crate) const ONE_USER: &str = "[[user]]\nunion_id = \"u1\"\n";

/// A folder with files in it, readable by their owner only.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// With a file that only its owner can read.
    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        self.with_mode(name, text, 0o600)
    }

    pub(crate) fn with_mode(self, name: &str, text: &str, mode: u32) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Reads `config.toml` with these variables only; `FOLDER` in them is this folder.
    pub(crate) fn load(&self, variables: &[(&str, &str)]) -> Result<Loaded, Refused> {
        let folder = self.path().display().to_string();
        let variables: BTreeMap<_, _> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.replace("FOLDER", &folder).into()))
            .collect();
        load_in(&self.path().join("config.toml"), &Env::Fixed(variables))
    }

    /// All problems as text, the folder's own name taken out.
    pub(crate) fn said_in(&self, variables: &[(&str, &str)]) -> String {
        let text = match self.load(variables) {
            Ok(loaded) => format!("{}-- accepted\n", render(&loaded.warnings, &loaded.sources)),
            Err(refused) => format!("{}-- refused\n", render(&refused.problems, &refused.sources)),
        };
        let canonical = self.path().canonicalize().expect("a folder");
        text.replace(&format!("{}/", self.path().display()), "")
            .replace(&format!("{}/", canonical.display()), "")
    }

    /// The same without variables.
    pub(crate) fn said(&self) -> String {
        self.said_in(&[])
    }

    /// Runs the program here.
    pub(crate) fn presenced(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_presenced"))
            .args(arguments)
            .current_dir(self.path())
            .env_remove("PRESENCED_CONFIG")
            .env_remove("CREDENTIALS_DIRECTORY")
            .env("NO_COLOR", "1")
            .output()
            .expect("it runs")
    }
}

/// What is said about this text alone.
pub(crate) fn said(text: &str) -> String {
    Folder::new().with("config.toml", text).said()
}

/// With what every config needs, and a user.
pub(crate) fn said_with(rest: &str) -> String {
    said(&format!("{HEAD}{ONE_USER}{rest}"))
}
