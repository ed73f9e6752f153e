//! The parsed files of one config.
//!
//! Guards: nothing; it is data. Not here: reading the files (`file`), their meaning (`check`).

use std::path::PathBuf;

use toml::de::DeTable;

use super::section::Section;

/// One parsed file.
#[derive(Debug)]
pub(super) struct Document<'t> {
    /// Its table; where the syntax was wrong, what could be saved.
    pub(super) table: DeTable<'t>,
    /// Its index among the sources.
    pub(super) source: usize,
    /// Whether every user of the machine can read it.
    pub(super) world_readable: bool,
}

#[derive(Debug)]
pub(super) struct Files<'a> {
    /// The main one, canonical.
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    /// The main one's text.
    pub(super) main: &'a Document<'a>,
    /// The others, in order.
    pub(super) included: &'a [Document<'a>],
    /// The main one's top.
    pub(super) root: &'a Section<'a>,
    /// `[watch] auto_reload`.
    pub(super) auto_reload: bool,
}
