//! Hides secrets when a config is shown.
//!
//! Guards: of a value that may be secret only a reference is shown; of a URL only scheme and host; of a command only the
//! program; of a header only the name. Not here: lines in messages (`redact`).

use std::path::Path;

use toml::Value;

use super::super::reference::Kind;
use crate::config::public;

/// Shown instead of a secret.
const HIDDEN: &str = "[hidden]";

/// The value without what may be secret in it; relative files of secrets count from `folder`.
pub(super) fn hidden(kind: Kind, value: Value, folder: &Path) -> Value {
    match (kind, value) {
        (Kind::Secrets, Value::Array(items)) => {
            Value::Array(items.into_iter().map(|item| reference(item, folder)).collect())
        }
        (Kind::Url | Kind::UrlOrSecret, Value::String(url)) => Value::String(origin(&url)),
        (Kind::Secret | Kind::Secrets | Kind::UrlOrSecret, value) => reference(value, folder),
        (Kind::Headers, Value::Table(pairs)) => {
            let shown = |name: String| if public::is_header(&name) { name } else { HIDDEN.to_owned() };
            Value::Table(
                pairs.into_iter().map(|(name, value)| (shown(name), reference(value, folder))).collect(),
            )
        }
        (_, value) => value,
    }
}

/// A reference to a secret as it is; a secret itself hidden.
fn reference(value: Value, folder: &Path) -> Value {
    let Value::Table(mut from) = value else { return Value::String(HIDDEN.into()) };
    for (source, value) in &mut from {
        match (source.as_str(), &mut *value) {
            ("file", Value::String(path)) => {
                let whole = folder.join(&*path);
                *path = if public::is_path(&whole) { whole.display().to_string() } else { HIDDEN.into() };
            }
            ("credential", Value::String(name)) if public::is_name(name) => {}
            ("env", Value::String(name)) if public::is_variable(name) => {}
            ("command", Value::Array(words)) => {
                let program = words.first().and_then(Value::as_str).is_some_and(public::is_program);
                words.iter_mut().skip(usize::from(program)).for_each(|word| *word = HIDDEN.into());
            }
            (_, value) => *value = HIDDEN.into(),
        }
    }
    Value::Table(from)
}

/// The URL without path and query, in which chat services and robots have their secret.
fn origin(url: &str) -> String {
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
        assert_eq!(shown(Kind::Url, "\"http://me:pw@proxy:3128\""), "\"http://proxy:3128\"");
        assert_eq!(
            shown(Kind::Url, "\"https://gw.example.com/t/hunter2\""),
            "\"https://gw.example.com/[hidden]\""
        );
    }
}
