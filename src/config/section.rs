//! Reads one table of the file: its keys, their values and their places.
//!
//! Guards: an invalid value never hides the next one; every unknown key is reported with the nearest known one; a default is
//! that of the reference. Not here: the rules for values (`value`), rules between keys (`check`).

use std::iter::successors;
use std::rc::Rc;

use toml::de::{DeTable, DeValue};

use super::characters;
use super::keys::{advice, is_known, keys_of, meant};
use super::problem::Place;
use super::reference::default;

mod raw;
mod report;

pub(super) use raw::{Located, RawValue, ValueError, kind};
pub(super) use report::Report;

/// Reads a value.
type Read<'r, 'a, T> = dyn Fn(RawValue<'a>) -> Result<T, ValueError> + 'r;

/// One table of the file. Making one reports its unknown keys.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    path: &'static str,
    label: String,
    /// `None`: the file does not have it.
    table: Option<&'a DeTable<'a>>,
    /// The keys that unknown keys most likely mean.
    misspelt: Vec<&'static str>,
    /// The table that its keys are inherited from.
    base: Option<Rc<Section<'a>>>,
    /// Its header.
    pub(super) place: Place,
    /// Collects problems.
    pub(super) report: &'a Report,
}

impl<'a> Section<'a> {
    /// The top of a file; only the keys in `allowed` are valid there.
    pub(super) fn root(table: &'a DeTable<'a>, source: usize, report: &'a Report, allowed: &[&str]) -> Self {
        let place = Place { source, span: 0..0 };
        let root = Self::new("", "the file".into(), Some(table), place, report);
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
        root
    }

    fn new(
        path: &'static str,
        label: String,
        table: Option<&'a DeTable<'a>>,
        place: Place,
        report: &'a Report,
    ) -> Self {
        let mut section = Self { path, label, table, misspelt: Vec::new(), base: None, place, report };
        section.report_unknown();
        section
    }

    /// The same table, whose missing keys are inherited.
    pub(super) fn over(mut self, base: &Rc<Self>) -> Self {
        self.base = Some(Rc::clone(base));
        self
    }

    fn report_unknown(&mut self) {
        for (key, _) in self.table.into_iter().flatten() {
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

    /// This table and those that it inherits from.
    fn layers(&self) -> impl Iterator<Item = &Self> {
        successors(Some(self), |section| section.base.as_deref())
    }

    /// Whether the key is set here, valid or not, or misspelt: a key that was reported is not missing too.
    pub(super) fn has_itself(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key)) || self.misspelt.contains(&key)
    }

    /// Same as [`Self::has_itself`], or inherited.
    pub(super) fn has(&self, key: &str) -> bool {
        self.layers().any(|layer| layer.has_itself(key))
    }

    /// The values of a key in this table and those that it inherits from, each with its table.
    fn all(&self, key: &'static str) -> impl Iterator<Item = (&Self, RawValue<'a>)> {
        debug_assert!(
            keys_of(self.path).any(|known| known == key),
            "{key} is missing among the keys of {}",
            self.path
        );
        self.layers()
            .filter_map(move |layer| Some((layer, RawValue::new(layer.table?.get(key)?, layer.place.source))))
    }

    /// The value of a key, not read.
    pub(super) fn raw(&self, key: &'static str) -> Option<RawValue<'a>> {
        self.all(key).map(|(_, raw)| raw).next()
    }

    /// The value of a key that is a text, not read.
    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        self.raw(key)?.value.as_str()
    }

