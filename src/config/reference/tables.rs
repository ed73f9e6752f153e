//! All tables of the config file, in the order of the example.
//!
//! Guards: a key that is read but not described here fails the tests. Not here: the descriptions of single tables.

use super::key::{Absent, Key, Table, keys};
use super::kind::Kind;
use super::{dingtalk, keeping, people, webhooks};

/// The top of the file.
const TOP: Table = Table {
    path: "",
    many: false,
    about: "Keys before the first table, and the tables.",
    used_by: "every printed or stored local time",
    see: "docs/operations.md",
    keys: keys! {
        time_zone: Zone, r#"Time zone of cron, windows, days off and printed local times: an IANA name, or "local"."#,
            or r#""local""#, example r#""Asia/Shanghai""#,
            more r#""local" is the zone of `TZ`, else that of the machine."#, at_start;
        language: Choice(&["auto", "zh-CN", "en"]),
            r#"Language of messages for people: "auto" (by the time zone), "zh-CN" or "en"."#, or r#""auto""#,
            more "A template whose name ends in `-en` or `-zh` has its own.";
        dingtalk: Table("dingtalk"), "";
        org: Tables("org"), "";
        poll: Table("poll"), "";
        window: Tables("window"), "";
        blackout: Tables("blackout"), "";
        group: Tables("group"), "";
        user: Tables("user"), "";
        watch: Table("watch"), "";
        webhook_defaults: Table("webhook_defaults"), "";
        webhook: Tables("webhook"), "";
        history: Table("history"), "";
        privacy: Table("privacy"), "";
        http: Table("http"), "";
        log: Table("log"), "";
    },
    also: None,
};

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
    webhooks::BACKOFF,
    webhooks::SUCCESS,
    webhooks::WEBHOOK,
    keeping::HISTORY,
    keeping::BACKUP,
    keeping::PRIVACY,
    keeping::HTTP,
    keeping::HTTP_ACCESS,
    keeping::LOG,
];

pub fn table(path: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.path == path)
}

pub fn key_of(path: &str, name: &str) -> Option<&'static Key> {
    table(path)?.all_keys().find(|key| key.name == name)
}

/// The default of a key, as TOML.
pub fn default(path: &str, name: &str) -> Option<&'static str> {
    match key_of(path, name)?.absent {
        Absent::Default(default) => Some(default),
        Absent::Means(_) | Absent::Refused(_) => None,
    }
}
