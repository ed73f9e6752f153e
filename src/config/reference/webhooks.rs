//! The reference of `[webhook_defaults]` and `[[webhook]]`.
//!
//! Guards: a webhook takes every key of the defaults. Not here: reading them (`config::webhooks`).

use super::key::{Key, Table, keys};
use super::kind::Kind;

const USED_BY: &str = "the dispatcher of `run`; `webhook test`, `route` and `list`";
const SEE: &str = "docs/webhooks.md";

pub(super) const DEFAULTS: Table = Table {
    path: "webhook_defaults",
    many: false,
    about: "Defaults for every [[webhook]]; takes all its keys except name and url.",
    used_by: USED_BY,
    see: SEE,
    keys: keys! {
        format: Choice(&["standard", "cloudevents", "dingtalk_robot", "template"]),
            r#"Body format: "standard", "cloudevents", "dingtalk_robot" or "template"."#,
            or r#""standard""#;
        secret: Secrets,
            "Signing secret: whsec_ and base64; a list while rotating, newest first; none = unsigned. That of a robot begins with SEC.",
            or "[]", example r#"{ file = "/etc/presenced/crm.whsec" }"#,
            more "`presenced webhook secret new` creates one.";
        events: Events, r#"Events to send: exact names, "meeting.*" or "*"."#,
            or r#"["meeting.participant_joined", "meeting.participant_left"]"#,
            more "docs/events.md lists all events.";
        users: Texts, "Only events of these users, by name or unionId; none = all users.", or "[]",
            example r#"["Li Wei"]"#, more "An event must match `users`, `groups` and `orgs`.";
        groups: Texts, "Only events of users in these groups; none = all users.", or "[]", example r#"["ops"]"#;
        orgs: Texts, "Only events of these organisations; none = all.", or "[]", example r#"["acme"]"#;
        only_hosts: Flag, "Only events of users who host the meeting.", or "false";
        skip_late: Flag, "Do not send events that were observed late.", or "false";
        titles: Flag, "Titles of meetings in messages of a robot or template (see [privacy]).", or "true";
        snapshot_on_start: Flag, "Send a snapshot of all users at every start.", or "false";
        headers: Headers, "Additional headers; values may be secrets.", or "{}", example r#"{ "X-Site" = "HZ" }"#,
            more "Headers that the program or HTTP sets are refused.";
        concurrency: Number { least: 1, unit: "concurrent requests" }, "Maximum concurrent requests.", or "8",
            more "Events of one user are always sent one after the other.";
        rate: Number { least: 1, unit: "requests per second" }, "Maximum requests per second.", or "10";
        timeout: Duration(&[]), "Timeout of a request.", or r#""15s""#;
        connect_timeout: Duration(&[]), "Timeout of connecting.", or r#""5s""#;
        proxy: Url, "HTTP proxy for requests to the receiver.",
            unset "no proxy; `HTTPS_PROXY` and similar variables are ignored",
            example r#""http://proxy.example.com:3128""#,
            more r#"The proxy resolves host names, so it excludes `network = "public"`."#;
        ca_file: Path, "PEM file of certificates to trust in addition to those of the system.",
            unset "only the certificates of the system", example r#""/etc/presenced/ca.pem""#,
            more "A CA, or the certificate of the receiver if it is self-signed.";
        attempts: Number { least: 1, unit: "attempts" }, "Attempts before a refused event becomes a dead letter.",
            or "5", more "Failures of a receiver that is down do not count; its events stay queued.";
        give_up_after: Duration(&[]), "Disable the webhook after this time of being down.", or r#""5d""#;
        max_age: Duration(&["forever"]), r#"Events older than this expire unsent; "forever" = never."#, or r#""7d""#;
        network: Choice(&["any", "public"]), r#""public" refuses private and loopback addresses."#, or r#""any""#;
        allow_link_local: Flag, "Allow link-local and cloud-metadata addresses.", or "false";
        template: Text,
            r#"For format = "template": a shipped template or a file; the suffix "-en" or "-zh" sets the language."#,
            needed r#"for `format = "template"`"#, example r#""slack""#,
            more r#"For "dingtalk_robot" it is `robot-en` or `robot-zh`, and optional."#;
        success: Table("webhook.success"),
            "For templates: what an answer must contain to count as accepted; feishu and wecom have a default.",
            unset "any 2xx status counts", example r#"{ json = "/errcode", equals = 0 }"#;
        batch: Duration(&[]), "For templates: collect events for this long and send them as one.",
            unset "each event is sent individually", example r#""20s""#;
        backoff: Table("webhook.backoff"), "";
    },
    also: None,
};

pub(super) const WEBHOOK: Table = Table {
    path: "webhook",
    many: true,
    about: "A receiver of events; one table for each.",
    used_by: USED_BY,
    see: SEE,
    keys: keys! {
        name: Text, "REQUIRED in a [[webhook]]: its name, which is sent in a header.", example r#""crm""#,
            more "The queue belongs to the name: with another name it is a new webhook.";
        url: UrlOrSecret, "REQUIRED in a [[webhook]]: URL of the receiver; may be a secret.",
            example r#""https://crm.example.com/hooks""#;
    },
    also: Some(&DEFAULTS),
};

pub(super) const BACKOFF: Table = Table {
    path: "webhook.backoff",
    many: false,
    about: "Waits between attempts.",
    used_by: "the dispatcher of `run`",
    see: SEE,
    keys: keys! {
        initial: Duration(&[]), "First wait.", or r#""5s""#;
        max: Duration(&[]), "Longest wait.", or r#""1h""#;
        factor: Factor, "Factor from one wait to the next.", or "4.0";
    },
    also: None,
};

pub(super) const SUCCESS: Table = Table {
    path: "webhook.success",
    many: false,
    about: "What an answer must contain to count as accepted.",
    used_by: "the dispatcher of `run`",
    see: SEE,
    keys: keys! {
        json: Pointer, "JSON pointer into the answer.", example r#""/errcode""#;
        equals: Scalar, "Value that must be there.", example "0";
    },
    also: None,
};
