//! Problems of a config: what is wrong, where, and what to write; and how they are printed.
//!
//! Guards: all problems are shown at once, in the order of the files. Not here: the rules (`check` and the files beside
//! it), printing a line of a file (`excerpt`).

use std::fmt::Write as _;

use crate::invisible::{self, REPLACEMENT};

mod excerpt;
mod sources;

pub(super) use sources::within;
pub use sources::{Place, Position, Source, Sources};

/// Whether the config can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but it is most likely wrong.
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable name for the kind of problem, for programs.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// One line.
    pub message: String,
    /// Where; `None` when it is about no line in particular.
    pub place: Option<Place>,
    /// What to do.
    pub help: Option<String>,
    /// Printed beside the place instead of its line.
    pub aside: Option<String>,
    /// Other places that belong to it, each with a word on why.
    pub also: Vec<(Place, String)>,
}

impl Problem {
    pub fn error(code: &'static str, place: Option<Place>, message: impl Into<String>) -> Self {
        let severity = Severity::Error;
        let message = excerpt::shortened(message.into());
        Self { code, severity, message, place, help: None, aside: None, also: Vec::new() }
    }

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

/// Maximum number of problems shown as text; more would only fill the log.
const MAX_SHOWN: usize = 50;

/// The problems to show, errors before warnings where not all can be, in their order; and a line about the others.
pub fn foremost<'p>(problems: impl Iterator<Item = &'p Problem>) -> (Vec<&'p Problem>, Option<String>) {
    let all: Vec<&Problem> = problems.collect();
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    let errors = all.iter().copied().filter(is_error).count();
    let shown_errors = errors.min(MAX_SHOWN);
    let (mut errors_left, mut warnings_left) = (shown_errors, MAX_SHOWN - shown_errors);
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
    let rest = invisible::replaced(&message(problem, sources), sign);
    format!("{}{}:{} {rest}", mark.0, problem.severity.name(), mark.1)
}

fn message(problem: &Problem, sources: &Sources) -> String {
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
        let _ = writeln!(out, "  --> {}{gap}{aside}", excerpt::position_text(position.as_ref()));
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
