//! The reference of `[history]`, `[privacy]`, `[http]`, `[[http.access]]` and `[log]`.
//!
//! Guards: nothing; it is data. Not here: reading them (`config::retention`).

use super::key::{Key, Table, keys};
use super::kind::Kind;

pub(super) const HISTORY: Table = Table {
    path: "history",
    many: false,
    about: "The database, and how long data is kept (\"forever\" = always).",
    used_by: "the database and the daily retention of `run`; every command that reads it",
    see: "docs/queries.md",
    keys: keys! {
        path: Path, "Path of the database, relative to the config. Read only at a start.",
            or r#""/var/lib/presenced/presence.db""#, at_start;
        snapshots: Duration(&["forever"]), "Retention of snapshots, which record what polls saw.", or r#""90d""#;
        visits: Duration(&["forever"]), "Retention of visits: who was in which meeting, from when to when.",
            or r#""365d""#;
        events: Duration(&["forever"]), "Retention of events, with their deliveries and dead letters.", or r#""30d""#;
        backup: Table("history.backup"), "";
    },
    also: None,
};

pub(super) const BACKUP: Table = Table {
    path: "history.backup",
    many: false,
    about: "Backups: every night, and before an upgrade changes the schema.",
    used_by: "the daily maintenance of `run`",
    see: "docs/queries.md",
    keys: keys! {
        dir: Path, r#"Folder for nightly backups; "" = no nightly backups."#, or r#""""#, example r#""backups""#;
        keep: Number { least: 1, unit: "backups" }, "Number of backups to keep.", or "7";
        before_migration: Flag, "Before a new version changes the schema, write a verified copy beside the database.",
            or "true";
    },
    also: None,
};

pub(super) const PRIVACY: Table = Table {
    path: "privacy",
    many: false,
    about: "What is stored about users.",
    used_by: "the writer of `run`",
    see: "docs/privacy.md",
    keys: keys! {
        store_nick: Flag, "Store the nicknames that DingTalk reports.", or "true";
        titles: Choice(&["local", "events", "off"]),
            r#"Titles of meetings: "local" (stored, shown by commands), "events" (also sent to webhooks) or "off"."#,
            or r#""local""#;
        title_hide: Texts, r#"Titles that match one of these patterns are stored as "(hidden)"."#,
            or "[]", example r#"["*1:1*"]"#, more "`*` stands for any text; upper and lower case are the same.";
    },
    also: None,
};

pub(super) const HTTP: Table = Table {
    path: "http",
    many: false,
    about: "The HTTP listener: the page, API, health and metrics.",
    used_by: "the listener of `run`; `status` shows its token",
    see: "docs/operations.md",
    keys: keys! {
        listen: Listen, r#"Address and port; "" = off. Read only at a start."#, or r#""127.0.0.1:8787""#,
            more "An address that other machines can reach needs a `token`.", at_start;
        token: Secret, "Token for all data about users (default: created beside the database at the first start).",
            unset "created at the first start, beside the database", example r#"{ credential = "http-token" }"#;
        hosts: Texts, "Accepted host names, in addition to its address and `localhost`; without ports.", or "[]",
            example r#"["presenced.example.com"]"#;
        public_url: Url, "URL at which a proxy with TLS serves it; its path is the prefix of every link.",
            unset "links name the address of the listener", example r#""https://presenced.example.com""#;
        trusted_proxies: Texts, "Addresses and networks of proxies whose `X-Forwarded-*` headers count.",
            or "[]", example r#"["127.0.0.1"]"#;
        metrics_per_user: Flag, "Add a label for each user to metrics.", or "false";
        access: Tables("http.access"), "", unset "only the operator's token opens anything";
    },
    also: None,
};

pub(super) const HTTP_ACCESS: Table = Table {
    path: "http.access",
    many: true,
    about: "A token that gives others less than the operator's `token`: a wall screen, a colleague, a dashboard.",
    used_by: "the page and the API of the listener",
    see: "docs/api.md",
    keys: keys! {
        name: Text, "REQUIRED: its name, in logs.", example r#""wall""#;
        token: Secret, "REQUIRED: the token.", example r#"{ credential = "wall-token" }"#;
        scope: Choice(&["board", "viewer", "operator"]),
            r#""board" (who is in a meeting now), "viewer" (the history too), "operator" (everything)."#,
            or r#""board""#;
        orgs: Texts, "Only users of these organisations; [] = all.", or "[]", example r#"["acme"]"#;
        groups: Texts, "Only users in one of these groups; [] = all.", or "[]", example r#"["sales"]"#;
        show: Choice(&["names", "initials", "counts"]),
            r#"How users are shown: "names", "initials", or only "counts" of them."#, or r#""names""#;
    },
    also: None,
};

pub(super) const LOG: Table = Table {
    path: "log",
    many: false,
    about: "What is logged, and in which format.",
    used_by: "`run`, on stderr",
    see: "docs/operations.md",
    keys: keys! {
        level: Level,
            r#"off, error, warn, info, debug or trace; also for modules: "info,presenced::dingtalk=debug"."#,
            or r#""info""#, example r#""info,presenced::dingtalk=debug""#;
        format: Choice(&["auto", "text", "json", "journald"]),
            r#""auto", "text", "json" or "journald". Read only at a start."#,
            or r#""auto""#, at_start;
    },
    also: None,
};
