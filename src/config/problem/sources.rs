//! The files of a config, places in them, and the part of a line that a message may show.
//!
//! Guards: a line is shown without what may be a secret; a place counts characters, not bytes. Not here: problems
//! (`super`), how a line is printed (`excerpt`).

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use toml::de::DeTable;

use crate::config::file_set::ConfigFileSet;
use crate::config::{public, redact};

/// A stretch of one of the files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which file: an index into [`Sources`].
    pub source: usize,
    /// Which bytes of it.
    pub span: Range<usize>,
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

/// Computed once for all problems of a file, because there may be as many as lines.
#[derive(Clone, Debug)]
struct Index {
    /// Where each line begins.
    lines: Vec<usize>,
    /// Number of characters before each block of bytes, because a line may be as long as the file.
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

    /// Number of characters before a byte.
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
    file_set: ConfigFileSet,
}

/// A part of a line as it may be shown, and the characters in it that are pointed at.
#[derive(Debug)]
pub(super) struct Excerpt {
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) spanned: usize,
}

/// A place as people count: from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position<'a> {
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

    /// Sets the files that were read, also those that are not config.
    pub(in crate::config) fn set_file_set(&mut self, file_set: ConfigFileSet) {
        self.file_set = file_set;
    }

    /// What was read, as it was then: these files, secrets, templates, and the folders of included files.
    pub fn file_set(&self) -> &ConfigFileSet {
        &self.file_set
    }

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
    pub(super) fn excerpt(&self, place: &Place, reach: usize) -> Option<Excerpt> {
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

/// The bytes a parser complains about, never past the end of the text.
pub(in crate::config) fn within(span: Option<Range<usize>>, text: &str) -> Range<usize> {
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
