//! The folder of the demo: an ordinary config that points at loopback, and the database.
//!
//! Guards: nothing outside the folder is written; no other user can read it. Not here: running the demo (`super`).

use std::fmt::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::simulator::receiver::DEMO_SECRET;
use crate::simulator::types::Person;

/// A new folder in the temporary directory.
pub(super) fn folder() -> anyhow::Result<PathBuf> {
    let parent = std::env::temp_dir();
    let pid = std::process::id();
    // A demo that crashed may have left a folder with the same process id.
    for n in 0..100 {
        let folder = parent.join(format!("presenced-demo-{pid}-{n}"));
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot create a folder in {}", parent.display()));
            }
        }
    }
    anyhow::bail!("{} is full of folders of old demos: remove presenced-demo-{pid}-*", parent.display())
}

/// Writes the config; gives its path.
pub(super) fn write(
    folder: &Path,
    dingtalk: &str,
    receiver: &str,
    people: &[Person],
    page: bool,
) -> anyhow::Result<PathBuf> {
    let listen = if page { "127.0.0.1:0" } else { "" };
    let mut text = format!(
        r#"# The config of the demo: each user is polled every 10 seconds of the scripted time.
[dingtalk]
api_base = "{dingtalk}"
legacy_base = "{dingtalk}"
app_key = "ding-demo"
app_secret = "demo"
calls_per_month = 0
[poll]
interval = "10s"
min_interval = "5s"
[[webhook]]
name = "demo"
url = "{receiver}"
secret = "{DEMO_SECRET}"
events = ["meeting.*"]
rate = 1000
[history]
path = "presence.db"
[http]
listen = "{listen}"
"#
    );
    for person in people {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "[[user]]\nunion_id = \"{}\"\nname = \"{}\"", person.union_id, person.nick);
    }
    let file = folder.join("config.toml");
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_of_dingtalks_hosts_are_the_demos_own() {
        let (folder, base) = (tempfile::tempdir().unwrap(), "http://127.0.0.1:9");
        let people = crate::simulator::Scenario::built_in("demo").unwrap().unwrap().people().to_vec();
        let file = write(folder.path(), base, "http://127.0.0.1:9/hook", &people, false).unwrap();
        let config = crate::config::load(&file).unwrap_or_else(|refused| panic!("{refused}")).config;
        assert_eq!(config.users.len(), people.len());
        for org in &config.orgs {
            assert_eq!((org.api_base.as_str(), org.legacy_base.as_str()), (base, base));
        }
    }
}
