//! The reference of `[webhook_defaults]` and `[[webhook]]`.
//!
//! Guards: a webhook takes every key of the defaults. Not here: reading them (`config::webhooks`).

use super::key::{Key, Table};
use super::kind::Kind;

const USED_BY: &str = "the dispatcher of `run`; `webhook test`, `route` and `list`";
const SEE: &str = "docs/webhooks.md";

pub(super) const DEFAULTS: Table = Table {
    path: "webhook_defaults",
    many: false,
    about: "Defaults for every [[webhook]]; takes all its keys except name and url.",
    used_by: USED_BY,
    see: SEE,
    keys: &[
        Key::new(
            "format",
            Kind::Choice(&["standard", "cloudevents", "dingtalk_robot", "template"]),
            "Body format: \"standard\", \"cloudevents\", \"dingtalk_robot\" or \"template\".",
        )
        .or("\"standard\""),
        Key::new(
            "secret",
            Kind::Secrets,
            "Signing secret: whsec_ and base64; a list while rotating, newest first; none = unsigned. That of a robot begins with SEC.",
        )
        .or("[]")
        .example("{ file = \"/etc/presenced/crm.whsec\" }")
        .more("`presenced webhook secret new` creates one."),
        Key::new("events", Kind::Events, "Events to send: exact names, \"meeting.*\" or \"*\".")
            .or("[\"meeting.participant_joined\", \"meeting.participant_left\"]")
            .more("docs/events.md lists all events."),
        Key::new("users", Kind::Texts, "Only events of these users, by name or unionId; none = all users.")
            .or("[]")
            .example("[\"Li Wei\"]")
            .more("An event must match `users`, `groups` and `orgs`."),
        Key::new("groups", Kind::Texts, "Only events of users in these groups; none = all users.").or("[]").example("[\"ops\"]"),
        Key::new("orgs", Kind::Texts, "Only events of these organisations; none = all.").or("[]").example("[\"acme\"]"),
        Key::new("only_hosts", Kind::Flag, "Only events of users who host the meeting.").or("false"),
        Key::new("skip_late", Kind::Flag, "Do not send events that were observed late.").or("false"),
        Key::new("titles", Kind::Flag, "Titles of meetings in messages of a robot or template (see [privacy]).").or("true"),
        Key::new("snapshot_on_start", Kind::Flag, "Send a snapshot of all users at every start.").or("false"),
        Key::new("headers", Kind::Headers, "Additional headers; values may be secrets.")
            .or("{}")
            .example("{ \"X-Site\" = \"HZ\" }")
            .more("Headers that the program or HTTP sets are refused."),
        Key::new("concurrency", Kind::Number { least: 1, unit: "concurrent requests" }, "Maximum concurrent requests.")
            .or("8")
            .more("Events of one user are always sent one after the other."),
        Key::new("rate", Kind::Number { least: 1, unit: "requests per second" }, "Maximum requests per second.").or("10"),
        Key::new("timeout", Kind::Duration(&[]), "Timeout of a request.").or("\"15s\""),
        Key::new("connect_timeout", Kind::Duration(&[]), "Timeout of connecting.").or("\"5s\""),
        Key::new("proxy", Kind::Url, "HTTP proxy for requests to the receiver.")
            .unset("no proxy; `HTTPS_PROXY` and similar variables are ignored")
            .example("\"http://proxy.example.com:3128\"")
            .more("The proxy resolves host names, so it excludes `network = \"public\"`."),
        Key::new("ca_file", Kind::Path, "PEM file of certificates to trust in addition to those of the system.")
            .unset("only the certificates of the system")
            .example("\"/etc/presenced/ca.pem\"")
            .more("A CA, or the certificate of the receiver if it is self-signed."),
        Key::new(
            "attempts",
            Kind::Number { least: 1, unit: "attempts" },
            "Attempts before a refused event becomes a dead letter.",
        )
        .or("5")
        .more("Failures of a receiver that is down do not count; its events stay queued."),
        Key::new("give_up_after", Kind::Duration(&[]), "Disable the webhook after this time of being down.").or("\"5d\""),
        Key::new("max_age", Kind::Duration(&["forever"]), "Events older than this expire unsent; \"forever\" = never.")
            .or("\"7d\""),
        Key::new("network", Kind::Choice(&["any", "public"]), "\"public\" refuses private and loopback addresses.")
            .or("\"any\""),
        Key::new(
            "allow_link_local",
            Kind::Flag,
            "Allow link-local and cloud-metadata addresses.",
        )
        .or("false"),
        Key::new(
            "template",
            Kind::Text,
            "For format = \"template\": a shipped template or a file; the suffix \"-en\" or \"-zh\" sets the language.",
        )
        .needed("for `format = \"template\"`")
        .example("\"slack\"")
        .more("For \"dingtalk_robot\" it is `robot-en` or `robot-zh`, and optional."),
        Key::new(
            "success",
            Kind::Table("webhook.success"),
            "For templates: what an answer must contain to count as accepted; feishu and wecom have a default.",
        )
        .unset("any 2xx status counts")
        .example("{ json = \"/errcode\", equals = 0 }"),
        Key::new("batch", Kind::Duration(&[]), "For templates: collect events for this long and send them as one.")
            .unset("each event is sent individually")
            .example("\"20s\""),
        Key::new("backoff", Kind::Table("webhook.backoff"), "").unset("its keys have their defaults"),
    ],
    also: None,
};

pub(super) const WEBHOOK: Table = Table {
    path: "webhook",
    many: true,
    about: "A receiver of events; one table for each.",
    used_by: USED_BY,
    see: SEE,
    keys: &[
        Key::new("name", Kind::Text, "REQUIRED in a [[webhook]]: its name, which is sent in a header.")
            .example("\"crm\"")
            .more("The queue belongs to the name: with another name it is a new webhook."),
        Key::new(
            "url",
            Kind::UrlOrSecret,
            "REQUIRED in a [[webhook]]: URL of the receiver; may be a secret.",
        )
        .example("\"https://crm.example.com/hooks\""),
    ],
    also: Some(&DEFAULTS),
};

pub(super) const BACKOFF: Table = Table {
    path: "webhook.backoff",
    many: false,
    about: "Waits between attempts.",
    used_by: "the dispatcher of `run`",
    see: SEE,
    keys: &[
        Key::new("initial", Kind::Duration(&[]), "First wait.").or("\"5s\""),
        Key::new("max", Kind::Duration(&[]), "Longest wait.").or("\"1h\""),
        Key::new("factor", Kind::Factor, "Factor from one wait to the next.").or("4.0"),
    ],
    also: None,
};

pub(super) const SUCCESS: Table = Table {
    path: "webhook.success",
    many: false,
    about: "What an answer must contain to count as accepted.",
    used_by: "the dispatcher of `run`",
    see: SEE,
    keys: &[
        Key::new("json", Kind::Pointer, "JSON pointer into the answer.").example("\"/errcode\""),
        Key::new("equals", Kind::Scalar, "Value that must be there.").example("0"),
    ],
    also: None,
};
