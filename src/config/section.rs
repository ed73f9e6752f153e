//! Reading one table of the file: its keys, their values, and where everything stands.
//!
//! Guards: a wrong value never hides the next one; every unknown key is found, with the nearest known one.
//! Deliberately not here: what the values must be like (`value`), how they fit together (`check`).

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::characters;
use super::keys::{advice, is_known, keys_of, meant};
use super::problem::Place;

mod report;

pub(super) use report::Report;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spot<T> {
    /// The value.
    pub(super) value: T,
    /// Where.
    pub(super) place: Place,
}

/// Why a value was refused.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// What is wrong with it.
    pub(super) message: String,
    /// What to write.
    pub(super) help: String,
}

impl Trouble {
    /// One with what to write instead.
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// A value as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    /// The value.
    pub(super) value: &'a DeValue<'a>,
    span: &'a Spanned<DeValue<'a>>,
    source: usize,
}

impl<'a> Raw<'a> {
    fn new(value: &'a Spanned<DeValue<'a>>, source: usize) -> Self {
        Self { value: value.get_ref(), span: value, source }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        Place { source: self.source, span: self.span.span() }
    }

    /// The items of an array.
    pub(super) fn items(&self) -> Option<Vec<Raw<'a>>> {
        let array = self.value.as_array()?;
        Some(array.iter().map(|item| Raw::new(item, self.source)).collect())
    }

    /// The pairs of a table, with the places of the keys.
    pub(super) fn pairs(&self) -> Option<Vec<(Spot<String>, Raw<'a>)>> {
        let table = self.value.as_table()?;
        let mut pairs: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let place = Place { source: self.source, span: key.span() };
                (Spot { value: key.get_ref().to_string(), place }, Raw::new(value, self.source))
            })
            .collect();
        pairs.sort_by_key(|(key, _)| key.place.span.start);
        Some(pairs)
    }
}

/// One table of the file. Making one reports its unknown keys.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: &'static str,
    label: String,
    table: &'a DeTable<'a>,
    /// The keys that unknown ones seem to mean.
    misspelt: Vec<&'static str>,
    /// Its header.
    pub(super) place: Place,
    /// What the reading has come to.
    pub(super) report: &'a Report,
}

impl<'a> Section<'a> {
    /// The top of a file; only the keys in `allowed` may stand there.
    pub(super) fn root(table: &'a DeTable<'a>, source: usize, report: &'a Report, allowed: &[&str]) -> Self {
        let place = Place { source, span: 0..0 };
        let mut root =
            Self { path: "", label: "the file".into(), table, misspelt: Vec::new(), place, report };
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if keys_of("").any(|key| key == name) && !allowed.contains(&name) {
                let place = Place { source, span: key.span() };
                let message = format!("`{name}` does not belong into an included file");
                report.error("unknown-key", &place, message, "[[user]], [[group]] and [[org]] do");
            }
        }
        root.report_unknown();
        root
    }

    fn new(
        path: &'static str,
        label: String,
        raw: Raw<'a>,
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
                Some((at, trouble)) if self.report.is_quoted(&place) => {
                    let message = format!("a key in {} {}", self.label, trouble.message);
                    self.report.error("unknown-key", &at, message, &trouble.help);
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

    /// Whether the key stands there, right or wrong, or misspelt: what is reported once is not missing too.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key) || self.misspelt.contains(&key)
    }

    fn raw(&self, key: &'static str) -> Option<Raw<'a>> {
        debug_assert!(
            keys_of(self.path).any(|known| known == key),
            "{key} is missing among the keys of {}",
            self.path
        );
        self.table.get(key).map(|value| Raw::new(value, self.place.source))
    }

    /// Reads a key; a value that is refused is reported and missing.
    pub(super) fn take<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(Raw<'a>) -> Result<T, Trouble>,
    ) -> Option<Spot<T>> {
        let spot = self.read(key, self.raw(key)?, read)?;
        self.report.mark_used(&self.used_path(key), &spot.place);
        Some(spot)
    }

    /// Reads a key that has a default; only another value counts as used.
    pub(super) fn take_or<T: PartialEq>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(Raw<'a>) -> Result<T, Trouble>,
    ) -> T {
        self.take_unless(key, &default, read).map_or(default, |spot| spot.value)
    }

    /// The same, saying whether it was set at all.
    pub(super) fn take_unless<T: PartialEq>(
        &self,
        key: &'static str,
        default: &T,
        read: impl FnOnce(Raw<'a>) -> Result<T, Trouble>,
    ) -> Option<Spot<T>> {
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
        read: impl Fn(Raw<'a>) -> Result<T, Trouble>,
    ) -> Option<Spot<Vec<Spot<T>>>> {
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
        Some(Spot { value, place: raw.place() })
    }

    fn read<T>(
        &self,
        key: &str,
        raw: Raw<'a>,
        read: impl FnOnce(Raw<'a>) -> Result<T, Trouble>,
    ) -> Option<Spot<T>> {
        let place = raw.place();
        let refuse = |place: &Place, trouble: &Trouble| {
            let message = format!("`{key}` in {}: {}", self.label, trouble.message);
            self.report.error("bad-value", place, message, &trouble.help);
            None
        };
        // Headers are looked at one by one.
        if let Some((place, trouble)) = self.report.unseen(key, &raw).filter(|_| key != "headers") {
            return refuse(&place, &trouble);
        }
        match read(raw) {
            Ok(value) => Some(Spot { value, place }),
            // What recovery put in place of a value that does not parse is empty; it has been reported.
            Err(_) if place.span.is_empty() => None,
            Err(trouble) => {
                // What holds a slash may be a URL with a secret in it.
                let plain = raw.value.as_str().filter(|text| !text.contains('/'));
                let help = plain.and_then(characters::full_width).unwrap_or(trouble.help);
                refuse(&place, &Trouble { help, ..trouble })
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

    /// The tables of an array.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(raw) = self.raw(key) else { return Vec::new() };
        let Some(items) = raw.items() else {
            let message = format!("expected [[{key}]], found {}", kind(raw.value));
            self.report.error(
                "bad-value",
                &raw.place(),
                message,
                &format!("write `[[{key}]]`, one for each"),
            );
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            if let DeValue::Table(table) = item.value {
                self.report.mark_used(key, &item.place());
                sections.push(Section::new(key, format!("[[{key}]]"), item, table, self.report));
            } else {
                let message = format!("expected [[{key}]], found {}", kind(item.value));
                self.report.error(
                    "bad-value",
                    &item.place(),
                    message,
                    &format!("write `[[{key}]]`, one for each"),
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

/// What a value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
