//! Every table and key of the file, described: kind, default, meaning. The one list.
//!
//! Guards: a key that is read without standing here does not pass the tests; `config.example.toml`, the JSON Schema and
//! `docs/configuration.md` hold exactly these. Deliberately not here: reading (`section`, `value`), and how the
//! descriptions are shown (`cli::config`).

mod dingtalk;
mod keeping;
mod kind;
mod lookup;
mod people;
mod schema;
mod webhooks;

pub use kind::Kind;
pub use lookup::{Entry, Found, entries, find};
pub use schema::schema;

/// One table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its path, in which an array of tables counts once; empty: the top of the file.
    pub path: &'static str,
    /// Whether there may be several: `[[user]]`.
    pub many: bool,
    /// What it is for: the remark above it in the example.
    pub about: &'static str,
    /// What reads it at run time.
    pub used_by: &'static str,
    /// The page with more about it.
    pub see: &'static str,
    /// Its own keys, in the order of the example.
    pub keys: &'static [Key],
    /// Another table whose keys may stand here too.
    pub also: Option<&'static str>,
}

impl Table {
    /// How it is written: `[poll]`, `[[user]]`.
    pub fn header(&self) -> String {
        if self.many { format!("[[{}]]", self.path) } else { format!("[{}]", self.path) }
    }

    /// Its keys and those of the table it shares with.
    pub fn all_keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().chain(self.also.and_then(table).map_or(&[][..], |table| table.keys))
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is left out.
    pub absent: Absent,
    /// What it means, in a sentence: the remark above it in the example.
    pub about: &'static str,
    /// What else somebody should know; may be empty.
    pub more: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
    /// When a change of it counts.
    pub effect: Effect,
}

/// What holds when a key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// This value, as TOML.
    Default(&'static str),
    /// What is said here.
    Means(&'static str),
    /// It must not be; with a condition, or empty: never.
    Refused(&'static str),
}

/// When a change counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At the next reload.
    Reload,
    /// At the next start.
    Restart,
}

impl Key {
    const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        let absent = Absent::Refused("");
        Self { name, kind, absent, about, more: "", example: "", effect: Effect::Reload }
    }

    /// With this default, which is its example too.
    const fn or(mut self, default: &'static str) -> Self {
        self.absent = Absent::Default(default);
        self.example = default;
        self
    }

    /// May be left out, and this holds then.
    const fn unset(mut self, means: &'static str) -> Self {
        self.absent = Absent::Means(means);
        self
    }

    /// Must be there under this condition.
    const fn needed(mut self, when: &'static str) -> Self {
        self.absent = Absent::Refused(when);
        self
    }

    const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    const fn more(mut self, more: &'static str) -> Self {
        self.more = more;
        self
    }

    const fn at_start(mut self) -> Self {
        self.effect = Effect::Restart;
        self
    }
}

/// The top of the file.
const TOP: Table = Table {
    path: "",
    many: false,
    about: "What stands before the first table, and the tables themselves.",
    used_by: "every time that is printed or kept",
    see: "docs/operations.md",
    keys: &[
        Key::new(
            "time_zone",
            Kind::Zone,
            "Whose wall clock holds for cron, windows, days off and printed local times: an IANA name, or \"local\".",
        )
        .or("\"local\"")
        .example("\"Asia/Shanghai\"")
        .more("\"local\" is the zone of `TZ`, else the machine's.")
        .at_start(),
        inner("dingtalk", Kind::Table("dingtalk")),
        inner("org", Kind::Tables("org")),
        inner("poll", Kind::Table("poll")),
        inner("window", Kind::Tables("window")),
        inner("blackout", Kind::Tables("blackout")),
        inner("group", Kind::Tables("group")),
        inner("user", Kind::Tables("user")),
        inner("watch", Kind::Table("watch")),
        inner("webhook_defaults", Kind::Table("webhook_defaults")),
        inner("webhook", Kind::Tables("webhook")),
        inner("history", Kind::Table("history")),
        inner("privacy", Kind::Table("privacy")),
        inner("http", Kind::Table("http")),
        inner("log", Kind::Table("log")),
    ],
    also: None,
};

/// A table inside another one; it has a description of its own.
const fn inner(name: &'static str, kind: Kind) -> Key {
    Key::new(name, kind, "").unset("its keys have their defaults")
}

/// All tables, in the order of the example.
pub const TABLES: &[Table] = &[
    TOP,
    dingtalk::DINGTALK,
    dingtalk::ORG,
    people::POLL,
    people::POLL_BACKOFF,
    people::WINDOW,
    people::BLACKOUT,
    people::GROUP,
    people::USER,
    people::WATCH,
    webhooks::DEFAULTS,
    webhooks::WEBHOOK,
    webhooks::BACKOFF,
    webhooks::SUCCESS,
    keeping::HISTORY,
    keeping::BACKUP,
    keeping::PRIVACY,
    keeping::HTTP,
    keeping::LOG,
];

/// A table by its path.
pub fn table(path: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.path == path)
}

#[cfg(test)]
mod tests;
