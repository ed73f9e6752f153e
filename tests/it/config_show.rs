//! `config show`: what it prints, read as a config, is the same config; each value says where it comes from; nothing
//! secret is in it.

use std::path::Path;
use std::process::{Command, Output};

use presenced::config::secrets::Env;
use presenced::config::{Config, load_in};
use tempfile::TempDir;

/// Everything that inherits, follows from something else, or stands in another file.
const MAIN: &str = r#"time_zone = "Asia/Shanghai"
[dingtalk]
site = "mainland"
app_key = "dingxxxx"
app_secret = { credential = "app-secret" }
calls_per_month = 0
month_time_zone = "Asia/Tokyo"
rate = 0x10
proxy = "http://proxy.example.com:3128"
[[org]]
name = "acme"
corp_id = "dingacme"
timeout = "7s"
[poll]
interval = "2m"
sweep = "off"
[poll.backoff]
factor = 3
[[window]]
days = "mon-fri"
from = 08:30:00
[[window]]
name = "nights"
from = "22:00"
to = "02:00"
time_zone = "Europe/Berlin"
groups = ["night"]
[[blackout]]
dates = [2027-02-05, "2027-02-07..2027-02-08"]
[[group]]
name = "night"
cron = "*/20 22-23 * * MON-FRI"
[webhook_defaults]
format = "template"
template = "feishu"
headers = { "X-Site" = { env = "SITE" } }
rate = 3
[webhook_defaults.backoff]
initial = "1s"
[[webhook]]
name = "feishu"
url = { file = "feishu.url" }
[[webhook]]
name = "crm"
url = "https://crm.example.com"
format = "standard"
secret = [{ file = "crm.whsec" }]
rate = 4
max_age = "forever"
backoff = { factor = 2.5 }
[watch]
include = ["watch.d/10-*.toml"]
auto_reload = true
[history]
path = "data/presence.db"
visits = "forever"
[history.backup]
dir = "backups"
[http]
listen = "localhost:8788"
token = { credential = "http-token" }
"#;
const INCLUDED: &str = r#"[[user]]
union_id = "u1"
name = "Li Wei"
org = "acme"
groups = ["night", "day"]
tags = { site = "HZ", "a b" = "\"c\"" }
[[user]]
union_id = "u2"
org = "beta"
interval = "30s"
[[user]]
union_id = "u3"
org = "beta"
enabled = false
[[org]]
name = "beta"
[[group]]
name = "day"
"#;

struct Folder(TempDir);

