//! `[dingtalk]` and `[[org]]`, described.
//!
//! Guards: what may stand in one may stand in the other. Deliberately not here: reading them (`config::dingtalk`).

use super::{Key, Kind, Table};

pub(super) const DINGTALK: Table = Table {
    path: "dingtalk",
    many: false,
    about: "The app that asks DingTalk. What is set here holds for every [[org]] that does not set it.",
    used_by: "every call to DingTalk: `run`, `poll`, `user find`, `check --online`",
    see: "docs/operations.md",
    keys: &[
        Key::new(
            "site",
            Kind::Choice(&["international", "mainland"]),
            "Where the organisation lives: \"international\" (api.dingtalk.io) or \"mainland\" (api.dingtalk.com).",
        )
        .or("\"international\""),
        Key::new("api_base", Kind::Url, "Another host for the API; http only to this machine.")
            .unset("that of `site`")
            .example("\"https://api.dingtalk.io\"")
            .more("`user find` calls the older API: set \"legacy_base\" beside it."),
        Key::new("legacy_base", Kind::Url, "Another host for the older API; http only to this machine.")
            .unset("that of `site`")
            .example("\"https://oapi.dingtalk.io\""),
        Key::new(
            "app",
            Kind::Choice(&["internal", "third_party", "token"]),
            "What kind of app: \"internal\", \"third_party\", or \"token\" (somebody else keeps a token fresh).",
        )
        .or("\"internal\""),
        Key::new("app_key", Kind::Text, "REQUIRED unless app = \"token\": the app's key (of the suite, for \"third_party\").")
            .needed("unless `app = \"token\"`")
            .example("\"dingxxxx\""),
        Key::new("app_secret", Kind::Secret, "REQUIRED unless app = \"token\": the app's secret.")
            .needed("unless `app = \"token\"`")
            .example("{ credential = \"app-secret\" }"),
        Key::new("corp_id", Kind::Text, "The organisation's id; REQUIRED for \"third_party\".")
            .needed("for `app = \"third_party\"`")
            .example("\"dingcorp\"")
            .more("With it an internal app asks for its token by the organisation."),
        Key::new(
            "suite_ticket",
            Kind::Secret,
            "The suite's ticket, for \"third_party\" apps that get their tokens by it.",
        )
        .unset("the token comes without a ticket")
        .example("{ file = \"/var/lib/suite/ticket\" }"),
        Key::new("access_token", Kind::Secret, "REQUIRED for app = \"token\": the token itself, read anew when it changes.")
            .needed("for `app = \"token\"`")
            .example("{ file = \"/run/dingtalk/token\" }"),
        Key::new(
            "calls_per_month",
            Kind::Number { least: 0, unit: "calls in a calendar month" },
            "REQUIRED: calls this daemon may spend in a month, 0 = no limit. DingTalk standard gives 5000 to ALL apps together.",
        )
        .needed("in [dingtalk], or in each [[org]]")
        .example("5000")
        .more("They are counted in the database and never overspent. `presenced plan` says what they are good for."),
        Key::new("month_time_zone", Kind::Zone, "When the month turns.").or("\"Asia/Shanghai\""),
        Key::new(
            "rate",
            Kind::Number { least: 1, unit: "calls in any one second" },
            "Calls in any one second (DingTalk standard: 20 for each app and API).",
        )
        .or("5"),
        Key::new("concurrency", Kind::Number { least: 1, unit: "calls in flight" }, "Calls in flight.").or("4"),
        Key::new("timeout", Kind::Duration(&[]), "For a whole call.").or("\"10s\""),
        Key::new("connect_timeout", Kind::Duration(&[]), "For a connection.").or("\"5s\""),
        Key::new("proxy", Kind::Url, "An HTTP proxy on the way to DingTalk.")
            .unset("no proxy; `HTTPS_PROXY` and its like are not looked at")
            .example("\"http://proxy.example.com:3128\""),
        Key::new("ca_file", Kind::Path, "A PEM file of certificates to trust beside the system's.")
            .unset("the system's certificates alone")
            .example("\"/etc/presenced/ca.pem\"")
            .more("A CA, or the server's own certificate when it is self-signed."),
    ],
    also: None,
};

pub(super) const ORG: Table = Table {
    path: "org",
    many: true,
    about: "Several organisations; without any [[org]] there is one, named \"default\". Any key of [dingtalk] may stand here.",
    used_by: "every call to DingTalk: `run`, `poll`, `user find`, `check --online`",
    see: "docs/operations.md",
    keys: &[Key::new("name", Kind::Text, "REQUIRED in an [[org]]: how users and webhooks name it.")
        .example("\"acme\"")],
    also: Some("dingtalk"),
};
