//! What a first config is for.
//!
//! Guards: a choice is complete, whether it comes from questions or from options. Not here: asking (`questions`), writing
//! (`super`).

use clap::ValueEnum;

use crate::secret::Secret;

/// Where an organisation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Site {
    /// api.dingtalk.com
    Mainland,
    /// api.dingtalk.io
    International,
}

impl Site {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mainland => "mainland",
            Self::International => "international",
        }
    }
}

/// What the config is for.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) source: Source,
    pub(super) users: Vec<String>,
    pub(super) webhook: Option<String>,
}

/// Where presence comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The simulator.
    BuiltIn,
    /// A real app; without a key it is still to be filled in.
    App { site: Site, key: Option<String>, secret: Option<Secret>, calls: u64 },
}

/// Mainland where the locale is Chinese.
pub(super) fn likely_site() -> Site {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    if locale.is_some_and(|locale| locale.starts_with("zh")) { Site::Mainland } else { Site::International }
}
