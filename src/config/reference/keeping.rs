//! The reference of `[history]`, `[privacy]`, `[http]`, `[[http.access]]` and `[log]`.
//!
//! Guards: nothing; it is data. Not here: reading them (`config::retention`).

use super::key::{Key, Table};
use super::kind::Kind;

pub(super) const HISTORY: Table = Table {
    path: "history",
    many: false,
    about: "The database, and how long data is kept (\"forever\" = always).",
    used_by: "the database and the daily retention of `run`; every command that reads it",
    see: "docs/queries.md",
    keys: &[
        Key::new("path", Kind::Path, "Path of the database, relative to the config. Read only at a start.")
            .or("\"/var/lib/presenced/presence.db\"")
            .at_start(),
        Key::new(
            "snapshots",
            Kind::Duration(&["forever"]),
            "Retention of snapshots, which record what polls saw.",
        )
        .or("\"90d\""),
        Key::new(
            "visits",
            Kind::Duration(&["forever"]),
            "Retention of visits: who was in which meeting, from when to when.",
        )
        .or("\"365d\""),
        Key::new(
            "events",
            Kind::Duration(&["forever"]),
            "Retention of events, with their deliveries and dead letters.",
        )
        .or("\"30d\""),
        Key::new("backup", Kind::Table("history.backup"), "").unset("its keys have their defaults"),
    ],
    also: None,
};

pub(super) const BACKUP: Table = Table {
    path: "history.backup",
    many: false,
    about: "Backups: every night, and before an upgrade changes the schema.",
    used_by: "the daily maintenance of `run`",
    see: "docs/queries.md",
    keys: &[
        Key::new("dir", Kind::Path, "Folder for nightly backups; \"\" = no nightly backups.")
            .or("\"\"")
            .example("\"backups\""),
        Key::new("keep", Kind::Number { least: 1, unit: "backups" }, "Number of backups to keep.").or("7"),
        Key::new(
            "before_migration",
            Kind::Flag,
            "Before a new version changes the schema, write a verified copy beside the database.",
        )
        .or("true"),
    ],
    also: None,
};

pub(super) const PRIVACY: Table = Table {
    path: "privacy",
    many: false,
    about: "What is stored about users.",
    used_by: "the writer of `run`",
    see: "docs/privacy.md",
    keys: &[
        Key::new("store_nick", Kind::Flag, "Store the nicknames that DingTalk reports.").or("true"),
        Key::new(
            "titles",
            Kind::Choice(&["local", "events", "off"]),
            "Titles of meetings: \"local\" (stored, shown by commands), \"events\" (also sent to webhooks) or \"off\".",
        )
        .or("\"local\""),
        Key::new("title_hide", Kind::Texts, "Titles that match one of these patterns are stored as \"(hidden)\".")
            .or("[]")
            .example("[\"*1:1*\"]")
            .more("`*` stands for any text; upper and lower case are the same."),
    ],
    also: None,
};

pub(super) const HTTP: Table = Table {
    path: "http",
    many: false,
    about: "The HTTP listener: the page, API, health and metrics.",
    used_by: "the listener of `run`; `status` shows its token",
    see: "docs/operations.md",
    keys: &[
        Key::new("listen", Kind::Listen, "Address and port; \"\" = off. Read only at a start.")
            .or("\"127.0.0.1:8787\"")
            .more("An address that other machines can reach needs a `token`.")
            .at_start(),
        Key::new(
            "token",
            Kind::Secret,
            "Token for all data about users (default: created beside the database at the first start).",
        )
        .unset("created at the first start, beside the database")
        .example("{ credential = \"http-token\" }"),
        Key::new(
            "hosts",
            Kind::Texts,
            "Accepted host names, in addition to its address and `localhost`; without ports.",
        )
        .or("[]")
        .example("[\"presenced.example.com\"]"),
        Key::new(
            "public_url",
            Kind::Url,
            "URL at which a proxy with TLS serves it; its path is the prefix of every link.",
        )
        .unset("links name the address of the listener")
        .example("\"https://presenced.example.com\""),
        Key::new(
            "trusted_proxies",
            Kind::Texts,
            "Addresses and networks of proxies whose `X-Forwarded-*` headers count.",
        )
        .or("[]")
        .example("[\"127.0.0.1\"]"),
        Key::new("metrics_per_user", Kind::Flag, "Add a label for each user to metrics.").or("false"),
        Key::new("access", Kind::Tables("http.access"), "").unset("only the operator's token opens anything"),
    ],
    also: None,
};

pub(super) const HTTP_ACCESS: Table = Table {
    path: "http.access",
    many: true,
    about: "A token that gives others less than the operator's `token`: a wall screen, a colleague, a dashboard.",
    used_by: "the page and the API of the listener",
    see: "docs/api.md",
    keys: &[
        Key::new("name", Kind::Text, "REQUIRED: its name, in logs.").needed("").example("\"wall\""),
        Key::new("token", Kind::Secret, "REQUIRED: the token.")
            .needed("")
            .example("{ credential = \"wall-token\" }"),
        Key::new(
            "scope",
            Kind::Choice(&["board", "viewer", "operator"]),
            "\"board\" (who is in a meeting now), \"viewer\" (the history too), \"operator\" (everything).",
        )
        .or("\"board\""),
        Key::new("orgs", Kind::Texts, "Only users of these organisations; [] = all.")
            .or("[]")
            .example("[\"acme\"]"),
        Key::new("groups", Kind::Texts, "Only users in one of these groups; [] = all.")
            .or("[]")
            .example("[\"sales\"]"),
        Key::new(
            "show",
            Kind::Choice(&["names", "initials", "counts"]),
            "How users are shown: \"names\", \"initials\", or only \"counts\" of them.",
        )
        .or("\"names\""),
    ],
    also: None,
};

pub(super) const LOG: Table = Table {
    path: "log",
    many: false,
    about: "What is logged, and in which format.",
    used_by: "`run`, on stderr",
    see: "docs/operations.md",
    keys: &[
        Key::new(
            "level",
            Kind::Level,
            "off, error, warn, info, debug or trace; also for modules: \"info,presenced::dingtalk=debug\".",
        )
        .or("\"info\"")
        .example("\"info,presenced::dingtalk=debug\""),
        Key::new(
            "format",
            Kind::Choice(&["auto", "text", "json", "journald"]),
            "\"auto\", \"text\", \"json\" or \"journald\". Read only at a start.",
        )
        .or("\"auto\"")
        .at_start(),
    ],
    also: None,
};
