//! What a message may show of a config: names of keys, variables, credentials and files, the host of a URL, and values of
//! keys that never hold a secret.
//!
//! Guards: it is an allowlist, so a secret in a wrong place (an unknown key, the name of a file, the path of a URL) is in
//! no message. Not here: hiding the rest of a line (`redact`), the output of `config show` (`show`).

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::meant;
use super::reference::{Kind, table};
use super::secret_source::add_credential;

/// The longest word of a name; what is longer may be a key.
const LONGEST_WORD: usize = 16;

/// Endings of files that hold a secret or a text. A word with any other ending is not taken for a file.
const ENDINGS: [&str; 9] = ["conf", "j2", "json", "key", "pem", "secret", "token", "txt", "whsec"];

/// Whether a text looks like the name of a credential, a header or a part of a path: short words of letters in one case,
/// joined by `-`, `_` or `.`. Mixed case, long words and words with digits in them are what secrets look like.
pub(super) fn is_name(text: &str) -> bool {
    let is_word = |word: &str| {
        let letters = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        let capitals = |word: &str| word.bytes().all(|byte| byte.is_ascii_uppercase());
        let rest = word.get(1..).unwrap_or_default();
        let first = word.get(..1).unwrap_or_default();
        word.is_ascii()
            && (1..=LONGEST_WORD).contains(&word.len())
            && (letters(word) || capitals(word) || (capitals(first) && letters(rest)))
    };
    text.split(['-', '_', '.']).all(is_word) && text.len() <= 64
}

/// Whether a text looks like the name of an environment variable: words of capital letters joined by `_`.
pub(super) fn is_variable(text: &str) -> bool {
    is_name(text) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Whether a path may be shown: what exists is a file, and so is what looks like a path in each part that does not exist.
pub(super) fn is_path(path: &Path) -> bool {
    if path.exists() {
        return true;
    }
    let Some(written) = path.to_str() else { return false };
    let (folder, file) = written.rsplit_once('/').unwrap_or(("", written));
    let known_ending = file.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending));
    (written.contains('/') || known_ending)
        && is_name(file.trim_start_matches('.'))
        && (path.parent().is_some_and(Path::exists)
            || folder.split('/').all(|part| matches!(part, "" | "." | "..") || is_name(part)))
}

/// Whether a text looks like the name of a header: words of letters, joined by `-` or `_`.
pub(super) fn is_header(text: &str) -> bool {
    let is_word = |word: &str| {
        (1..=LONGEST_WORD).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    text.split(['-', '_']).all(is_word) && text.len() <= 64
}

/// The name of a header for a message; one that does not look like a name may be the secret that belongs into it.
pub fn header_shown(name: &str) -> &str {
    if is_header(name) { name } else { "a header" }
}

/// How a message names a credential, with the line that is missing in the unit.
pub(super) fn credential(name: &str) -> String {
    if is_name(name) {
        format!("credential `{name}`: {}", add_credential(name))
    } else {
        "credential named in the config".to_owned()
    }
}

/// How a message names a file.
pub(super) fn file(path: &Path) -> String {
    if is_path(path) { format!("file {}", path.display()) } else { "file of that path".to_owned() }
}

/// How a message names an environment variable.
pub(super) fn variable(name: &str) -> String {
    if is_variable(name) {
        format!("environment variable {name}")
    } else {
        "environment variable named in the config".to_owned()
    }
}

/// Whether the first word of a command looks like a program.
pub(super) fn is_program(program: &str) -> bool {
    is_name(program) || is_path(Path::new(program))
}

/// How a message names a command: by its program.
pub(super) fn command(program: &str) -> String {
    if is_program(program) {
        format!("command `{program}`")
    } else {
        "command named in the config".to_owned()
    }
}

/// The scheme and the host of a URL as they are written, without a user; `None` where they do not look like ones.
pub(super) fn origin(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (host, port) = match rest[..end].rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (&rest[..end], None),
    };
    // What stands after a colon and is no number may be the half of a password that a sign ended too early.
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return None;
    }
    let is_v6 = |host: &str| host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok();
    if host.contains([':', '[', ']']) && !is_v6(host) {
        return None;
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let is_scheme = !scheme.is_empty() && scheme.len() <= 8 && scheme.bytes().all(|b| b.is_ascii_lowercase());
    (is_scheme && !host.is_empty() && host.chars().all(fits)).then(|| &url[..scheme.len() + 3 + end])
}

/// Whether a text looks like a host rather than like a secret with a dot in it: it ends in a word of a few letters, all of
/// it in lower case, or is `localhost` or an address.
pub(super) fn is_host(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_top = (2..=6).contains(&last.len()) && last.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_address = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    text == "localhost" || is_address || (text.contains('.') && is_top)
}

/// The origin for messages, with `/...` for the rest.
pub(super) fn origin_shown(url: &str) -> Option<String> {
    let origin = origin(url)?;
    let rest = &url[origin.len()..];
    Some(if matches!(rest, "" | "/") { origin.to_owned() } else { format!("{origin}/...") })
}

/// The bytes of a text that may be shown: values of keys that are known to be public, references that look like
/// names, the hosts of URLs. Nothing on a line with a syntax error (`broken`, in bytes), because
/// it is unknown which key such a value belongs to.
pub(super) fn spans(text: &str, table: &DeTable<'_>, broken: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut walk = Walk { text, broken, found: Vec::new() };
    walk.table(table, "");
    walk.found.sort_by_key(|span| span.start);
    walk.found
}

struct Walk<'t> {
    text: &'t str,
    broken: &'t [Range<usize>],
    found: Vec<Range<usize>>,
}

