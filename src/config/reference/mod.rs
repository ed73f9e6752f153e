//! The reference of the config file: every table and key with its kind, default and meaning.
//!
//! Guards: this is the only list of keys; `config.example.toml`, the JSON Schema and `docs/configuration.md` have exactly
//! these. Not here: reading keys (`section`, `value`), printing the reference (`cli::configuration`).

mod dingtalk;
mod keeping;
mod key;
mod kind;
mod lookup;
mod people;
mod schema;
mod tables;
mod webhooks;

pub use key::{Absent, Effect, Key, Table};
pub use kind::Kind;
pub use lookup::{Entry, Found, entries, find};
pub use schema::schema;
pub use tables::{TABLES, table};

#[cfg(test)]
mod tests;
