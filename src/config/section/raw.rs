//! A value of the file with its place, and why a value is refused.
//!
//! Guards: every value keeps its place. Not here: reading tables (`super`), reading values (`value`).

use toml::Spanned;
use toml::de::DeValue;

use crate::config::problem::Place;

/// A value and its place.
#[derive(Clone, Debug)]
pub(in crate::config) struct Located<T> {
    pub(in crate::config) value: T,
    /// Its place in the files.
    pub(in crate::config) place: Place,
}

/// Why a value was refused.
#[derive(Clone, Debug)]
pub(in crate::config) struct ValueError {
    /// What is wrong with it.
    pub(in crate::config) message: String,
    /// What to write.
    pub(in crate::config) help: String,
}

impl ValueError {
    /// An error, and what to write instead.
    pub(in crate::config) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// A value as parsed from the file.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct RawValue<'a> {
    pub(in crate::config) value: &'a DeValue<'a>,
    span: &'a Spanned<DeValue<'a>>,
    pub(super) source: usize,
}

impl<'a> RawValue<'a> {
    pub(super) fn new(value: &'a Spanned<DeValue<'a>>, source: usize) -> Self {
        Self { value: value.get_ref(), span: value, source }
    }

    pub(in crate::config) fn place(&self) -> Place {
        Place { source: self.source, span: self.span.span() }
    }

    /// The items of an array.
    pub(in crate::config) fn items(&self) -> Option<Vec<RawValue<'a>>> {
        let array = self.value.as_array()?;
        Some(array.iter().map(|item| RawValue::new(item, self.source)).collect())
    }

    /// The pairs of a table, with the places of the keys.
    pub(in crate::config) fn pairs(&self) -> Option<Vec<(Located<String>, RawValue<'a>)>> {
        let table = self.value.as_table()?;
        let mut pairs: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let place = Place { source: self.source, span: key.span() };
                (Located { value: key.get_ref().to_string(), place }, RawValue::new(value, self.source))
            })
            .collect();
        pairs.sort_by_key(|(key, _)| key.place.span.start);
        Some(pairs)
    }
}

/// What a value is, in words.
pub(in crate::config) fn kind(value: &DeValue<'_>) -> &'static str {
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
