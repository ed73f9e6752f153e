//! The first commands of a new user: `init`, `check`, the demo and its end, and what a webhook would send.
//!
//! Guards: each command ends with the next one, and what it wrote runs as it is. Deliberately not here: the whole way to the
//! first callback (`tests/first-hour`), problems of the text of a config (`config_check`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use crate::config_folder::Folder;
use crate::harness::receiver::SECRET;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn mode(folder: &Folder, name: &str) -> u32 {
    std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_try_writes_a_config_for_the_built_in_dingtalk_and_says_what_comes_next() {
    let folder = Folder::new();
    let output = folder.presenced(&["init", "--try"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("config.toml is fine: 7 people, 1 webhook\n"), "{said}");
    assert!(said.ends_with("next: presenced simulate\nand in a second terminal: presenced run\n"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let modes = ["credentials", "credentials/app-secret", "credentials/webhook-secret"]
        .map(|name| mode(&folder, name));
    assert_eq!(modes, [0o700, 0o600, 0o600]);
    let config = std::fs::read_to_string(folder.path().join("config.toml")).unwrap();
    assert!(config.lines().count() < 60, "{config}");
    assert!(!folder.path().join("presenced.service").exists());
}

#[test]
fn init_takes_the_answers_as_options_and_the_secret_from_its_input() {
    let folder = Folder::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_presenced"))
        .args(["init", "--app-key", "dingabc", "--app-secret-file", "-", "--site", "mainland"])
        .args(["--user", "u1", "--user", "u2", "--webhook", "http://127.0.0.1:9/hook"])
        .current_dir(folder.path())
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hunter2\n").unwrap();
    let said = text(&child.wait_with_output().unwrap());
    let summary = "2 people, 1 webhook; in a full month each is polled every\n29 min\n";
    assert!(said.contains(summary), "{said}");
    assert!(said.ends_with("next: presenced run\n"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("credentials/app-secret"), "hunter2\n");
    assert!(read("credentials/webhook-secret").starts_with("whsec_"));
    assert!(read("config.toml").contains("site = \"mainland\"\napp_key = \"dingabc\""));
    assert!(read("config.toml").contains("calls_per_month = 3000"));
    assert!(read("presenced.service").contains("\nLoadCredential=webhook-secret:"));
    // What is there is not changed.
    let again = folder.presenced(&["init", "--try"]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again));
    assert!(text(&again).contains("config.toml exists already"), "{}", text(&again));
    assert!(read("config.toml").contains("dingabc"));
}

#[test]
fn check_knows_placeholders_missing_secrets_and_a_missing_folder_all_at_once() {
    let config = "[dingtalk]\napp_key = \"dingxxxx\"\napp_secret = { credential = \"app-secret\" }\ncalls_per_month = 5000\n\
                  [[user]]\nunion_id = \"2iPOLbpUNMLzB5LuwggiiqiPwiEiE\"\n[[webhook]]\nname = \"crm\"\n\
                  url = \"https://crm.example.com/hooks\"\nsecret = { credential = \"crm\" }\n[history]\npath = \"no/such/presence.db\"\n";
    let folder = Folder::new().with("config.toml", config);
    let output = folder.presenced(&["check"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for part in [
        "`app_key` is still the example `dingxxxx`\n  --> config.toml:2:11",
        "error: there is no credential `app-secret`\n  --> config.toml:3:29",
        "`union_id` is still that of the example\n  --> config.toml:6:12",
        "webhook `crm` sends to crm.example.com, which is only for examples\n  --> config.toml:9:7",
        "error: there is no credential `crm`\n  --> config.toml:10:25",
        "/no/such, does not exist\n  --> config.toml:12:8",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(said.ends_with("config.toml has 3 errors and 3 warnings\n"), "{said}");
}

#[test]
fn a_nameless_webhook_or_organisation_hides_no_problem() {
    let config = "[dingtalk]\ncalls_per_month = 1\n[[org]]\napp = \"token\"\n[[webhook]]\nurl = \"https://hooks.slack.com/x\"\n\
                  [[webhook]]\nformat = \"template\"\ntemplate = \"slak\"\n[[user]]\nunion_id = \"u1\"\n";
    let said = text(&Folder::new().with("config.toml", config).presenced(&["check"]));
    for part in [
        "`name` is missing in [[webhook]]",
        "robot of Slack",
        "did you mean `slack`?",
        "`access_token` is missing",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn a_demo_that_is_interrupted_shows_its_own_time() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_presenced"))
        .args(["demo", "--seconds", "600"])
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(" joined ") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "it ended before anybody joined");
    }
    let interrupted = Command::new("sh").arg("-c").arg(format!("kill -INT {}", demo.id())).status();
    assert!(interrupted.unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{rest}");
    let now = rest.split("the output of `presenced now`:").nth(1).unwrap();
    let inside = now.lines().find(|line| line.contains("inside")).unwrap_or_else(|| panic!("{rest}"));
    assert!(inside.contains(" s ago"), "ten minutes before the end of the script are no age: {inside}");
}

#[test]
fn webhook_test_shows_what_a_template_would_send_for_a_user_of_the_config() {
    let config = format!(
        "[dingtalk]\napp_key = \"k\"\napp_secret = \"s\"\ncalls_per_month = 5000\n[history]\npath = \"presence.db\"\n\
         [[user]]\nunion_id = \"u-wang\"\nname = \"王芳\"\n[[webhook]]\nname = \"chat\"\nurl = \"http://127.0.0.1:9/\"\n\
         format = \"template\"\ntemplate = \"discord-zh\"\nsecret = \"{SECRET}\"\n"
    );
    let folder = Folder::new().with("config.toml", &config);
    let shown = |more: &[&str]| {
        let output = folder.presenced(&[&["webhook", "test", "chat", "--dry-run"], more].concat());
        (output.status.code(), text(&output))
    };
    let (code, said) = shown(&["--type", "meeting.participant_left", "--user", "王芳"]);
    assert!(code == Some(0) && said.contains("\"content\": \"王芳 ") && said.contains("离开会议"), "{said}");
    assert_eq!(shown(&["--user", "nobody"]).0, Some(4));
    let (code, said) = shown(&["--type", "meeting.left"]);
    assert!(code == Some(2) && said.contains("did you mean `meeting.participant_left`?"), "{said}");
}

#[test]
fn every_alert_has_a_line_that_says_what_to_do() {
    let page = crate::tidy::read(&crate::tidy::root().join("docs/operations.md"));
    let rules = crate::tidy::read(&crate::tidy::root().join("contrib/prometheus/alerts.yml"));
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let own = ["budget", "auth", "upstream", "config", "webhook", "push", "database"];
    for name in names.chain(own) {
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name} is not in the runbook");
    }
}

#[test]
fn hints_name_what_was_meant() {
    let config = "time_zone = \"China\"\n[dingtalk]\napp_key = \"k\"\napp_secret = \"s\"\ncalls_per_month = 1\n[history]\nsnapshots = 90\n";
    let said = text(&Folder::new().with("config.toml", config).presenced(&["check"]));
    for part in ["China's is `Asia/Shanghai`", "write `\"90d\"` for days"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn the_language_of_messages_can_be_set_for_all_of_them() {
    let config = |language: &str, template: &str| {
        format!(
            "time_zone = \"UTC\"\nlanguage = \"{language}\"\n[dingtalk]\napp_key = \"k\"\napp_secret = \"s\"\ncalls_per_month = 1\n\
             [history]\npath = \"presence.db\"\n[[webhook]]\nname = \"chat\"\nurl = \"http://127.0.0.1:9/\"\n\
             format = \"template\"\ntemplate = \"{template}\"\n"
        )
    };
    let said = |language: &str, template: &str| {
        let folder = Folder::new().with("config.toml", &config(language, template));
        text(&folder.presenced(&["webhook", "test", "chat", "--dry-run"]))
    };
    assert!(said("zh-CN", "slack").contains("加入会议"));
    assert!(said("auto", "slack").contains("joined"));
    assert!(said("zh-CN", "slack-en").contains("joined"), "the name of the template wins");
    assert!(said("french", "slack").contains("zh-CN"));
}

#[test]
fn check_has_every_format() {
    let config = "[dingtalk]\napp_key = \"k\"\napp_secret = \"s\"\ncalls_per_month = 1\n[history]\npath = \"presence.db\"\n";
    let folder = Folder::new().with("config.toml", config);
    let said = |arguments: &[&str]| text(&folder.presenced(arguments));
    let csv = said(&["check", "-o", "csv"]);
    assert!(csv.starts_with("code,severity,file,line,column,message,help\n"), "{csv}");
    assert!(csv.contains("plain-secret,warning,config.toml,3,14,"), "{csv}");
    let jsonl = said(&["check", "-o", "jsonl"]);
    let first: serde_json::Value = serde_json::from_str(jsonl.lines().next().unwrap()).unwrap();
    assert_eq!((&first["code"], &first["line"]), (&"plain-secret".into(), &3.into()));
}
