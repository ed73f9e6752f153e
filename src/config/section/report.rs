//! What one reading of a config has come to: its problems, the keys that are used, what was read.
//!
//! Guards: nothing is said while reading goes on, so that everything can be said in order. Deliberately not here: how a table is
//! read (`section`), how problems are shown (`problem`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::super::characters;
use super::super::footprint::Footprint;
use super::super::keys::nearest;
use super::super::problem::{Place, Problem, Severity};
use super::{Raw, Trouble};

/// What one reading of a config has come to so far.
#[derive(Debug, Default)]
pub(in crate::config) struct Report {
    problems: RefCell<Vec<Problem>>,
    used: RefCell<Vec<(String, Place)>>,
    footprint: RefCell<Footprint>,
    texts: RefCell<BTreeMap<usize, Arc<str>>>,
    compared: Cell<usize>,
}

/// After so many comparisons of words no more advice is looked for: only the first problems are shown anyway.
const MOST_COMPARED: usize = 1_000_000;

impl Report {
    /// Takes a problem.
    pub(in crate::config) fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// An error at a place.
    pub(in crate::config) fn error(
        &self,
        code: &'static str,
        place: &Place,
        message: impl Into<String>,
        help: &str,
    ) {
        let problem = Problem::error(code, Some(place.clone()), message);
        self.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// A warning at a place.
    pub(in crate::config) fn warning(
        &self,
        code: &'static str,
        place: &Place,
        message: impl Into<String>,
        help: &str,
    ) {
        let problem = Problem::warning(code, Some(place.clone()), message);
        self.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// Notes that a key is set to something else than its default.
    pub(in crate::config) fn mark_used(&self, path: &str, place: &Place) {
        self.used.borrow_mut().push((path.to_owned(), place.clone()));
    }

    /// Where a key is first set to something else than its default.
    pub(in crate::config) fn first_use(&self, path: &str) -> Option<Place> {
        self.used.borrow().iter().find(|(used, _)| used == path).map(|(_, place)| place.clone())
    }

    /// Whether anything was wrong with a value so far.
    pub(in crate::config) fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether a secret stands in this file.
    pub(in crate::config) fn has_plain_secret(&self, source: usize) -> bool {
        let here = |problem: &Problem| problem.place.as_ref().is_some_and(|place| place.source == source);
        self.problems.borrow().iter().any(|problem| problem.code == "plain-secret" && here(problem))
    }

    /// Notes that what the config means depends on this file or folder, which is about to be read.
    pub(in crate::config) fn reads(&self, path: &Path) {
        self.footprint.borrow_mut().take(path);
    }

    /// The one of a list as long as the file that somebody may have meant by `word`.
    pub(in crate::config) fn nearest<'k>(
        &self,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<&'k str> {
        let compared = || self.compared.get();
        if compared() > MOST_COMPARED {
            return None;
        }
        nearest(word, known.into_iter().inspect(|_| self.compared.set(compared() + 1)))
    }

    /// Keeps the text of a source, for places inside of a value.
    pub(in crate::config) fn keep_text(&self, source: usize, text: &Arc<str>) {
        self.texts.borrow_mut().insert(source, Arc::clone(text));
    }

    /// The first character in a value that is not seen.
    pub(in crate::config) fn unseen(&self, key: &str, raw: &Raw<'_>) -> Option<(Place, Trouble)> {
        let source = raw.source;
        let (span, trouble) = characters::unseen(key, raw, &self.text(source))?;
        Some((Place { source, span }, trouble))
    }

    /// The same in the name of a key.
    pub(in crate::config) fn unseen_in_key(&self, name: &str, place: &Place) -> Option<(Place, Trouble)> {
        let source = place.source;
        let (span, trouble) = characters::in_key(name, place.span.clone(), &self.text(source))?;
        Some((Place { source, span }, trouble))
    }

    /// Whether a place begins with a quote.
    pub(in crate::config) fn is_quoted(&self, place: &Place) -> bool {
        self.text(place.source).get(place.span.clone()).is_some_and(|text| text.starts_with(['"', '\'']))
    }

    fn text(&self, source: usize) -> Arc<str> {
        self.texts.borrow().get(&source).cloned().unwrap_or_default()
    }

    /// Everything found, and what was read for it.
    pub(in crate::config) fn finish(self) -> (Vec<Problem>, Footprint) {
        (self.problems.into_inner(), self.footprint.into_inner())
    }
}
