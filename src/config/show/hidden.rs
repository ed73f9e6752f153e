//! What stays out of sight when a config is shown.
//!
//! Guards: of a value that may be secret only the reference is shown; of a URL only whose it is; of a command only the
//! program; of a header only the name. Deliberately not here: lines in messages (`starred`).

use std::path::Path;

use toml::Value;

use super::super::reference::Kind;
use super::super::starred::without_users;

/// What stands where something was.
const HIDDEN: &str = "[hidden]";

/// The value without what may be secret in it; relative files of secrets count from `folder`.
pub(super) fn hidden(kind: Kind, value: Value, folder: &Path) -> Value {
    match (kind, value) {
        (Kind::Secrets, Value::Array(items)) => {
            Value::Array(items.into_iter().map(|item| reference(item, folder)).collect())
        }
        (Kind::UrlOrSecret, Value::String(url)) => Value::String(whose(&url)),
        (Kind::Secret | Kind::Secrets | Kind::UrlOrSecret, value) => reference(value, folder),
        (Kind::Headers, Value::Table(pairs)) => {
            Value::Table(pairs.into_iter().map(|(name, value)| (name, reference(value, folder))).collect())
        }
        (Kind::Url, Value::String(url)) => Value::String(without_users(&url)),
        (_, value) => value,
    }
}

/// A reference to a secret as it is; a secret itself hidden.
fn reference(value: Value, folder: &Path) -> Value {
    let Value::Table(mut from) = value else { return Value::String(HIDDEN.into()) };
    for (source, value) in &mut from {
        match (source.as_str(), &mut *value) {
            ("file", Value::String(path)) => *path = folder.join(&*path).display().to_string(),
            ("command", Value::Array(words)) => {
                words.iter_mut().skip(1).for_each(|word| *word = Value::String(HIDDEN.into()));
            }
            _ => {}
        }
    }
    Value::Table(from)
}

/// Chat services keep the secret in the path, robots in the query: only the host is anybody's business.
fn whose(url: &str) -> String {
    let Ok(url) = reqwest::Url::parse(url) else { return HIDDEN.to_owned() };
    let origin = url.origin().ascii_serialization();
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if bare { origin } else { format!("{origin}/{HIDDEN}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: Kind, toml: &str) -> String {
        let mut table: toml::Table = toml::from_str(&format!("x = {toml}")).expect(toml);
        hidden(kind, table.remove("x").expect("x"), Path::new("/etc/presenced")).to_string()
    }

    #[test]
    fn a_secret_is_shown_by_its_reference_only() {
        assert_eq!(shown(Kind::Secret, "\"hunter2\""), "\"[hidden]\"");
        assert_eq!(shown(Kind::Secret, "{ file = \"s\" }"), "{ file = \"/etc/presenced/s\" }");
        assert_eq!(shown(Kind::Secret, "{ credential = \"app-secret\" }"), "{ credential = \"app-secret\" }");
        assert_eq!(
            shown(Kind::Secret, "{ command = [\"sh\", \"-c\", \"echo hunter2\"] }"),
            "{ command = [\"sh\", \"[hidden]\", \"[hidden]\"] }"
        );
        assert_eq!(shown(Kind::Secrets, "[\"whsec_1\", { env = \"S\" }]"), "[\"[hidden]\", { env = \"S\" }]");
        assert_eq!(
            shown(Kind::Headers, "{ X-A = \"hunter2\", X-B = { env = \"B\" } }"),
            "{ X-A = \"[hidden]\", X-B = { env = \"B\" } }"
        );
    }

    #[test]
    fn a_url_is_shown_by_its_host_only() {
        assert_eq!(
            shown(Kind::UrlOrSecret, "\"https://oapi.dingtalk.com/robot/send?access_token=hunter2\""),
            "\"https://oapi.dingtalk.com/[hidden]\""
        );
        assert_eq!(shown(Kind::UrlOrSecret, "\"http://127.0.0.1:9/\""), "\"http://127.0.0.1:9\"");
        assert_eq!(shown(Kind::UrlOrSecret, "{ env = \"U\" }"), "{ env = \"U\" }");
        assert_eq!(shown(Kind::Url, "\"http://me:pw@proxy:3128\""), "\"http://*****@proxy:3128\"");
    }
}
