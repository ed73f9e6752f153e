//! What is wrong with a config, where, and what to write instead; and how that is shown.
//!
//! Guards: every problem of one reading is shown at once, in the order of the files. Deliberately not here: the rules
//! (`check` and the rooms beside it), how a line of a file is shown (`excerpt`).

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use toml::de::DeTable;

use super::footprint::Footprint;
use super::{public, redact};
use crate::invisible::{self, REPLACEMENT};

mod excerpt;

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
        let message = excerpt::shortened(message.into());
        Self { code, severity, message, place, help: None, aside: None, also: Vec::new() }
    }

    /// A warning.
    pub fn warning(code: &'static str, place: Option<Place>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, place, message) }
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(excerpt::shortened(help.into()));
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
    index: OnceLock<Index>,
}

/// What is found out once for all problems of a file, because there may be as many as lines.
#[derive(Clone, Debug)]
struct Index {
    /// Where each line begins.
    lines: Vec<usize>,
    /// How many characters stand before each block of bytes: a line may be as long as the file.
    before: Vec<usize>,
    /// What may be shown.
    public: Vec<Range<usize>>,
}

/// Bytes that are counted for one place at most.
const BLOCK: usize = 1024;

/// The characters that begin in these bytes.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl Source {
    /// A file by its name and its text.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into(), index: OnceLock::new() }
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let text = &*self.text;
            let lines: Vec<usize> =
                std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
            let (table, errors) = DeTable::parse_recoverable(text);
            let whole_lines = |span: Range<usize>| {
                let first = lines[line_at(&lines, span.start)];
                first..lines.get(line_at(&lines, span.end) + 1).copied().unwrap_or(text.len())
            };
            let mut broken: Vec<_> =
                errors.iter().map(|error| whole_lines(within(error.span(), text))).collect();
            broken.sort_by_key(|span| (span.end, span.start));
            let blocks = text.as_bytes().chunks(BLOCK);
            let before = blocks.scan(0, |all, block| Some(std::mem::replace(all, *all + characters(block))));
            Index { public: public::spans(text, table.get_ref(), &broken), before: before.collect(), lines }
        })
    }

    /// How many characters stand before a byte.
    fn characters_before(&self, at: usize) -> usize {
        let (block, bytes) = (at / BLOCK, self.text.as_bytes());
        let before = self.index().before.get(block).copied();
        before.map_or_else(|| characters(bytes), |before| before + characters(&bytes[block * BLOCK..at]))
    }

    /// The line of a byte, from 0, and the bytes of that line without its end.
    fn line(&self, at: usize) -> (usize, Range<usize>) {
        let lines = &self.index().lines;
        let number = line_at(lines, at);
        let end = lines.get(number + 1).map_or(self.text.len(), |next| next - 1);
        (number, lines[number]..end)
    }
}

fn line_at(lines: &[usize], at: usize) -> usize {
    lines.partition_point(|start| *start <= at).saturating_sub(1)
}

/// The files a config came from, the main one first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
    footprint: Footprint,
}

/// A part of a line as it may be shown, and the characters in it that are pointed at.
#[derive(Debug)]
struct Excerpt {
    text: String,
    start: usize,
    spanned: usize,
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
        let (line, span) = source.line(place.span.start);
        source.text.get(span.start..place.span.start)?;
        let column = source.characters_before(place.span.start) - source.characters_before(span.start) + 1;
        Some(Position { file: &source.name, line: line + 1, column })
    }

    /// The line of a place around it, at most `reach` bytes to each side, without what may be a secret; and how many
    /// characters stand before the place in that. Whether something is left out before it and after it comes last.
    fn excerpt(&self, place: &Place, reach: usize) -> Option<Excerpt> {
        let source = self.files.get(place.source)?;
        let text = &*source.text;
        let (_, line) = source.line(place.span.start);
        let start = text.floor_char_boundary(place.span.start.saturating_sub(reach)).max(line.start);
        let mut end = text.ceil_char_boundary(place.span.start.saturating_add(reach)).min(line.end);
        if text[..end].ends_with('\r') {
            end -= 1;
        }
        let before = place.span.start.min(end).max(start);
        let spanned = place.span.end.clamp(before, end);
        Some(Excerpt {
            text: redact::line(text, start..end, &source.index().public),
            start: text[start..before].chars().count(),
            spanned: text[before..spanned].chars().count(),
        })
    }
}

