//! What is kept, served and logged: `[history]` to `[log]`, described.
//!
//! Deliberately not here: reading them (`config::housekeeping`).

use super::{Key, Kind, Table};

pub(super) const HISTORY: Table = Table {
    path: "history",
    many: false,
    about: "What is kept, and for how long; \"forever\" = always.",
    used_by: "the database and the daily cleaning of `run`; every command that reads",
    see: "docs/queries.md",
    keys: &[
        Key::new(
            "path",
            Kind::Path,
            "The database; relative paths count from the config's folder. Only read at a start.",
        )
        .or("\"/var/lib/presenced/presence.db\"")
        .at_start(),
        Key::new("snapshots", Kind::Duration(&["forever"]), "What was seen.").or("\"90d\""),
        Key::new("visits", Kind::Duration(&["forever"]), "Who was in which meeting, from when to when.")
            .or("\"365d\""),
        Key::new("events", Kind::Duration(&["forever"]), "Events, with their deliveries and dead letters.")
            .or("\"30d\""),
        Key::new("backup", Kind::Table("history.backup"), "").unset("its keys have their defaults"),
    ],
    also: None,
};

pub(super) const BACKUP: Table = Table {
    path: "history.backup",
    many: false,
    about: "Copies: every night, and before an upgrade changes the database.",
    used_by: "the daily upkeep of `run`",
    see: "docs/queries.md",
    keys: &[
        Key::new("dir", Kind::Path, "A folder for backups; \"\" = none are made.")
            .or("\"\"")
            .example("\"backups\""),
        Key::new("keep", Kind::Number { least: 1, unit: "backups" }, "How many stay.").or("7"),
        Key::new(
            "before_migration",
            Kind::Flag,
            "Before a new version changes the schema, copy the database beside it and verify the copy.",
        )
        .or("true"),
    ],
    also: None,
};

pub(super) const PRIVACY: Table = Table {
    path: "privacy",
    many: false,
    about: "What is not kept about people.",
    used_by: "the writer of `run`",
    see: "docs/operations.md",
    keys: &[Key::new("store_nick", Kind::Flag, "Keep the nicknames that DingTalk gives.").or("true")],
    also: None,
};

pub(super) const HTTP: Table = Table {
    path: "http",
    many: false,
    about: "The page, the API, health and metrics.",
    used_by: "the listener of `run`; `status` shows its token",
    see: "docs/operations.md",
    keys: &[
        Key::new("listen", Kind::Listen, "Where to listen; \"\" = off. Only read at a start.")
            .or("\"127.0.0.1:8787\"")
            .more("An address that others can reach needs a `token`.")
            .at_start(),
        Key::new(
            "token",
            Kind::Secret,
            "For everything about people; made at the first start and kept beside the database when left out.",
        )
        .unset("one is made at the first start, beside the database")
        .example("{ credential = \"http-token\" }"),
        Key::new("hosts", Kind::Texts, "Names that it is asked by, beside its address and `localhost`; without ports.")
            .or("[]")
            .example("[\"presenced.example.com\"]"),
        Key::new("metrics_per_user", Kind::Flag, "A person as a label of metrics.").or("false"),
    ],
    also: None,
};

pub(super) const LOG: Table = Table {
    path: "log",
    many: false,
    about: "What is logged, and how.",
    used_by: "`run`, on the standard error",
    see: "docs/operations.md",
    keys: &[
        Key::new(
            "level",
            Kind::Level,
            "off, error, warn, info, debug or trace; also for parts: \"info,presenced::dingtalk=debug\".",
        )
        .or("\"info\"")
        .example("\"info,presenced::dingtalk=debug\""),
        Key::new(
            "format",
            Kind::Choice(&["auto", "text", "json", "journald"]),
            "\"auto\", \"text\", \"json\" or \"journald\". Only read at a start.",
        )
        .or("\"auto\"")
        .at_start(),
    ],
    also: None,
};
