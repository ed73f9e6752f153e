//! What is wrong with a config, where, and what to write instead; and how that is shown.
//!
//! Guards: every problem of one reading is shown at once, in the order of the files, and no secret is printed with
//! the line it stands on. Deliberately not here: the rules (`check` and the rooms beside it).

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use super::footprint::Footprint;
use super::keys::nearest;

/// Whether the config can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should know.
    Warning,
}

impl Severity {
    /// The word in front of a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A stretch of one of the files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which file: an index into [`Sources`].
    pub source: usize,
    /// Which bytes of it.
    pub span: Range<usize>,
}

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable name for the kind of problem, for programs.
    pub code: &'static str,
    /// Whether it stands in the way.
    pub severity: Severity,
    /// One line.
    pub message: String,
    /// Where; `None` when it is about no line in particular.
    pub place: Option<Place>,
    /// What to do.
    pub help: Option<String>,
    /// Said beside the place instead of showing its line.
    pub aside: Option<String>,
    /// Other places that belong to it, each with a word on why.
    pub also: Vec<(Place, String)>,
}

impl Problem {
    /// An error.
    pub fn error(code: &'static str, place: Option<Place>, message: impl Into<String>) -> Self {
        let severity = Severity::Error;
        Self { code, severity, message: message.into(), place, help: None, aside: None, also: Vec::new() }
    }

    /// A warning.
    pub fn warning(code: &'static str, place: Option<Place>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, place, message) }
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a remark instead of the line.
    #[must_use]
    pub fn aside(mut self, aside: impl Into<String>) -> Self {
        self.aside = Some(aside.into());
        self
    }

    /// With a second place.
    #[must_use]
    pub fn also(mut self, place: Place, why: impl Into<String>) -> Self {
        self.also.push((place, why.into()));
        self
    }

    fn order(&self) -> (usize, usize, usize) {
        let last = (usize::MAX, usize::MAX, usize::MAX);
        self.place.as_ref().map_or(last, |place| (place.source, place.span.start, place.span.end))
    }
}

/// Puts problems in the order of the files; what has no place comes last.
pub fn sort(problems: &mut Vec<Problem>) {
    problems.sort_by(|a, b| a.order().cmp(&b.order()).then_with(|| a.message.cmp(&b.message)));
    problems.dedup();
}

/// One file as it was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// As the operator would name it.
    pub name: String,
    /// Its whole text.
    pub text: Arc<str>,
}

/// The files a config came from, the main one first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
    footprint: Footprint,
}