impl Walk<'_> {
    fn table(&mut self, values: &DeTable<'_>, path: &str) {
        for (name, value) in values {
            let name = name.get_ref().as_ref();
            let known = table(path).and_then(|table| {
                let named = |name: &str| table.all_keys().find(|key| key.name == name);
                named(name).or_else(|| meant(name, path).filter(|_| !may_name_a_secret(name)).and_then(named))
            });
            if let Some(key) = known
                && (matches!(key.kind, Kind::Table(_) | Kind::Tables(_)) || self.is_sound(&value.span()))
            {
                self.value(key.kind, value);
            }
        }
    }

    fn value(&mut self, kind: Kind, value: &Spanned<DeValue<'_>>) {
        match (kind, value.get_ref()) {
            (Kind::Table(path) | Kind::Tables(path), DeValue::Table(table)) => self.table(table, path),
            (Kind::Tables(_), DeValue::Array(items)) => items.iter().for_each(|item| self.value(kind, item)),
            (Kind::Url | Kind::UrlOrSecret, DeValue::String(url)) => self.url(url, value.span()),
            (Kind::Table(_) | Kind::Tables(_) | Kind::Url, _) => {}
            (Kind::Headers, DeValue::Table(pairs)) => {
                for (name, value) in pairs {
                    if is_header(name.get_ref()) {
                        self.take(name.span());
                    }
                    self.value(Kind::Secret, value);
                }
            }
            (kind, value) if kind.may_be_secret() => self.reference(value),
            (Kind::Pairs, DeValue::Table(pairs)) => {
                for (name, value) in pairs {
                    self.take(name.span());
                    self.plain(value);
                }
            }
            _ => self.plain(value),
        }
    }

    /// A value that holds no other one.
    fn plain(&mut self, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(_) => {}
            DeValue::Array(items) => items.iter().for_each(|item| self.plain(item)),
            _ => self.take(value.span()),
        }
    }

    fn reference(&mut self, value: &DeValue<'_>) {
        match value {
            DeValue::Array(items) => items.iter().for_each(|item| self.reference(item.get_ref())),
            DeValue::Table(from) => {
                for (source, value) in from {
                    let DeValue::String(named) = value.get_ref() else { continue };
                    let shown = match source.get_ref().as_ref() {
                        "credential" => is_name(named),
                        "env" => is_variable(named),
                        "file" => is_path(Path::new(named.as_ref())),
                        _ => false,
                    };
                    if shown {
                        self.take(value.span());
                    }
                }
            }
            _ => {}
        }
    }

    fn url(&mut self, url: &str, span: Range<usize>) {
        let written = self.text.get(span.clone()).unwrap_or_default();
        // As long as nothing is escaped, the text stands there as it is.
        if let (Some(origin), Some(at)) = (origin(url), written.find(url)) {
            self.take(span.start..span.start + at + origin.len());
        }
    }

    fn take(&mut self, span: Range<usize>) {
        // A text over several lines may have taken in what its author thinks is another key.
        if self.text.get(span.clone()).is_some_and(|text| !text.contains('\n')) {
            self.found.push(span);
        }
    }

    /// Whether there is no mistake on the lines of a value.
    fn is_sound(&self, span: &Range<usize>) -> bool {
        let after = self.broken.partition_point(|broken| broken.end < span.start);
        self.broken.get(after).is_none_or(|broken| broken.start > span.end)
    }
}

/// A misspelt key may be that of a secret in spite of a public one that is spelt alike.
fn may_name_a_secret(key: &str) -> bool {
    const WORDS: [&str; 8] = ["secret", "token", "ticket", "pass", "auth", "cookie", "key", "sign"];
    let key = key.to_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_look_like_names() {
        for text in ["crm", "app-secret", "http_token", "X-Api", "crm.whsec", "CRM_SECRET"] {
            assert!(is_name(text), "{text}");
        }
        for text in
            ["", "hunter2", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw", "kX9-fQ", "a b", "SEC0f3a", "-", "é"]
        {
            assert!(!is_name(text), "{text}");
        }
        assert!(is_variable("CRM_SECRET") && !is_variable("crm") && !is_variable("JBSWY3DPEHPK3PXP"));
    }

    #[test]
    fn paths_look_like_paths_or_exist() {
        let shown = |path: &str| is_path(Path::new(path));
        for path in ["/etc/presenced/crm.whsec", "secrets/crm", "../crm.key", "crm.whsec", "./crm", "/usr"] {
            assert!(shown(path), "{path}");
        }
        for path in ["hunter2", "hunter", "/kX9fQz/7Hd+a=", "eyJhbGci.eyJzdWIi.c2ln", "correct.horse"] {
            assert!(!shown(path), "{path}");
        }
    }

    #[test]
    fn a_url_is_shown_by_its_scheme_and_host() {
        assert_eq!(origin_shown("https://a.example/x?y=1").as_deref(), Some("https://a.example/..."));
        assert_eq!(origin_shown("ftp://x/services/hunter2").as_deref(), Some("ftp://x/..."));
        assert_eq!(origin_shown("https://a.example:8443/").as_deref(), Some("https://a.example:8443"));
        assert_eq!(origin_shown("http://[::1]:80/x").as_deref(), Some("http://[::1]:80/..."));
        assert_eq!(origin_shown("http://[::1]").as_deref(), Some("http://[::1]"));
        for url in [
            "https://me:hunter2@a.example/",
            "https://me:hunter2/@a.example/",
            "https://a.example:hunter2",
            "https://a.example:99999",
            "https://me:hunter2:80/",
            "https://a.example:",
            "https://[hunter2]/",
            "hunter2://x",
            "hunter2",
            "https://",
            "https://hun ter2",
        ] {
            assert_eq!(origin_shown(url), None, "{url}");
        }
    }
}