impl Folder {
    fn new(main: &str, included: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = Self(tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(folder.path().join("watch.d")).expect("made");
        for (name, text) in [
            ("config.toml", main),
            ("watch.d/10-ops.toml", included),
            ("crm.whsec", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"),
            ("feishu.url", "https://open.feishu.cn/hook/hunter2\n"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_presenced"))
            .args(arguments)
            .current_dir(self.path())
            .env_remove("PRESENCED_CONFIG")
            .env_remove("CREDENTIALS_DIRECTORY")
            .env("NO_COLOR", "1")
            .env("COLUMNS", "80")
            .env("SITE", "HZ")
            .output()
            .expect("it runs")
    }

    fn shown(&self, arguments: &[&str]) -> String {
        let ended = self.run(&[&["config", "show"], arguments].concat());
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).expect("text")
    }

    /// The config of a file in this folder, all of it but the file's own name.
    fn config(&self, file: &str) -> String {
        let around = Env::Fixed([("SITE".to_owned(), "HZ".into())].into());
        let loaded = load_in(&self.path().join(file), &around).unwrap_or_else(|refused| panic!("{refused}"));
        let config = Config { file: "config.toml".into(), ..loaded.config };
        format!("{config:#?}")
    }

    /// What is shown is the same config, and is shown the same way again.
    fn assert_whole(&self) {
        let shown = self.shown(&[]);
        for text in [shown.clone(), self.shown(&["--origin"])] {
            std::fs::write(self.path().join("shown.toml"), text).expect("written");
            assert_eq!(self.config("config.toml"), self.config("shown.toml"));
        }
        assert_eq!(self.shown(&["-c", "shown.toml"]), shown);
    }
}

#[test]
fn what_is_shown_is_the_same_config() {
    Folder::new(MAIN, INCLUDED).assert_whole();
}

#[test]
fn the_example_is_shown_whole_too() {
    Folder::new(include_str!("../../config.example.toml"), "").assert_whole();
}

#[test]
fn every_value_says_where_it_comes_from() {
    let folder = Folder::new(MAIN, INCLUDED);
    let canonical = folder.path().canonicalize().expect("a folder");
    let text = folder.shown(&["--origin"]);
    let text = text.replace(&format!("{}/", canonical.display()), "/etc/presenced/");
    let text = text.replace(&format!("{}/", folder.path().display()), "/etc/presenced/");
    // How far to the right the remarks stand follows from the temporary folder's name.
    let narrow = |line: &str| match line.split_once(" # ") {
        Some((value, remark)) => format!("{}  # {remark}\n", value.trim_end()),
        None => format!("{line}\n"),
    };
    insta::assert_snapshot!(text.lines().map(narrow).collect::<String>());
}

#[test]
fn as_json_it_is_a_document_or_rows() {
    let folder = Folder::new(MAIN, INCLUDED);
    let document: serde_json::Value = serde_json::from_str(&folder.shown(&["-o", "json"])).expect("JSON");
    assert_eq!(document["poll"]["interval"], "2m");
    assert_eq!(document["user"][1]["interval"], "30s");
    assert_eq!(document["webhook"][1]["backoff"]["factor"], 2.5);
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&folder.shown(&["--origin", "-o", "json"])).expect("JSON");
    let row = |table: &str, key: &str| {
        rows.iter().find(|row| row["table"] == table && row["key"] == key).expect(key).clone()
    };
    let interval = row("user[2]", "interval");
    assert_eq!(
        (interval["file"].as_str(), interval["line"].as_i64(), interval["value"].as_str()),
        (Some("watch.d/10-ops.toml"), Some(10), Some("\"30s\""))
    );
    assert_eq!(row("log", "level")["origin"], "default");
    assert_eq!(folder.run(&["config", "show", "-o", "csv"]).status.code(), Some(2));
}

#[test]
fn a_secret_is_never_shown() {
    let main = r#"time_zone = "UTC"
[dingtalk]
app_key = "dingxxxx"
app_secret = "hunter2-app"
calls_per_month = 0
proxy = "http://me:hunter2-proxy@proxy.example.com:3128"
[[webhook]]
name = "robot"
url = "https://oapi.dingtalk.com/robot/send?access_token=hunter2-robot"
format = "dingtalk_robot"
secret = "SEChunter2"
[[webhook]]
name = "slack"
url = "https://hooks.slack.com/services/T000/B000/hunter2path"
format = "template"
template = "slack"
secret = { command = ["echo", "whsec_hunter2"] }
headers = { Authorization = "Bearer hunter2-header", "X-Anything" = "hunter2-any" }
[http]
token = "hunter2-token"
"#;
    let folder = Folder::new(main, "[[user]]\nunion_id = \"u1\"\n");
    for arguments in [&[][..], &["--origin"], &["-o", "json"], &["--origin", "-o", "csv"]] {
        let shown = folder.shown(arguments);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("hidden"), "{shown}");
    }
}

#[test]
fn a_config_that_cannot_be_used_is_not_shown() {
    let folder = Folder::new("[poll]\nintervall = \"2m\"\n", "");
    let ended = folder.run(&["config", "show"]);
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(78), &b""[..]));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("did you mean `interval`?"));
}

#[test]
fn keys_are_explained() {
    let folder = Folder::new("", "");
    let ended = folder.run(&["config", "explain", "history.path"]);
    assert_eq!(ended.status.code(), Some(0));
    insta::assert_snapshot!(String::from_utf8(ended.stdout).expect("text"));
    let ended = folder.run(&["config", "explain", "poll.intervall"]);
    assert_eq!(ended.status.code(), Some(4));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "error: there is no key `poll.intervall`: did you mean `poll.interval`?\n"
    );
    let ended = folder.run(&["config", "explain", "[[user]]", "interval", "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!((rows[0]["key"].as_str(), rows.as_array().map(Vec::len)), (Some("user.interval"), Some(1)));
}