/// How many problems are shown as text. More are read by nobody, and a journal has to keep them.
const MOST_SHOWN: usize = 50;

/// The problems to show, errors before warnings where not all can be, in their order; and a line about the others.
pub fn foremost<'p>(problems: impl Iterator<Item = &'p Problem>) -> (Vec<&'p Problem>, Option<String>) {
    let all: Vec<&Problem> = problems.collect();
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    let errors = all.iter().copied().filter(is_error).count();
    let shown_errors = errors.min(MOST_SHOWN);
    let (mut errors_left, mut warnings_left) = (shown_errors, MOST_SHOWN - shown_errors);
    let (count, mut shown) = (all.len(), all);
    shown.retain(|problem| {
        let left = if is_error(problem) { &mut errors_left } else { &mut warnings_left };
        let is_shown = *left > 0;
        *left -= usize::from(is_shown);
        is_shown
    });
    let hidden = count - shown.len();
    let s = if hidden == 1 { "" } else { "s" };
    let of_errors = errors - shown_errors;
    let rest = format!("... and {hidden} more problem{s}, {of_errors} of them errors: correct these first");
    (shown, (hidden > 0).then_some(rest))
}

/// The foremost problems as text, without colours.
pub fn render(problems: &[Problem], sources: &Sources) -> String {
    let (shown, rest) = foremost(problems.iter());
    let mut out: String = shown.iter().map(|problem| render_one(problem, sources, ("", ""))).collect();
    if let Some(rest) = rest {
        let _ = writeln!(out, "{rest}");
    }
    out
}

/// One problem as text; `mark` goes around its first word. Characters that are not seen have a sign in their place.
pub fn render_one(problem: &Problem, sources: &Sources, mark: (&str, &str)) -> String {
    let sign = |c| if matches!(c, '\n' | '\t') { c } else { REPLACEMENT };
    let rest = invisible::replaced(&said(problem, sources), sign);
    format!("{}{}:{} {rest}", mark.0, problem.severity.name(), mark.1)
}

fn said(problem: &Problem, sources: &Sources) -> String {
    let mut out = format!("{}\n", problem.message);
    let Some(place) = &problem.place else {
        if let Some(help) = &problem.help {
            let _ = writeln!(out, "   = {}", excerpt::folded(help, 5));
        }
        return out;
    };
    if let Some(aside) = &problem.aside {
        let position = sources.position(place);
        let gap = if aside.is_empty() { "" } else { "   " };
        let _ = writeln!(out, "  --> {}{gap}{aside}", shown(position.as_ref()));
        if let Some(help) = &problem.help {
            let width = position.map_or(2, |position| position.line.to_string().len().max(2));
            let _ = writeln!(out, "{:width$} = {}", "", excerpt::folded(help, width + 3));
        }
    } else {
        excerpt::write(&mut out, sources, place, problem.help.as_deref().unwrap_or(""));
    }
    for (place, why) in &problem.also {
        excerpt::write(&mut out, sources, place, why);
    }
    out
}

fn shown(position: Option<&Position<'_>>) -> String {
    position.map_or_else(String::new, |at| format!("{}:{}:{}", at.file, at.line, at.column))
}

/// The bytes a parser complains about, never past the end of the text.
pub(super) fn within(span: Option<Range<usize>>, text: &str) -> Range<usize> {
    let span = span.unwrap_or(text.len()..text.len());
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add(Source::new("config.toml", text));
        sources
    }

    fn place(text: &str, part: &str) -> Place {
        let start = text.find(part).expect("the part");
        Place { source: 0, span: start..start + part.len() }
    }

    #[test]
    fn shows_the_line_and_what_to_write() {
        let text = "[poll]\n".to_owned() + &"\n".repeat(25) + "intervall = \"2m\"\n";
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
        let text = "[watch]\ninclude = \"李\" # 李雷\nx = 1";
        let problem = Problem::error("x", Some(place(text, "\"李\"")), "m");
        let shown = render(&[problem], &sources(text));
        assert!(shown.ends_with(" 2 | include = \"李\" # **\n   |           ^^^^\n"), "{shown}");
    }
}
