//! `[webhook_defaults]` and `[[webhook]]`, described.
//!
//! Guards: a webhook has the keys of the defaults and its name and URL. Deliberately not here: reading them
//! (`config::hooks`).

use super::{Key, Kind, Table};

const USED_BY: &str = "the dispatcher of `run`; `webhook test`, `route` and `list`";
const SEE: &str = "docs/webhooks.md";

pub(super) const DEFAULTS: Table = Table {
    path: "webhook_defaults",
    many: false,
    about: "Any key of [[webhook]] but name and url, for all that do not set it.",
    used_by: USED_BY,
    see: SEE,
    keys: &[
        Key::new(
            "format",
            Kind::Choice(&["standard", "cloudevents", "dingtalk_robot", "template"]),
            "The body: \"standard\", \"cloudevents\", \"dingtalk_robot\" or \"template\".",
        )
        .or("\"standard\""),
        Key::new(
            "secret",
            Kind::Secrets,
            "The signing secret, whsec_ and base64; a list while rotating, newest first; none = not signed. A robot's begins with SEC.",
        )
        .or("[]")
        .example("{ file = \"/etc/presenced/crm.whsec\" }")
        .more("`presenced webhook secret new` makes one."),
        Key::new("events", Kind::Events, "Exact names, \"meeting.*\" or \"*\".")
            .or("[\"meeting.participant_joined\", \"meeting.participant_left\"]")
            .more("docs/events.md lists all of them."),
        Key::new("users", Kind::Texts, "Only these people, by name or unionId; none = everybody.")
            .or("[]")
            .example("[\"Li Wei\"]")
            .more("Of `users`, `groups` and `orgs` all must hold."),
        Key::new("groups", Kind::Texts, "Only people of these groups; none = everybody.").or("[]").example("[\"ops\"]"),
        Key::new("orgs", Kind::Texts, "Only these organisations; none = all.").or("[]").example("[\"acme\"]"),
        Key::new("only_hosts", Kind::Flag, "Only events about who hosts.").or("false"),
        Key::new("skip_late", Kind::Flag, "Not what was noticed late.").or("false"),
        Key::new("snapshot_on_start", Kind::Flag, "A snapshot of everybody at every start.").or("false"),
        Key::new("headers", Kind::Headers, "More headers; values may be secrets.")
            .or("{}")
            .example("{ \"X-Site\" = \"HZ\" }")
            .more("Those that the program or HTTP itself sets are refused."),
        Key::new("concurrency", Kind::Number { least: 1, unit: "requests in flight" }, "Requests in flight.")
            .or("8")
            .more("Events of one person go out one after the other, whatever stands here."),
        Key::new("rate", Kind::Number { least: 1, unit: "requests a second" }, "Requests a second.").or("10"),
        Key::new("timeout", Kind::Duration(&[]), "For a whole request.").or("\"15s\""),
        Key::new("connect_timeout", Kind::Duration(&[]), "For a connection.").or("\"5s\""),
        Key::new("proxy", Kind::Url, "An HTTP proxy on the way to the receiver.")
            .unset("no proxy; `HTTPS_PROXY` and its like are not looked at")
            .example("\"http://proxy.example.com:3128\"")
            .more("The proxy looks host names up, so `network = \"public\"` does not go with it."),
        Key::new("ca_file", Kind::Path, "A PEM file of certificates to trust beside the system's.")
            .unset("the system's certificates alone")
            .example("\"/etc/presenced/ca.pem\"")
            .more("A CA, or the receiver's own certificate when it is self-signed."),
        Key::new(
            "attempts",
            Kind::Number { least: 1, unit: "attempts" },
            "Attempts before an event that is refused is a dead letter.",
        )
        .or("5")
        .more("A receiver that is down is no refusal: its events wait."),
        Key::new("give_up_after", Kind::Duration(&[]), "Down for so long, a webhook is disabled.").or("\"5d\""),
        Key::new("max_age", Kind::Duration(&["forever"]), "Older events are not sent any more; \"forever\" = always.")
            .or("\"7d\""),
        Key::new("network", Kind::Choice(&["any", "public"]), "\"public\" refuses private and loopback addresses.")
            .or("\"any\""),
        Key::new(
            "allow_link_local",
            Kind::Flag,
            "Link-local and cloud-metadata addresses are refused unless this is true.",
        )
        .or("false"),
        Key::new(
            "template",
            Kind::Text,
            "For format = \"template\": slack, feishu, wecom, or a file; \"-en\" or \"-zh\" at the end of the name decides the language.",
        )
        .needed("for `format = \"template\"`")
        .example("\"slack\"")
        .more("For \"dingtalk_robot\" it is `robot-en` or `robot-zh`, and may be left out."),
        Key::new(
            "success",
            Kind::Table("webhook.success"),
            "What a template's answer must hold to count as accepted; feishu and wecom bring their own.",
        )
        .unset("any 2xx counts")
        .example("{ json = \"/errcode\", equals = 0 }"),
        Key::new("batch", Kind::Duration(&[]), "A template's events, collected for so long, go out as one.")
            .unset("each event goes out by itself")
            .example("\"20s\""),
        Key::new("backoff", Kind::Table("webhook.backoff"), "").unset("its keys have their defaults"),
    ],
    also: None,
};

pub(super) const WEBHOOK: Table = Table {
    path: "webhook",
    many: true,
    about: "Who is told; one table for each.",
    used_by: USED_BY,
    see: SEE,
    keys: &[
        Key::new("name", Kind::Text, "REQUIRED in a [[webhook]]: its name, which travels in a header.")
            .example("\"crm\"")
            .more("The name decides which queue is whose: under another name it is another webhook."),
        Key::new("url", Kind::UrlOrSecret, "REQUIRED in a [[webhook]]: where to; may be a secret.")
            .example("\"https://crm.example.com/hooks\""),
    ],
    also: Some("webhook_defaults"),
};

pub(super) const BACKOFF: Table = Table {
    path: "webhook.backoff",
    many: false,
    about: "Waits between attempts.",
    used_by: "the dispatcher of `run`",
    see: SEE,
    keys: &[
        Key::new("initial", Kind::Duration(&[]), "The first wait.").or("\"5s\""),
        Key::new("max", Kind::Duration(&[]), "The longest.").or("\"1h\""),
        Key::new("factor", Kind::Factor, "Each wait is the last one times this.").or("4.0"),
    ],
    also: None,
};

pub(super) const SUCCESS: Table = Table {
    path: "webhook.success",
    many: false,
    about: "What an answer must hold to count as accepted.",
    used_by: "the dispatcher of `run`",
    see: SEE,
    keys: &[
        Key::new("json", Kind::Pointer, "Where to look in the answer.").example("\"/errcode\""),
        Key::new("equals", Kind::Scalar, "What must be there.").example("0"),
    ],
    also: None,
};
