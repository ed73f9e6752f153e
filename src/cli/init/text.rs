//! The text of a first config: what was chosen, with the few keys that a newcomer changes.
//!
//! Guards: whatever was typed is written as a TOML string. Not here: all keys (`config.example.toml`).

use std::fmt::Write as _;

use super::choice::{Choice, Source};
use crate::simulator::{Scenario, api};

/// Where `presenced simulate` listens.
const SIMULATOR: &str = "http://127.0.0.1:8788";

/// The config. `is_service`: for the systemd unit, whose history has its own folder.
pub(super) fn config(choice: &Choice, is_service: bool) -> String {
    let mut text = String::from(
        "# Written by `presenced init`. `presenced config explain` describes every key; `presenced check` finds mistakes.\n\n",
    );
    match &choice.source {
        Source::BuiltIn => built_in(&mut text),
        Source::App { site, key, calls, .. } => {
            let key = quoted(key.as_deref().unwrap_or("dingxxxx"));
            // Writing to a `String` cannot fail.
            let _ = write!(
                text,
                "[dingtalk]\n\
                 site = \"{}\"\n\
                 app_key = {key}\n\
                 # The file credentials/app-secret.\n\
                 app_secret = {{ credential = \"app-secret\" }}\n\
                 # The standard edition has 5000 calls a month for all apps of the organisation together.\n\
                 calls_per_month = {calls}\n\n",
                site.name()
            );
        }
    }
    if !is_service {
        text.push_str("# Beside this file.\n[history]\npath = \"presence.db\"\n\n");
    }
    users(&mut text, choice);
    webhook(&mut text, choice);
    text
}

fn built_in(text: &mut String) {
    let _ = write!(
        text,
        "# The built-in DingTalk: `presenced simulate`.\n\
         [dingtalk]\n\
         api_base = \"{SIMULATOR}\"\n\
         legacy_base = \"{SIMULATOR}\"\n\
         app_key = \"ding-try\"\n\
         # The file credentials/app-secret; the built-in DingTalk accepts any secret.\n\
         app_secret = {{ credential = \"app-secret\" }}\n\
         # No limit.\n\
         calls_per_month = 0\n\n\
         [poll]\n\
         # A real organisation has too few calls for that; without this line polls are paced by the calls.\n\
         interval = \"5s\"\n\n"
    );
}

fn users(text: &mut String, choice: &Choice) {
    if matches!(choice.source, Source::BuiltIn) {
        let scenario = Scenario::built_in("working-day").and_then(Result::ok);
        for person in scenario.iter().flat_map(Scenario::people) {
            let (id, name) = (quoted(&person.union_id), quoted(&person.nick));
            let _ = write!(text, "[[user]]\nunion_id = {id}\nname = {name}\n\n");
        }
        return;
    }
    text.push_str("# Watch only people who agreed. `presenced user find` prints these tables.\n");
    for id in &choice.users {
        let _ = write!(text, "[[user]]\nunion_id = {}\n# name = \"\"\n\n", quoted(id));
    }
    if choice.users.is_empty() {
        text.push_str("# [[user]]\n# union_id = \"\"\n# name = \"\"\n\n");
    }
}

fn webhook(text: &mut String, choice: &Choice) {
    match callbacks(choice) {
        Some(url) => {
            let _ = write!(
                text,
                "[[webhook]]\nname = \"callbacks\"\nurl = {}\n# The receiver verifies with the same secret: the file credentials/webhook-secret.\nsecret = {{ credential = \"webhook-secret\" }}\n",
                quoted(&url)
            );
        }
        None => text.push_str(
            "# [[webhook]]\n# name = \"callbacks\"\n# url = \"https://...\"\n# `presenced webhook secret new` makes a secret.\n# secret = { credential = \"webhook-secret\" }\n",
        ),
    }
}

/// Where callbacks go.
pub(super) fn callbacks(choice: &Choice) -> Option<String> {
    match (&choice.webhook, &choice.source) {
        (Some(url), _) => Some(url.clone()),
        (None, Source::BuiltIn) => Some(format!("{SIMULATOR}{}", api::CALLBACKS)),
        (None, Source::App { .. }) => None,
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::choice::Site;
    use super::*;

    #[test]
    fn whatever_is_typed_is_one_toml_string() {
        let source = Source::App {
            site: Site::Mainland,
            key: Some("a\"b\\c\n[http]".to_owned()),
            secret: None,
            calls: 3000,
        };
        let choice =
            Choice { source, users: vec!["u\"1".to_owned()], webhook: Some("https://x/\"".to_owned()) };
        let table: toml::Table = config(&choice, false).parse().expect("TOML");
        assert_eq!(table["dingtalk"]["app_key"].as_str(), Some("a\"b\\c\n[http]"));
        assert_eq!(table["user"][0]["union_id"].as_str(), Some("u\"1"));
        assert_eq!(table["webhook"][0]["url"].as_str(), Some("https://x/\""));
        assert!(!table.contains_key("http"));
    }
}
