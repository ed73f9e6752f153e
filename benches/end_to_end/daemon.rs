//! The daemon as a subject: the real binary with a config that makes it work as hard as the load says.
//!
//! Guards: nothing of it is replaced; whoever changes the pipeline changes what is measured. Deliberately not here:
//! any knowledge of what is inside.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::Result;

use crate::measure::STDERR;
use crate::{Answers, Load, machine};

/// High enough never to be the limit.
const NO_LIMIT: u32 = 100_000;

/// The shortest interval the config takes; with enough people it asks for more calls than any machine makes.
const SHORTEST_MS: u64 = 100;

/// The n-th person, as long as a real unionId.
pub(crate) fn union_id(user: usize) -> String {
    format!("bench{user:0>20}iEiE")
}

/// Starts `presenced run` on the measured core, with its files in `folder`.
pub(crate) fn start(base_url: &str, load: &Load, folder: &Path) -> Result<Child> {
    let file = folder.join("config.toml");
    fs::write(&file, config(base_url, load)?)?;
    Ok(machine::pinned(machine::CLIENT_CORE, Path::new(env!("CARGO_BIN_EXE_presenced")))
        .arg("run")
        .arg("--config")
        .arg(&file)
        .current_dir(folder)
        .env_remove("PRESENCED_CONFIG")
        .env("RUNTIME_DIRECTORY", folder)
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join(STDERR))?)
        .spawn()?)
}

fn config(base_url: &str, load: &Load) -> Result<String> {
    let interval_ms = load.rate.map_or(SHORTEST_MS, |rate| 1_000 * load.users as u64 / u64::from(rate));
    let mut text = format!(
        r#"time_zone = "UTC"
[dingtalk]
api_base = "{base_url}"
legacy_base = "{base_url}"
app_key = "bench"
app_secret = "bench"
calls_per_month = 0
rate = {NO_LIMIT}
concurrency = {concurrency}
[poll]
interval = "{interval_ms}ms"
sweep = "off"
[history]
path = "presence.db"
[http]
listen = ""
[log]
level = "error"
"#,
        concurrency = load.concurrency,
    );
    if load.answers == Answers::Changing {
        write!(
            text,
            r#"[[webhook]]
name = "bench"
url = "{base_url}/hook"
secret = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
concurrency = {concurrency}
rate = {NO_LIMIT}
"#,
            concurrency = load.concurrency,
        )?;
    }
    for user in 0..load.users {
        write!(text, "[[user]]\nunion_id = \"{}\"\n", union_id(user))?;
    }
    Ok(text)
}
