//! The reference of `[dingtalk]` and `[[org]]`.
//!
//! Guards: an organisation takes every key of `[dingtalk]`. Not here: reading them (`config::dingtalk`).

use super::key::{Key, Table, keys};
use super::kind::Kind;

pub(super) const DINGTALK: Table = Table {
    path: "dingtalk",
    many: false,
    about: "The DingTalk app. Every [[org]] inherits the keys that it does not set.",
    used_by: "every call to DingTalk: `run`, `poll`, `user find`, `check --online`",
    see: "docs/operations.md",
    keys: keys! {
        site: Choice(&["international", "mainland"]),
            r#"Site of the organisation: "international" (api.dingtalk.io) or "mainland" (api.dingtalk.com)."#,
            or r#""international""#;
        api_base: Url, "Base URL of the API; plain http is allowed only to this machine.", unset "that of `site`",
            example r#""https://api.dingtalk.io""#,
            more r#"`user find` calls the older API, so set "legacy_base" too."#;
        legacy_base: Url, "Base URL of the older API; plain http is allowed only to this machine.",
            unset "that of `site`", example r#""https://oapi.dingtalk.io""#;
        app: Choice(&["internal", "third_party", "token"]),
            r#"Kind of app: "internal", "third_party", or "token" (another program keeps the token valid)."#,
            or r#""internal""#;
        app_key: Text, r#"REQUIRED unless app = "token": key of the app (of the suite, for "third_party")."#,
            needed r#"unless `app = "token"`"#, example r#""dingxxxx""#;
        app_secret: Secret, r#"REQUIRED unless app = "token": secret of the app."#,
            needed r#"unless `app = "token"`"#, example r#"{ credential = "app-secret" }"#;
        corp_id: Text, r#"Id of the organisation; REQUIRED for "third_party"."#,
            needed r#"for `app = "third_party"`"#, example r#""dingcorp""#,
            more "If set, an internal app gets the token of this organisation.";
        suite_ticket: Secret, r#"Ticket of the suite, for "third_party" apps that get tokens with it."#,
            unset "tokens are requested without a ticket", example r#"{ file = "/var/lib/suite/ticket" }"#,
            more r#""push": the daemon opens DingTalk's Stream connection, takes the newest ticket and keeps it beside the database."#;
        access_token: Secret, r#"REQUIRED for app = "token": the token, read again when it changes."#,
            needed r#"for `app = "token"`"#, example r#"{ file = "/run/dingtalk/token" }"#;
        calls_per_month: Number { least: 0, unit: "calls per calendar month" },
            "REQUIRED: maximum calls per month; 0 = no limit. DingTalk standard allows 5000 for ALL apps together.",
            needed "in [dingtalk], or in each [[org]]", example "5000",
            more "Calls are counted in the database and never exceed the limit. `presenced plan` shows what they allow.";
        month_time_zone: Zone, "Time zone in which a month begins.", or r#""Asia/Shanghai""#;
        rate: Number { least: 1, unit: "calls per second" },
            "Maximum calls per second (DingTalk standard: 20 for each app and API).",
            or "5";
        concurrency: Number { least: 1, unit: "concurrent calls" }, "Maximum concurrent calls.", or "4";
        timeout: Duration(&[]), "Timeout of a call.", or r#""10s""#;
        connect_timeout: Duration(&[]), "Timeout of connecting.", or r#""5s""#;
        proxy: Url, "HTTP proxy for calls to DingTalk.",
            unset "no proxy; `HTTPS_PROXY` and similar variables are ignored",
            example r#""http://proxy.example.com:3128""#;
        ca_file: Path, "PEM file of certificates to trust in addition to those of the system.",
            unset "only the certificates of the system", example r#""/etc/presenced/ca.pem""#,
            more "A CA, or the certificate of the server if it is self-signed.";
    },
    also: None,
};

pub(super) const ORG: Table = Table {
    path: "org",
    many: true,
    about: "One of several organisations; without [[org]] there is one, named \"default\". Takes every key of [dingtalk].",
    used_by: "every call to DingTalk: `run`, `poll`, `user find`, `check --online`",
    see: "docs/operations.md",
    keys: keys! {
        name: Text, "REQUIRED in an [[org]]: its name in users and webhooks.", example r#""acme""#;
    },
    also: Some(&DINGTALK),
};
