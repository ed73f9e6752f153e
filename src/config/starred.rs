//! Lines of a config with stars in place of what may be a secret.
//!
//! Guards: rather too much is hidden than too little; the line stays as long as it was, so that places in it still count.
//! Deliberately not here: secrets that were read (`secrets`; their type does not print), what `config show` leaves out
//! (`show`).

use super::keys::nearest;

/// The same line with what may be a secret starred out, character for character: quoted texts after a key that
/// sounds like one, also misspelt, signing keys wherever they stand, and what stands where nothing can.
pub(super) fn without_secrets(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    // The key that the next value belongs to, and those around it; the last word, which may turn out to be a key.
    let (mut key, mut around, mut word) = (String::new(), Vec::new(), String::new());
    let (mut quote, mut escaped, mut spoilt) = (None, false, false);
    for (at, c) in line.char_indices() {
        let after = &line[at + c.len_utf8()..];
        match quote {
            None if c == '"' || c == '\'' => {
                // After a bare word its `=` may be missing, and anything may stand here.
                let anything = !word.is_empty() || stands_alone(&line[..at], after, c);
                let hidden = spoilt || anything || after.starts_with("whsec_") || names_a_secret(&key);
                quote = Some((c, hidden));
                word.clear();
            }
            Some((open, hidden)) if c == open && !escaped && (!hidden || ends_well(after)) => {
                quote = None;
                spoilt |= !ends_well(after);
            }
            Some((open, hidden)) => {
                escaped = c == '\\' && open == '"' && !escaped;
                word.push(c);
                out.push(if hidden { '*' } else { c });
                continue;
            }
            None if c.is_alphanumeric() || matches!(c, '_' | '-') => word.push(c),
            // Of two in a row the first one is as good.
            None if c == '=' && word.is_empty() => {}
            None if c == '=' => key = std::mem::take(&mut word),
            None if c == '{' => around.push((c, std::mem::take(&mut key))),
            None if c == '[' => around.push((c, key.clone())),
            None if c == '}' || c == ']' => key = around.pop().map(|(_, key)| key).unwrap_or_default(),
            None if c == ',' || c == '#' => {
                word.clear();
                if around.last().is_none_or(|(open, _)| *open == '{') {
                    key.clear();
                }
            }
            None => {}
        }
        out.push(if spoilt && quote.is_none() && c.is_alphanumeric() { '*' } else { c });
    }
    out
}

/// Whether a text begins a line and is all there is on it: a value whose key may be on the line before.
fn stands_alone(before: &str, after: &str, quote: char) -> bool {
    let rest = after.split_once(quote).map_or("", |(_, rest)| rest.trim_start());
    before.trim().is_empty() && (rest.is_empty() || rest.starts_with('#'))
}

/// Stars out the user and the password of every URL.
pub(super) fn without_users(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, authority) = rest.split_at(at + 3);
        out.push_str(before);
        let end = authority.find(['/', '"', '\'', ' ']).unwrap_or(authority.len());
        let user = authority[..end].rfind('@').unwrap_or(0);
        out.extend(authority[..user].chars().map(|_| '*'));
        rest = &authority[user..];
    }
    out + rest
}

/// Whether what follows a closing quote can follow one. Else it was none, or a secret is broken in two: no part of it
/// is shown.
fn ends_well(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with(['#', ',', '}', ']', '='])
}

fn names_a_secret(key: &str) -> bool {
    const WORDS: [&str; 7] = ["secret", "token", "ticket", "passw", "auth", "cookie", "key"];
    const KEYS: [&str; 6] = ["app_secret", "access_token", "suite_ticket", "secret", "token", "password"];
    let key = key.to_lowercase();
    key != "app_key" && (WORDS.iter().any(|word| key.contains(word)) || nearest(&key, KEYS).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_starred_out() {
        assert_eq!(without_secrets("app_secret = \"hunter2\" # x"), "app_secret = \"*******\" # x");
        assert_eq!(without_secrets("tokn = 1"), "tokn = 1");
        assert_eq!(without_secrets("access_token = \"hun"), "access_token = \"***");
        assert_eq!(without_secrets("  \"whsec_abc\","), "  \"*********\",");
        assert_eq!(without_secrets("secret = { file = \"a\" }"), "secret = { file = \"a\" }");
        assert_eq!(without_secrets("app_key = \"ding\""), "app_key = \"ding\"");
        assert_eq!(
            without_secrets("secret = [{ file = \"a\" }, \"SEC1\"]"),
            "secret = [{ file = \"a\" }, \"****\"]"
        );
        assert_eq!(
            without_secrets("h = { \"X-Auth\" = \"a\", b = \"c\" }"),
            "h = { \"X-Auth\" = \"*\", b = \"c\" }"
        );
        assert_eq!(without_users("u = \"https://me:pw@x.de/@\""), "u = \"https://*****@x.de/@\"");
        assert_eq!(without_secrets("tokken = \"a\""), "tokken = \"*\"");
        assert_eq!(without_secrets("app_secret = \"a\"hunter2\""), "app_secret = \"*********\"");
        assert_eq!(without_secrets("app_secret = \"a\" hunter2"), "app_secret = \"**********");
        assert_eq!(without_secrets("calls \"hunter2\""), "calls \"*******\"");
        assert_eq!(without_secrets("  \"meeting.*\", \"x\""), "  \"meeting.*\", \"x\"");
        assert_eq!(without_secrets("name = \"say \\\"hi\\\" now\""), "name = \"say \\\"hi\\\" now\"");
    }

    #[test]
    fn what_a_slip_of_the_hand_leaves_of_a_secret_is_starred_out() {
        assert_eq!(without_secrets("app_secret = = \"hunter2\""), "app_secret = = \"*******\"");
        assert_eq!(without_secrets(" \"hunter2\""), " \"*******\"");
        assert_eq!(without_secrets(" \"hunter2\" # mine"), " \"*******\" # mine");
        assert_eq!(without_secrets("url = \"http://a/\"hunter2\""), "url = \"http://a/\"*******\"");
        assert_eq!(without_secrets("url = \"http://a/\" \"hunter2\""), "url = \"http://a/\" \"*******\"");
    }
}
