//! The reference of the config file: every table and key with its kind, default and meaning.
//!
//! Guards: this is the only list of keys; the defaults of the reader, `config.example.toml`, the JSON Schema and
//! `docs/configuration.md` come from it. Not here: reading keys (`section`, `value`), printing the reference (`cli::configuration`).

mod dingtalk;
mod example;
mod keeping;
mod key;
mod kind;
mod lookup;
mod people;
mod schema;
mod tables;
mod webhooks;

pub use example::example;
pub use key::{Absent, Effect, Key, Table};
pub use kind::Kind;
pub use lookup::{Entry, Found, entries, find};
pub use schema::schema;
pub use tables::{TABLES, default, key_of, table};

#[cfg(test)]
mod tests;
