//! Collects the results of reading a config: problems, keys in use, files that were read.
//!
//! Guards: problems are collected and shown later, in the order of the file. Not here: reading a table (`super`), showing
//! problems (`problem`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::super::characters;
use super::super::file_set::ConfigFileSet;
use super::super::keys::nearest;
use super::super::problem::{Place, Problem, Severity};
use super::raw::{RawValue, ValueError};

/// The results so far.
#[derive(Debug, Default)]
pub(in crate::config) struct Report {
    problems: RefCell<Vec<Problem>>,
    file_set: RefCell<ConfigFileSet>,
    texts: RefCell<BTreeMap<usize, Arc<str>>>,
    compared: Cell<usize>,
}

/// After this number of comparisons no more suggestions are searched, because only the first problems are shown.
const MAX_COMPARISONS: usize = 1_000_000;

impl Report {
    /// Adds a problem.
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

    /// Whether anything was wrong with a value so far.
    pub(in crate::config) fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether this file has a plain secret.
    pub(in crate::config) fn has_plain_secret(&self, source: usize) -> bool {
        let here = |problem: &Problem| problem.place.as_ref().is_some_and(|place| place.source == source);
        self.problems.borrow().iter().any(|problem| problem.code == "plain-secret" && here(problem))
    }

    /// Records that the config depends on this file or folder, which is about to be read.
    pub(in crate::config) fn reads(&self, path: &Path) {
        self.file_set.borrow_mut().take(path);
    }

    /// The nearest word of a list that may be as long as the file.
    pub(in crate::config) fn nearest<'k>(
        &self,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<&'k str> {
        let compared = || self.compared.get();
        if compared() > MAX_COMPARISONS {
            return None;
        }
        nearest(word, known.into_iter().inspect(|_| self.compared.set(compared() + 1)))
    }

    /// Keeps the text of a source, for places inside of a value.
    pub(in crate::config) fn keep_text(&self, source: usize, text: &Arc<str>) {
        self.texts.borrow_mut().insert(source, Arc::clone(text));
    }

    /// The first invisible character in a value.
    pub(in crate::config) fn unseen(&self, key: &str, raw: &RawValue<'_>) -> Option<(Place, ValueError)> {
        let source = raw.source;
        let (span, error) = characters::unseen(key, raw, &self.text(source))?;
        Some((Place { source, span }, error))
    }

    /// The first invisible character in the name of a key.
    pub(in crate::config) fn unseen_in_key(&self, name: &str, place: &Place) -> Option<(Place, ValueError)> {
        let source = place.source;
        let (span, error) = characters::in_key(name, place.span.clone(), &self.text(source))?;
        Some((Place { source, span }, error))
    }

    /// Whether a place begins with a quote.
    pub(in crate::config) fn is_quoted(&self, place: &Place) -> bool {
        self.text(place.source).get(place.span.clone()).is_some_and(|text| text.starts_with(['"', '\'']))
    }

    fn text(&self, source: usize) -> Arc<str> {
        self.texts.borrow().get(&source).cloned().unwrap_or_default()
    }

    /// The problems, and the files that were read.
    pub(in crate::config) fn finish(self) -> (Vec<Problem>, ConfigFileSet) {
        (self.problems.into_inner(), self.file_set.into_inner())
    }
}
