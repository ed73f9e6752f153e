//! Prints a line of a file: with its number, cut to 80 columns, with carets below the place.
//!
//! Guards: carets are below what they point at, also with wide characters; no secret on the line is printed. Not here: what
//! may be a secret (`redact`), the message (`super`).

use std::fmt::Write as _;

use super::sources::{Place, Position, Sources};

/// How wide an excerpt may be: what is wider folds on the usual terminal, and the carets point nowhere.
const WIDEST: usize = 80;

/// How many bytes of a line to each side of a place can be in an excerpt: more than fit, and far less than a line can have.
const REACH: usize = 4 * WIDEST;

/// A place, its line, and carets below it with a word on why.
pub(super) fn write(out: &mut String, sources: &Sources, place: &Place, label: &str) {
    let Some(position) = sources.position(place) else { return };
    let Some(excerpt) = sources.excerpt(place, REACH) else { return };
    let number = position.line.to_string();
    let width = number.len().max(2);
    let (line, start, spanned) = cut(&excerpt.text, excerpt.start, excerpt.spanned, WIDEST - width - 3);
    let before: String = line.chars().take(start).map(blank).collect();
    let carets: usize = line.chars().skip(start).take(spanned).map(columns).sum();
    let _ = writeln!(out, "  --> {}", position_text(Some(&position)));
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

/// `config.toml:7:3`.
pub(super) fn position_text(position: Option<&Position<'_>>) -> String {
    position.map_or_else(String::new, |at| format!("{}:{}:{}", at.file, at.line, at.column))
}

/// The longest message: a value in it may be as long as the file.
const LONGEST_MESSAGE: usize = 600;

/// A message without its middle where it is too long.
pub(super) fn shortened(text: String) -> String {
    if text.len() <= LONGEST_MESSAGE {
        return text;
    }
    let head = &text[..text.floor_char_boundary(LONGEST_MESSAGE / 3)];
    let tail = &text[text.ceil_char_boundary(text.len() - LONGEST_MESSAGE / 3)..];
    format!("{head}…{tail}")
}

/// What is too long for a line goes on below, between words: what may be copied, between backticks, stays whole.
pub(super) fn folded(label: &str, indent: usize) -> String {
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
}
