//! What `check` says about webhook formats: templates that are tried, secrets that have a form.
//!
//! Guards: a template that cannot work is refused before anything is sent, and the samples it is tried with are real.
//! Deliberately not here: every other mistake (`config_check`).

use std::path::Path;

use crate::config_folder::{Folder, HEAD, ONE_USER};

fn folder_with(webhooks: &str) -> Folder {
    Folder::new().with("config.toml", &format!("{HEAD}{ONE_USER}{webhooks}"))
}

#[test]
fn formats_that_cannot_work() {
    let mut folder = folder_with(
        r#"[webhook_defaults]
format = "template"
[[webhook]]
name = "a"
url = "https://a.example.com"
template = "broken.j2"
[[webhook]]
name = "b"
url = "https://b.example.com"
template = "text.j2"
[[webhook]]
name = "c"
url = "https://c.example.com"
template = "joins.j2"
events = ["meeting.*", "user.*"]
[[webhook]]
name = "d"
url = "https://d.example.com"
template = "one.j2"
batch = "20s"
[[webhook]]
name = "e"
url = "https://e.example.com"
template = "salck"
[[webhook]]
name = "f"
url = "https://f.example.com"
format = "standard"
template = "slack"
[[webhook]]
name = "g"
url = "https://g.example.com"
format = "dingtalk_robot"
template = "slack"
secret = "sec-of-mine"
[[webhook]]
name = "fine"
url = "https://fine.example.com"
template = "own.j2"
events = ["*"]
batch = "20s"
[[webhook]]
name = "robot"
url = "https://robot.example.com"
format = "dingtalk_robot"
template = "robot-en"
secret = { file = "robot.sec" }
"#,
    );
    for (name, text) in [
        ("broken.j2", "{\n  \"text\": {{ text | json }\n}\n"),
        ("text.j2", "{\"text\": {{ text }}}"),
        ("joins.j2", "{\"left\": {{ event.data.visit.left_at | json }}}"),
        ("one.j2", "{{ '{}' if events | length == 1 else 'x' }}"),
        ("own.j2", "{\"text\": {{ texts | join(', ') | json }}}"),
        ("robot.sec", "SEC000\n"),
    ] {
        folder = folder.with(name, text);
    }
    insta::assert_snapshot!(folder.said());
}

#[test]
fn a_shipped_template_brings_its_own_rule_of_success() {
    let folder = folder_with(
        r#"[webhook_defaults]
format = "template"
[[webhook]]
name = "a"
url = "https://a.example.com"
template = "feishu"
[[webhook]]
name = "b"
url = "https://b.example.com"
template = "wecom-en"
success = { json = "/ok", equals = true }
[[webhook]]
name = "c"
url = "https://c.example.com"
template = "slack"
"#,
    );
    let loaded = folder.load(&[]).expect("a config");
    assert_eq!(loaded.warnings, []);
    let success: Vec<_> = loaded.config.webhooks.iter().map(|webhook| webhook.success.clone()).collect();
    let rule = |pointer: &str, equals: serde_json::Value| Some((pointer.to_owned(), equals));
    assert_eq!(success, [rule("/code", 0.into()), rule("/ok", true.into()), None]);
}

#[test]
fn the_samples_are_what_the_program_sends() {
    // Templates are tried with these; the snapshots beside the events are what those really are.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for body in presenced::message::sample::bodies() {
        let sample: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let name = format!(
            "presenced__presence__tests__envelope__{}.snap",
            sample["type"].as_str().expect("a type")
        );
        let snapshot =
            std::fs::read_to_string(root.join("src/presence/tests/snapshots").join(&name)).expect(&name);
        let text = snapshot.splitn(3, "---\n").nth(2).expect("a head");
        let real: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(sample, real, "copy {name} into src/message/samples.jsonl");
    }
    let types = presenced::presence::event::EventType::ALL;
    assert_eq!(presenced::message::sample::bodies().count(), types.len());
}

#[test]
fn a_robot_without_its_format_is_an_error_that_names_the_lines_to_add_and_shows_no_token() {
    for (url, add) in [
        ("https://oapi.dingtalk.com/robot/send?access_token=hunter2", "`format = \"dingtalk_robot\"`"),
        ("https://oapi.dingtalk.io/robot/send?access_token=hunter2", "`format = \"dingtalk_robot\"`"),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/hunter2", "`template = \"feishu\"`"),
        ("https://OPEN.larksuite.com:443/open-apis/bot/v2/hook/hunter2", "`template = \"feishu\"`"),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=hunter2", "`template = \"wecom\"`"),
        ("https://hooks.slack.com/services/T0/B0/hunter2", "`template = \"slack\"`"),
    ] {
        let folder = folder_with(&format!("[[webhook]]\nname = \"chat\"\nurl = \"{url}\"\n"));
        let said = folder.said();
        assert!(said.contains(add) && !said.contains("hunter2"), "{said}");
    }
    let plain = folder_with("[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com/robot/send\"\n");
    assert!(!plain.said().contains("robot"), "{}", plain.said());
}