    /// Reads a key. An invalid value is reported, and the key counts as missing. An inherited value is read even if it is
    /// not used, for its problems.
    pub(super) fn take<T>(
        &self,
        key: &'static str,
        read: impl Fn(RawValue<'a>) -> Result<T, ValueError>,
    ) -> Option<Located<T>> {
        self.take_by(key, &read)
    }

    // Compiled once for a type of value, not for every way to read one.
    fn take_by<T>(&self, key: &'static str, read: &Read<'_, 'a, T>) -> Option<Located<T>> {
        self.all(key).fold(None, |found, (layer, raw)| {
            let value = layer.read(key, raw, read);
            found.or(value)
        })
    }

    /// Reads a key that has a default.
    pub(super) fn get<T>(
        &self,
        key: &'static str,
        read: impl Fn(RawValue<'_>) -> Result<T, ValueError>,
    ) -> T {
        self.located(key, read).value
    }

    /// Same as [`Self::get`]; a default has the place of the table.
    pub(super) fn located<T>(
        &self,
        key: &'static str,
        read: impl Fn(RawValue<'_>) -> Result<T, ValueError>,
    ) -> Located<T> {
        self.located_by(key, &read)
    }

    fn located_by<T>(
        &self,
        key: &'static str,
        read: &dyn Fn(RawValue<'_>) -> Result<T, ValueError>,
    ) -> Located<T> {
        self.take_by(key, &|raw| read(raw))
            .unwrap_or_else(|| Located { value: self.default(key, read), place: self.place.clone() })
    }

    /// Reads a list, each item by itself; `None` when none of them is right. A single value counts as a list of
    /// one where `one_is_a_list`.
    pub(super) fn take_list<T>(
        &self,
        key: &'static str,
        one_is_a_list: bool,
        read: impl Fn(RawValue<'a>) -> Result<T, ValueError>,
    ) -> Option<Located<Vec<Located<T>>>> {
        self.all(key).fold(None, |found, (layer, raw)| {
            let list = layer.read_list(key, raw, one_is_a_list, &read);
            found.or(list)
        })
    }

    /// Same as [`Self::take_list`] for a key that has a default.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        one_is_a_list: bool,
        read: impl Fn(RawValue<'_>) -> Result<T, ValueError>,
    ) -> Vec<Located<T>> {
        let items = |raw: RawValue<'_>| {
            let item = |raw| Ok(Located { value: read(raw)?, place: self.place.clone() });
            raw.items().unwrap_or_default().into_iter().map(item).collect()
        };
        self.take_list(key, one_is_a_list, &read).map_or_else(|| self.default(key, &items), |list| list.value)
    }

    fn default<T>(&self, key: &str, read: &dyn Fn(RawValue<'_>) -> Result<T, ValueError>) -> T {
        let text = format!("x = {}", default(self.path, key).unwrap_or_default());
        let document = DeTable::parse(&text).ok();
        let value = document.as_ref().and_then(|document| document.get_ref().get("x"));
        value
            .and_then(|value| read(RawValue::new(value, self.place.source)).ok())
            .expect("each default of the reference is valid, or no config could be read")
    }

    fn read_list<T>(
        &self,
        key: &str,
        raw: RawValue<'a>,
        one_is_a_list: bool,
        read: &Read<'_, 'a, T>,
    ) -> Option<Located<Vec<Located<T>>>> {
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
        let value: Vec<_> = items.into_iter().filter_map(|item| self.read(key, item, read)).collect();
        (!value.is_empty() || written == 0).then(|| Located { value, place: raw.place() })
    }

    fn read<T>(&self, key: &str, raw: RawValue<'a>, read: &Read<'_, 'a, T>) -> Option<Located<T>> {
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

    /// A table inside this one, over the same table of those that it inherits from.
    pub(super) fn table(&self, key: &'static str, path: &'static str) -> Self {
        let own = self.all(key).filter_map(|(layer, raw)| layer.inner(key, path, raw));
        let layers: Vec<Self> = own.collect();
        let absent = || Self::new(path, self.label_of(key), None, self.place.clone(), self.report);
        let over = |base: Self, top: Self| top.over(&Rc::new(base));
        layers.into_iter().rev().reduce(over).unwrap_or_else(absent)
    }

    /// A table inside this one, or the inherited one as a whole.
    pub(super) fn table_if_set(&self, key: &'static str, path: &'static str) -> Option<Self> {
        let (layer, raw) = self.all(key).next()?;
        layer.inner(key, path, raw)
    }

    fn label_of(&self, key: &str) -> String {
        if self.path.is_empty() { format!("[{key}]") } else { format!("[{}.{key}]", self.path) }
    }

    fn inner(&self, key: &'static str, path: &'static str, raw: RawValue<'a>) -> Option<Self> {
        let DeValue::Table(table) = raw.value else {
            let message = format!("`{key}` in {}: expected a table, found {}", self.label, kind(raw.value));
            self.report.error("bad-value", &raw.place(), message, &format!("write `[{path}]`"));
            return None;
        };
        Some(Self::new(path, self.label_of(key), Some(table), raw.place(), self.report))
    }

    /// The tables of an array at the top of the file.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Section<'a>> {
        self.tables_at(key, key)
    }

    /// The tables of an array, by the path that the reference has for them.
    pub(super) fn tables_at(&self, key: &'static str, path: &'static str) -> Vec<Section<'a>> {
        let Some(raw) = self.raw(key) else { return Vec::new() };
        let refuse = |raw: RawValue<'_>| {
            let message = format!("expected [[{path}]], found {}", kind(raw.value));
            let help = format!("write `[[{path}]]`, one for each");
            self.report.error("bad-value", &raw.place(), message, &help);
            None
        };
        let Some(items) = raw.items() else { return refuse(raw).into_iter().collect() };
        let table = |item: RawValue<'a>| match item.value {
            DeValue::Table(table) => {
                Some(Section::new(path, format!("[[{path}]]"), Some(table), item.place(), self.report))
            }
            _ => refuse(item),
        };
        items.into_iter().filter_map(table).collect()
    }
}
