//! The reference of `[dingtalk]` and `[[org]]`.
//!
//! Guards: an organisation takes every key of `[dingtalk]`. Not here: reading them (`config::dingtalk`).

use super::key::{Key, Table};
use super::kind::Kind;

pub(super) const DINGTALK: Table = Table {
    path: "dingtalk",
    many: false,
    about: "The DingTalk app. Every [[org]] inherits the keys that it does not set.",
    used_by: "every call to DingTalk: `run`, `poll`, `user find`, `check --online`",
    see: "docs/operations.md",
    keys: &[
        Key::new(
            "site",
            Kind::Choice(&["international", "mainland"]),
            "Site of the organisation: \"international\" (api.dingtalk.io) or \"mainland\" (api.dingtalk.com).",
        )
        .or("\"international\""),
        Key::new("api_base", Kind::Url, "Base URL of the API; plain http is allowed only to this machine.")
            .unset("that of `site`")
            .example("\"https://api.dingtalk.io\"")
            .more("`user find` calls the older API, so set \"legacy_base\" too."),
        Key::new("legacy_base", Kind::Url, "Base URL of the older API; plain http is allowed only to this machine.")
            .unset("that of `site`")
            .example("\"https://oapi.dingtalk.io\""),
        Key::new(
            "app",
            Kind::Choice(&["internal", "third_party", "token"]),
            "Kind of app: \"internal\", \"third_party\", or \"token\" (another program keeps the token valid).",
        )
        .or("\"internal\""),
        Key::new("app_key", Kind::Text, "REQUIRED unless app = \"token\": key of the app (of the suite, for \"third_party\").")
            .needed("unless `app = \"token\"`")
            .example("\"dingxxxx\""),
        Key::new("app_secret", Kind::Secret, "REQUIRED unless app = \"token\": secret of the app.")
            .needed("unless `app = \"token\"`")
            .example("{ credential = \"app-secret\" }"),
        Key::new("corp_id", Kind::Text, "Id of the organisation; REQUIRED for \"third_party\".")
            .needed("for `app = \"third_party\"`")
            .example("\"dingcorp\"")
            .more("If set, an internal app gets the token of this organisation."),
        Key::new(
            "suite_ticket",
            Kind::Secret,
            "Ticket of the suite, for \"third_party\" apps that get tokens with it.",
        )
        .unset("tokens are requested without a ticket")
        .example("{ file = \"/var/lib/suite/ticket\" }")
        .more("\"push\": the daemon opens DingTalk's Stream connection, takes the newest ticket and keeps it beside the database."),
        Key::new("access_token", Kind::Secret, "REQUIRED for app = \"token\": the token, read again when it changes.")
            .needed("for `app = \"token\"`")
            .example("{ file = \"/run/dingtalk/token\" }"),
        Key::new(
            "calls_per_month",
            Kind::Number { least: 0, unit: "calls per calendar month" },
            "REQUIRED: maximum calls per month; 0 = no limit. DingTalk standard allows 5000 for ALL apps together.",
        )
        .needed("in [dingtalk], or in each [[org]]")
        .example("5000")
        .more("Calls are counted in the database and never exceed the limit. `presenced plan` shows what they allow."),
        Key::new("month_time_zone", Kind::Zone, "Time zone in which a month begins.").or("\"Asia/Shanghai\""),
        Key::new(
            "rate",
            Kind::Number { least: 1, unit: "calls per second" },
            "Maximum calls per second (DingTalk standard: 20 for each app and API).",
        )
        .or("5"),
        Key::new("concurrency", Kind::Number { least: 1, unit: "concurrent calls" }, "Maximum concurrent calls.").or("4"),
        Key::new("timeout", Kind::Duration(&[]), "Timeout of a call.").or("\"10s\""),
        Key::new("connect_timeout", Kind::Duration(&[]), "Timeout of connecting.").or("\"5s\""),
        Key::new("proxy", Kind::Url, "HTTP proxy for calls to DingTalk.")
            .unset("no proxy; `HTTPS_PROXY` and similar variables are ignored")
            .example("\"http://proxy.example.com:3128\""),
        Key::new("ca_file", Kind::Path, "PEM file of certificates to trust in addition to those of the system.")
            .unset("only the certificates of the system")
            .example("\"/etc/presenced/ca.pem\"")
            .more("A CA, or the certificate of the server if it is self-signed."),
    ],
    also: None,
};

pub(super) const ORG: Table = Table {
    path: "org",
    many: true,
    about: "One of several organisations; without [[org]] there is one, named \"default\". Takes every key of [dingtalk].",
    used_by: "every call to DingTalk: `run`, `poll`, `user find`, `check --online`",
    see: "docs/operations.md",
    keys: &[Key::new("name", Kind::Text, "REQUIRED in an [[org]]: its name in users and webhooks.")
        .example("\"acme\"")],
    also: Some(&DINGTALK),
};
