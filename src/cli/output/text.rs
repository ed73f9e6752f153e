//! Text for a terminal: what is safe to print, how wide it is, and common phrases.
//!
//! Guards: text from outside cannot control the terminal; widths are cells of the terminal, of which a Chinese character
//! takes two. Not here: tables (`table`).

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::invisible;

/// Writes all of the text. A closed pipe (`| head`) is no error.
pub fn write_out(mut out: impl std::io::Write, text: &str) -> std::io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The text without control characters, direction marks and invisible characters, which a nick may contain.
pub fn harmless(text: &str) -> String {
    invisible::replaced(text, |_| invisible::REPLACEMENT)
}

/// Same as [`harmless`] for a text of several lines with colours of the program.
pub fn harmless_lines(text: &str) -> String {
    invisible::replaced(text, |c| if c.is_control() { c } else { invisible::REPLACEMENT })
}

/// The text, filled with blanks to `width` cells or cut with an ellipsis.
pub fn padded(text: &str, width: usize) -> String {
    let mut out = cut(text, width);
    out.extend(std::iter::repeat_n(' ', width - out.width()));
    out
}

/// The text, or as much of it as fits into `width` cells, with an ellipsis at the cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    if width > 0 {
        out.push('\u{2026}');
    }
    out
}

/// The text, or as much of its end as fits into `width` cells, with an ellipsis at the cut.
pub fn cut_beginning(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut used) = (Vec::new(), 1);
    for c in text.chars().rev() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    let mark = if width > 0 { "\u{2026}" } else { "" };
    mark.chars().chain(kept.into_iter().rev()).collect()
}

/// Lines of at most `wide` cells, broken between words; a longer word is not broken, so that it can be copied.
pub fn folded(text: &str, wide: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= wide {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// How long ago: `35 s ago`, `12 min ago`, `3 h ago`, `2 days ago`.
pub fn ago(since: Duration) -> String {
    match since.as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// `1 person`, `2 people`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