/// A place as people count: from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// The file.
    pub file: &'a str,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Sources {
    /// Takes one more file and gives its index.
    pub fn add(&mut self, source: Source) -> usize {
        self.files.push(source);
        self.files.len() - 1
    }

    /// The files.
    pub fn all(&self) -> &[Source] {
        &self.files
    }

    /// Takes what was read, texts and whatever else.
    pub(super) fn came_from(&mut self, footprint: Footprint) {
        self.footprint = footprint;
    }

    /// What was read, as it was then: these files, secrets, templates, and the folders of included files.
    pub fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    /// The text at a place.
    pub fn text(&self, place: &Place) -> &str {
        self.files.get(place.source).and_then(|source| source.text.get(place.span.clone())).unwrap_or("")
    }

    /// Where a place is, as people count.
    pub fn position(&self, place: &Place) -> Option<Position<'_>> {
        let source = self.files.get(place.source)?;
        let before = source.text.get(..place.span.start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some(Position {
            file: &source.name,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }

    fn line(&self, place: &Place) -> &str {
        let Some(source) = self.files.get(place.source) else { return "" };
        let start = source.text.get(..place.span.start).and_then(|before| before.rfind('\n'));
        source.text[start.map_or(0, |at| at + 1)..].lines().next().unwrap_or("")
    }
}

/// All problems as text, without colours.
pub fn render(problems: &[Problem], sources: &Sources) -> String {
    problems.iter().map(|problem| render_one(problem, sources, ("", ""))).collect()
}

/// One problem as text; `mark` goes around its first word.
pub fn render_one(problem: &Problem, sources: &Sources, mark: (&str, &str)) -> String {
    let mut out = format!("{}{}:{} {}\n", mark.0, problem.severity.name(), mark.1, problem.message);
    let Some(place) = &problem.place else {
        if let Some(help) = &problem.help {
            let _ = writeln!(out, "   = {}", folded(help, 5));
        }
        return out;
    };
    if let Some(aside) = &problem.aside {
        let position = sources.position(place);
        let gap = if aside.is_empty() { "" } else { "   " };
        let _ = writeln!(out, "  --> {}{gap}{aside}", shown(position.as_ref()));
        if let Some(help) = &problem.help {
            let width = position.map_or(2, |position| position.line.to_string().len().max(2));
            let _ = writeln!(out, "{:width$} = {}", "", folded(help, width + 3));
        }
    } else {
        excerpt(&mut out, sources, place, problem.help.as_deref().unwrap_or(""));
    }
    for (place, why) in &problem.also {
        excerpt(&mut out, sources, place, why);
    }
    out
}

fn shown(position: Option<&Position<'_>>) -> String {
    position.map_or_else(String::new, |at| format!("{}:{}:{}", at.file, at.line, at.column))
}

/// How wide an excerpt may be: what is wider folds on the usual terminal, and the carets point nowhere.
const WIDEST: usize = 80;

/// A place, its line, and carets below it.
fn excerpt(out: &mut String, sources: &Sources, place: &Place, label: &str) {
    let Some(position) = sources.position(place) else { return };
    let line = without_users(&without_secrets(sources.line(place)));
    let number = position.line.to_string();
    let width = number.len().max(2);
    let spanned = sources.text(place).lines().next().unwrap_or("").chars().count();
    let (line, start, spanned) = cut(&line, position.column - 1, spanned, WIDEST - width - 3);
    let before: String = line.chars().take(start).map(blank).collect();
    let carets: usize = line.chars().skip(start).take(spanned).map(columns).sum();
    let _ = writeln!(out, "  --> {}", shown(Some(&position)));
    let _ = writeln!(out, "{number:>width$} | {line}");
    let pointed = format!("{:width$} | {before}{}", "", "^".repeat(carets.max(1)));
    let long = label.chars().map(columns).sum::<usize>() + 1 + pointed.chars().count() > WIDEST;
    if label.is_empty() {
        let _ = writeln!(out, "{pointed}");
    } else if long {
        let _ = writeln!(out, "{pointed}\n{:width$} = {}", "", folded(label, width + 3));
    } else {
        let _ = writeln!(out, "{pointed} {label}");
    }
}

/// What is too long for a line goes on below, between words: what may be copied, between backticks, stays whole.
fn folded(label: &str, indent: usize) -> String {
    let (mut out, mut used) = (String::new(), indent);
    let mut is_copied = false;
    let ends_here = |c: char| {
        is_copied ^= c == '`';
        c == ' ' && !is_copied
    };
    for item in label.split_inclusive(ends_here) {
        let wide = item.trim_end().chars().map(columns).sum::<usize>();
        if used > indent && used + wide > WIDEST {
            out.truncate(out.trim_end().len());
            let _ = write!(out, "\n{:indent$}", "");
            used = indent;
        }
        out.push_str(item);
        used += item.chars().map(columns).sum::<usize>();
    }
    out
}

/// A long line around what is pointed at, with `…` where something is left out; where that begins, and how many
/// characters of it are still there.
fn cut(line: &str, start: usize, spanned: usize, room: usize) -> (String, usize, usize) {
    let wide = |text: &[char]| text.iter().copied().map(columns).sum::<usize>();
    let line: Vec<char> = line.chars().collect();
    if wide(&line) <= room {
        return (line.into_iter().collect(), start, spanned);
    }
    // As much before it as leaves it whole, if it is not longer than all the room; else a little.
    let (mut first, mut end) = (start.min(line.len()), (start + spanned).min(line.len()));
    while end > first + 1 && wide(&line[first..end]) + 2 > room {
        end -= 1;
    }
    let shown_span = end - first;
    let mut grown = true;
    while grown {
        grown = false;
        if first > 0 && wide(&line[first - 1..end]) + 2 <= room {
            (first, grown) = (first - 1, true);
        }
        if end < line.len() && wide(&line[first..=end]) + 2 <= room {
            (end, grown) = (end + 1, true);
        }
    }
    let (left, right) = (if first > 0 { "…" } else { "" }, if end < line.len() { "…" } else { "" });
    let text: String = line[first..end].iter().collect();
    (format!("{left}{text}{right}"), start - first + left.chars().count(), shown_span)
}

/// The same line with what may be a secret starred out, character for character: quoted texts after a key that
/// sounds like one, also misspelt, and signing keys wherever they stand.
fn without_secrets(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    // The key that the next value belongs to, and those around it; the last word, which may turn out to be a key.
    let (mut key, mut around, mut word) = (String::new(), Vec::new(), String::new());
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match quote {
            None if c == '"' || c == '\'' => {
                // After a bare word its `=` may be missing, and anything may stand here.
                let hidden = line[at + 1..].starts_with("whsec_") || names_a_secret(&key) || !word.is_empty();
                quote = Some((c, hidden));
                word.clear();
            }
            Some((open, hidden)) if c == open && (!hidden || ends_well(&line[at + 1..])) => quote = None,
            Some((_, hidden)) => {
                word.push(c);
                out.push(if hidden { '*' } else { c });
                continue;
            }
            None if c.is_alphanumeric() || matches!(c, '_' | '-') => word.push(c),
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
        out.push(c);
    }
    out
}

/// Whether what follows a closing quote can follow one. Else it was none, or a secret is broken in two: no part of it
/// is shown.
fn ends_well(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with(['#', ',', '}', ']', '='])
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

fn names_a_secret(key: &str) -> bool {
    const WORDS: [&str; 7] = ["secret", "token", "ticket", "passw", "auth", "cookie", "key"];
    const KEYS: [&str; 6] = ["app_secret", "access_token", "suite_ticket", "secret", "token", "password"];
    let key = key.to_lowercase();
    key != "app_key" && (WORDS.iter().any(|word| key.contains(word)) || nearest(&key, KEYS).is_some())
}

/// White space as wide as `c` on a terminal.
fn blank(c: char) -> String {
    if c == '\t' { "\t".to_owned() } else { " ".repeat(columns(c)) }
}

/// How many columns of a terminal `c` takes: two for the wide ones of East Asia.
fn columns(c: char) -> usize {
    let wide = matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add(Source { name: "config.toml".into(), text: text.into() });
        sources
    }

    fn place(text: &str, part: &str) -> Place {
        let start = text.find(part).expect("the part");
        Place { source: 0, span: start..start + part.len() }
    }

    #[test]
    fn shows_the_line_and_what_to_write() {
        let text = "\n".repeat(26) + "intervall = \"2m\"\n";
        let problem = Problem::error(
            "unknown-key",
            Some(place(&text, "intervall")),
            "unknown key `intervall` in [poll]",
        )
        .help("did you mean `interval`?");
        let expected = "error: unknown key `intervall` in [poll]\n  --> config.toml:27:1\n27 | intervall = \
            \"2m\"\n   | ^^^^^^^^^ did you mean `interval`?\n";
        assert_eq!(render(&[problem], &sources(&text)), expected);
    }

    #[test]
    fn carets_stand_below_wide_characters() {
        let text = "name = \"李\" # 李雷\nx = 1";
        let problem = Problem::error("x", Some(place(text, "\"李\"")), "m");
        let shown = render(&[problem], &sources(text));
        assert!(shown.ends_with(" 1 | name = \"李\" # 李雷\n   |        ^^^^\n"), "{shown}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}here{}", "a".repeat(50), "b".repeat(50));
        for room in [10, 20, 79] {
            let (text, start, spanned) = cut(&line, 50, 4, room);
            assert!(text.chars().count() <= room, "{text}");
            assert_eq!(text.chars().skip(start).take(spanned).collect::<String>(), "here");
            assert!(text.starts_with('…') && text.ends_with('…'), "{text}");
        }
        let (text, start, spanned) = cut(&line, 0, 104, 10);
        assert_eq!((text.as_str(), start, spanned), ("aaaaaaaa…", 0, 8));
        assert_eq!(cut("x = 1", 4, 1, 10), ("x = 1".to_owned(), 4, 1));
    }

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
    }
}
