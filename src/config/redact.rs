//! Replaces everything that is not known to be public in a line of a config by stars.
//!
//! Guards: the line keeps its length, so that places in it stay valid. Not here: what is public (`public`), secrets in
//! memory (`secrets`; their type does not print), what `config show` hides (`show`).

use std::ops::Range;

use super::keys::is_known;

/// Signs that give a line its shape. Between quotes they are a part of the value.
fn is_sign(c: char) -> bool {
    matches!(c, '[' | ']' | '{' | '}' | '=' | ',' | '#')
}

/// Where quotes are open, as far as the line has been read.
#[derive(Default)]
struct Quotes {
    open: Option<char>,
    escaped: bool,
}

impl Quotes {
    /// Reads the next character; returns whether it is part of the syntax of the line.
    fn is_shape(&mut self, c: char) -> bool {
        let escaped = std::mem::take(&mut self.escaped);
        match self.open {
            None if matches!(c, '"' | '\'') => self.open = Some(c),
            None => return c.is_whitespace() || is_sign(c),
            Some(open) if c == open && !escaped => self.open = None,
            Some(open) => {
                self.escaped = c == '\\' && open == '"' && !escaped;
                return c.is_whitespace();
            }
        }
        true
    }

    fn pass(&mut self, text: &str) {
        for c in text.chars() {
            self.is_shape(c);
        }
    }
}

/// The part of a text at `line`, with its public spans, its signs, and the keys that are known where a key can stand.
pub(super) fn line(text: &str, line: Range<usize>, public: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(line.len());
    let (mut at, mut quotes) = (line.start, Quotes::default());
    let mut spans = public[public.partition_point(|span| span.end <= line.start)..].iter().peekable();
    while at < line.end {
        while spans.next_if(|span| span.end <= at).is_some() {}
        let rest = &text[at..line.end];
        let shown = match spans.peek() {
            Some(span) if span.start <= at => &text[at..span.end.min(line.end)],
            _ if quotes.open.is_some() => "",
            _ => key_at(&text[line.start..at], rest).unwrap_or_default(),
        };
        if shown.is_empty() {
            // A word is shown or hidden as a whole: no part of it is taken for a key.
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len()).max(first);
            out.extend(rest[..end].chars().map(|c| if quotes.is_shape(c) { c } else { '*' }));
            at += end;
        } else {
            quotes.pass(shown);
            out.push_str(shown);
            at += shown.len();
        }
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// A known key at the beginning of `rest`, where a key can stand: first on the line, or between signs that come before
/// and after keys. The dot after it belongs to it.
fn key_at<'t>(before: &str, rest: &'t str) -> Option<&'t str> {
    let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
    let before = before.trim_end();
    let after = rest[word.len()..].trim_start();
    let begins =
        before.is_empty() || (before.ends_with(['[', '{', ',', '.']) && after.starts_with(['=', '.', ']']));
    if word.is_empty() || !begins || !is_known(word) {
        return None;
    }
    Some(&rest[..word.len() + usize::from(rest[word.len()..].starts_with('.'))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::public;
    use toml::de::DeTable;

    /// All lines of a text as they are shown.
    fn shown(text: &str) -> String {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{text}");
        let spans = public::spans(text, table.get_ref(), &[]);
        let mut at = 0;
        let lines = text.split_inclusive('\n').map(|whole| {
            at += whole.len();
            line(text, at - whole.len()..at, &spans)
        });
        lines.collect()
    }

    #[test]
    fn what_is_known_to_be_public_is_shown_and_nothing_else() {
        for (text, expected) in [
            ("time_zone = \"Asia/Shanghai\" # hunter2", "time_zone = \"Asia/Shanghai\" # *******"),
            ("[dingtalk]\napp_key = \"ding\"", "[dingtalk]\napp_key = \"ding\""),
            ("[dingtalk]\napp_secret = \"a b\"", "[dingtalk]\napp_secret = \"* *\""),
            ("[dingtalk]\napp_secret = \"a#b=,\\\"c\"", "[dingtalk]\napp_secret = \"********\""),
            ("[poll.backoff]\nfactor = 2", "[poll.backoff]\nfactor = 2"),
            ("[http]\ntoken = { file = \"hunter2\" }", "[http]\ntoken = { file = \"*******\" }"),
            ("[http]\ntoken = { env = \"TOKEN\" }", "[http]\ntoken = { env = \"TOKEN\" }"),
            ("[poll]\nintervall = \"2m\"", "[poll]\nintervall = \"2m\""),
            ("[poll]\ncolour = \"2m\"", "[poll]\n****** = \"**\""),
            (
                "[webhook_defaults]\nsecret = [{ file = \"a.pem\" }, \"S1\"]",
                "[webhook_defaults]\nsecret = [{ file = \"a.pem\" }, \"**\"]",
            ),
            (
                "[webhook_defaults]\nheaders = { \"X-A\" = \"b\" }",
                "[webhook_defaults]\nheaders = { \"X-A\" = \"*\" }",
            ),
            ("[[webhook]]\nurl = \"https://a.de/b?c=d\"", "[[webhook]]\nurl = \"https://a.de******\""),
            ("[dingtalk]\nproxy = \"http://me:pw@a.de\"", "[dingtalk]\nproxy = \"*****************\""),
            ("[webhook_defaults]\nsecret = \"x poll\"", "[webhook_defaults]\nsecret = \"* ****\""),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
