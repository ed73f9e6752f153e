//! Reads one table of the file: its keys, their values and their places.
//!
//! Guards: an invalid value never hides the next one; every unknown key is reported with the nearest known one. Not here:
//! the rules for values (`value`), rules between keys (`check`).

use toml::de::{DeTable, DeValue};

use super::characters;
use super::keys::{advice, is_known, keys_of, meant};
use super::problem::Place;

mod raw;
mod report;

pub(super) use raw::{Located, RawValue, ValueError, kind};
pub(super) use report::Report;

/// One table of the file. Making one reports its unknown keys.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: &'static str,
    label: String,
    table: &'a DeTable<'a>,
    /// The keys that unknown keys most likely mean.
    misspelt: Vec<&'static str>,
    /// Its header.
    pub(super) place: Place,
    /// Collects problems.
    pub(super) report: &'a Report,
}

impl<'a> Section<'a> {
    /// The top of a file; only the keys in `allowed` are valid there.
    pub(super) fn root(table: &'a DeTable<'a>, source: usize, report: &'a Report, allowed: &[&str]) -> Self {
        let place = Place { source, span: 0..0 };
        let mut root =
            Self { path: "", label: "the file".into(), table, misspelt: Vec::new(), place, report };
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if keys_of("").any(|key| key == name) && !allowed.contains(&name) {
                let place = Place { source, span: key.span() };
                let message = format!("`{name}` is not valid in an included file");
                report.error(
                    "unknown-key",
                    &place,
                    message,
                    "an included file may have [[user]], [[group]] and [[org]]",
                );
            }
        }
        root.report_unknown();
        root
    }

    fn new(
        path: &'static str,
        label: String,
        raw: RawValue<'a>,
        table: &'a DeTable<'a>,
        report: &'a Report,
    ) -> Self {
        let mut section = Self { path, label, table, misspelt: Vec::new(), place: raw.place(), report };
        section.report_unknown();
        section
    }

    fn report_unknown(&mut self) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if keys_of(self.path).any(|known| known == name) {
                continue;
            }
            self.misspelt.extend(meant(name, self.path).filter(|key| !self.misspelt.contains(key)));
            let place = Place { source: self.place.source, span: key.span() };
            match self.report.unseen_in_key(name, &place) {
                Some((at, error)) if self.report.is_quoted(&place) => {
                    let message = format!("a key in {} {}", self.label, error.message);
                    self.report.error("unknown-key", &at, message, &error.help);
                }
                // Without quotes it is an error of the syntax, which has been reported.
                Some(_) => {}
                None => {
                    let shown = if is_known(name) { format!(" `{name}`") } else { String::new() };
                    let message = format!("unknown key{shown} in {}", self.label);
                    self.report.error("unknown-key", &place, message, &advice(name, self.path));
                }
            }
        }
    }

    /// How messages name it: `[poll]`.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Whether the key is set, valid or not, or misspelt: a key that was reported is not missing too.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key) || self.misspelt.contains(&key)
    }

    fn raw(&self, key: &'static str) -> Option<RawValue<'a>> {
        debug_assert!(
            keys_of(self.path).any(|known| known == key),
            "{key} is missing among the keys of {}",
            self.path
        );
        self.table.get(key).map(|value| RawValue::new(value, self.place.source))
    }

    /// Reads a key. An invalid value is reported, and the key counts as missing.
    pub(super) fn take<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(RawValue<'a>) -> Result<T, ValueError>,
    ) -> Option<Located<T>> {
        let spot = self.read(key, self.raw(key)?, read)?;
        self.report.mark_used(&self.used_path(key), &spot.place);
        Some(spot)
    }

    /// Reads a key that has a default; only another value counts as used.
    pub(super) fn take_or<T: PartialEq>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(RawValue<'a>) -> Result<T, ValueError>,
    ) -> T {
        self.take_unless(key, &default, read).map_or(default, |spot| spot.value)
    }

    /// Same as [`Self::take_or`], but `None` if the key is not set.
    pub(super) fn take_unless<T: PartialEq>(
        &self,
        key: &'static str,
        default: &T,
        read: impl FnOnce(RawValue<'a>) -> Result<T, ValueError>,
    ) -> Option<Located<T>> {
        let spot = self.read(key, self.raw(key)?, read)?;
        if spot.value != *default {
            self.report.mark_used(&self.used_path(key), &spot.place);
        }
        Some(spot)
    }

    /// Reads a list, each item by itself; `None` when none of them is right. A single value counts as a list of
    /// one where `one_is_a_list`.
    pub(super) fn take_list<T>(
        &self,
        key: &'static str,
        one_is_a_list: bool,
        read: impl Fn(RawValue<'a>) -> Result<T, ValueError>,
    ) -> Option<Located<Vec<Located<T>>>> {
        let raw = self.raw(key)?;
        let items = match raw.items() {
            Some(items) => items,
            None if one_is_a_list => vec![raw],
            None => {
                let message =
                    format!("`{key}` in {}: expected a list, found {}", self.label, kind(raw.value));
                self.report.error("bad-value", &raw.place(), message, "write it in `[` and `]`");
                return None;
            }
        };
        let written = items.len();
        let value: Vec<_> = items.into_iter().filter_map(|item| self.read(key, item, &read)).collect();
        if value.is_empty() && written > 0 {
            return None;
        }
        self.report.mark_used(&self.used_path(key), &raw.place());
        Some(Located { value, place: raw.place() })
    }

    fn read<T>(
        &self,
        key: &str,
        raw: RawValue<'a>,
        read: impl FnOnce(RawValue<'a>) -> Result<T, ValueError>,
    ) -> Option<Located<T>> {
        let place = raw.place();
        let refuse = |place: &Place, error: &ValueError| {
            let message = format!("`{key}` in {}: {}", self.label, error.message);
            self.report.error("bad-value", place, message, &error.help);
            None
        };
        // Headers are looked at one by one.
        if let Some((place, error)) = self.report.unseen(key, &raw).filter(|_| key != "headers") {
            return refuse(&place, &error);
        }
        match read(raw) {
            Ok(value) => Some(Located { value, place }),
            // What recovery put in place of a value that does not parse is empty; it has been reported.
            Err(_) if place.span.is_empty() => None,
            Err(error) => {
                // What holds a slash may be a URL with a secret in it.
                let plain = raw.value.as_str().filter(|text| !text.contains('/'));
                let help = plain.and_then(characters::full_width).unwrap_or(error.help);
                refuse(&place, &ValueError { help, ..error })
            }
        }
    }

    /// A table inside this one.
    pub(super) fn table(&self, key: &'static str, path: &'static str) -> Option<Section<'a>> {
        let raw = self.raw(key)?;
        let label = if self.path.is_empty() { format!("[{key}]") } else { format!("[{}.{key}]", self.path) };
        let DeValue::Table(table) = raw.value else {
            let message = format!("`{key}` in {}: expected a table, found {}", self.label, kind(raw.value));
            self.report.error("bad-value", &raw.place(), message, &format!("write `[{path}]`"));
            return None;
        };
        self.report.mark_used(path, &raw.place());
        Some(Section::new(path, label, raw, table, self.report))
    }

    /// The tables of an array at the top of the file.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Section<'a>> {
        self.tables_at(key, key)
    }

    /// The tables of an array, by the path that the reference has for them.
    pub(super) fn tables_at(&self, key: &'static str, path: &'static str) -> Vec<Section<'a>> {
        let Some(raw) = self.raw(key) else { return Vec::new() };
        let Some(items) = raw.items() else {
            let message = format!("expected [[{path}]], found {}", kind(raw.value));
            self.report.error(
                "bad-value",
                &raw.place(),
                message,
                &format!("write `[[{path}]]`, one for each"),
            );
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            if let DeValue::Table(table) = item.value {
                self.report.mark_used(path, &item.place());
                sections.push(Section::new(path, format!("[[{path}]]"), item, table, self.report));
            } else {
                let message = format!("expected [[{path}]], found {}", kind(item.value));
                self.report.error(
                    "bad-value",
                    &item.place(),
                    message,
                    &format!("write `[[{path}]]`, one for each"),
                );
            }
        }
        sections
    }

    /// An organisation's keys count as those of `[dingtalk]`, a webhook's defaults as a webhook's.
    fn used_path(&self, key: &str) -> String {
        match self.path {
            "org" => format!("dingtalk.{key}"),
            "webhook_defaults" => format!("webhook.{key}"),
            path => format!("{path}.{key}"),
        }
    }
}
