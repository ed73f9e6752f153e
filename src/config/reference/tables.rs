//! All tables of the config file, in the order of the example.
//!
//! Guards: a key that is read but not described here fails the tests. Not here: the descriptions of single tables.

use super::key::{Key, Table};
use super::kind::Kind;
use super::{dingtalk, keeping, people, webhooks};

/// The top of the file.
const TOP: Table = Table {
    path: "",
    many: false,
    about: "Keys before the first table, and the tables.",
    used_by: "every printed or stored local time",
    see: "docs/operations.md",
    keys: &[
        Key::new(
            "time_zone",
            Kind::Zone,
            "Time zone of cron, windows, days off and printed local times: an IANA name, or \"local\".",
        )
        .or("\"local\"")
        .example("\"Asia/Shanghai\"")
        .more("\"local\" is the zone of `TZ`, else that of the machine.")
        .at_start(),
        Key::new(
            "language",
            Kind::Choice(&["auto", "zh-CN", "en"]),
            "Language of messages for people: \"auto\" (by the time zone), \"zh-CN\" or \"en\".",
        )
        .or("\"auto\"")
        .more("A template whose name ends in `-en` or `-zh` has its own."),
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
    keeping::HTTP_ACCESS,
    keeping::LOG,
];

/// A table by its path.
pub fn table(path: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.path == path)
}
