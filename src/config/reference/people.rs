//! The reference of `[poll]`, `[[window]]`, `[[blackout]]`, `[[group]]`, `[[user]]` and `[watch]`.
//!
//! Guards: nothing; it is data. Not here: reading them (`config::poll`, `config::users`).

use super::key::{Key, Table};
use super::kind::Kind;

const GROUPS_OF_A_WINDOW: &str = "Groups whose users it applies to (default: all users).";

pub(super) const POLL: Table = Table {
    path: "poll",
    many: false,
    about: "How often users are polled.",
    used_by: "the poller of `run`; `plan` and `check` use it in their arithmetic",
    see: "docs/pacing.md",
    keys: &[
        Key::new("interval", Kind::Duration(&["auto"]), "\"auto\" spreads the remaining calls where they reduce staleness most; or a fixed duration.")
            .or("\"auto\"")
            .example("\"5m\"")
            .more("A [[user]] takes precedence over its last [[group]], and that over [poll]."),
        Key::new(
            "cron",
            Kind::Cron,
            "Instead of `interval`: poll at these times. Minute first, or second with 6 fields; weekdays by NAME; or @hourly.",
        )
        .unset("`interval` applies")
        .example("\"*/20 9-18 * * MON-FRI\"")
        .more("In the `time_zone` of the file."),
        Key::new(
            "min_interval",
            Kind::Duration(&[]),
            "Shortest interval that `auto` chooses; the first after a start can be shorter.",
        )
        .or("\"30s\""),
        Key::new(
            "max_interval",
            Kind::Duration(&[]),
            "Longest interval that `auto` chooses; the call budget takes precedence.",
        )
        .or("\"12h\""),
        Key::new(
            "first_poll",
            Kind::Choice(&["emit", "silent"]),
            "Users inside a meeting at their first poll: \"emit\" sends an event, \"silent\" only records them.",
        )
        .or("\"emit\""),
        Key::new(
            "leave_after_misses",
            Kind::Number { least: 1, unit: "consecutive polls" },
            "Consecutive polls without a vanished entry before it counts as left.",
        )
        .or("2"),
        Key::new("overtime", Kind::Duration(&[]), "How long users inside a meeting are still polled after the window closes.").or("\"2h\""),
        Key::new(
            "sweep",
            Kind::Duration(&["auto", "off"]),
            "Sweep all meetings of an organisation: \"auto\" (if cheaper than polls), \"off\", or a fixed interval.",
        )
        .or("\"auto\""),
        Key::new("confirm_calls", Kind::Flag, "Query the meeting once when an entry vanishes.").or("false"),
        Key::new(
            "stale_after",
            Kind::Duration(&["auto"]),
            "Open time without a successful poll until presence is \"unknown\"; \"auto\" = three intervals, at least 5m.",
        )
        .or("\"auto\""),
        Key::new("backoff", Kind::Table("poll.backoff"), "").unset("its keys have their defaults"),
    ],
    also: None,
};

pub(super) const POLL_BACKOFF: Table = Table {
    path: "poll.backoff",
    many: false,
    about: "Waits after errors; a longer Retry-After takes precedence.",
    used_by: "the poller of `run`",
    see: "docs/failures.md",
    keys: &[
        Key::new("initial", Kind::Duration(&[]), "First wait.").or("\"30s\""),
        Key::new("max", Kind::Duration(&[]), "Longest wait.").or("\"15m\""),
        Key::new("factor", Kind::Factor, "Factor from one wait to the next.").or("2.0"),
    ],
    also: None,
};

pub(super) const WINDOW: Table = Table {
    path: "window",
    many: true,
    about: "Users are polled only while a window is open; without any [[window]], always.",
    used_by: "the poller of `run`; `plan`, `check`, and every output that distinguishes \"closed\" from \"absent\"",
    see: "docs/operations.md",
    keys: &[
        Key::new("name", Kind::Text, "Name in messages.")
            .unset("`window 1`, `window 2` and so on")
            .example("\"workdays\""),
        Key::new("days", Kind::Days, "Days on which it opens (default: every day).")
            .or("[\"mon-sun\"]")
            .example("[\"mon-fri\"]"),
        Key::new("from", Kind::TimeOfDay, "Time at which it opens (default: 00:00).")
            .or("\"00:00\"")
            .example("\"08:30\""),
        Key::new(
            "to",
            Kind::TimeOfDay,
            "Time at which it closes (default: 24:00); at or before `from` = after midnight.",
        )
        .or("\"24:00\"")
        .example("\"19:30\""),
        Key::new("time_zone", Kind::Zone, "Its time zone (default: that of the file).")
            .unset("the `time_zone` of the file")
            .example("\"Asia/Shanghai\""),
        Key::new("groups", Kind::Texts, GROUPS_OF_A_WINDOW).or("[]").example("[\"ops\"]"),
    ],
    also: None,
};

pub(super) const BLACKOUT: Table = Table {
    path: "blackout",
    many: true,
    about: "Days on which no user is polled.",
    used_by: "the poller of `run`; `plan`",
    see: "docs/operations.md",
    keys: &[
        Key::new("name", Kind::Text, "Name in messages.")
            .unset("`blackout 1`, `blackout 2` and so on")
            .example("\"spring festival\""),
        Key::new(
            "dates",
            Kind::Dates,
            "REQUIRED in a [[blackout]]: dates, or ranges that include both ends.",
        )
        .example("[\"2027-02-05..2027-02-12\"]")
        .more("In the `time_zone` of the file."),
    ],
    also: None,
};

pub(super) const GROUP: Table = Table {
    path: "group",
    many: true,
    about: "A cadence for several users; the last [[group]] of a user takes precedence over [poll].",
    used_by: "the poller of `run`",
    see: "docs/pacing.md",
    keys: &[
        Key::new("name", Kind::Text, "REQUIRED in a [[group]]: its name in the `groups` of users.")
            .example("\"ops\""),
        Key::new("interval", Kind::Duration(&["auto"]), "Poll interval: \"auto\" or a duration.")
            .unset("that of [poll]")
            .example("\"2m\""),
        Key::new("cron", Kind::Cron, "Instead of `interval`: poll at these times.")
            .unset("`interval` applies")
            .example("\"0 9,12,15 * * MON-FRI\""),
    ],
    also: None,
};

pub(super) const USER: Table = Table {
    path: "user",
    many: true,
    about: "A watched user; one table for each.",
    used_by: "the poller of `run`; every command that takes WHO",
    see: "docs/operations.md",
    keys: &[
        Key::new("union_id", Kind::Text, "REQUIRED in a [[user]]: the DingTalk unionId.")
            .example("\"2iPOLbpUNMLzB5LuwggiiqiPwiEiE\"")
            .more("`presenced user find` finds it by userid, department or mobile number."),
        Key::new("name", Kind::Text, "Name in output and webhooks (default: the unionId).")
            .unset("the unionId")
            .example("\"Li Wei\""),
        Key::new("org", Kind::Text, "REQUIRED if there are several organisations: name of the [[org]].")
            .needed("if there are several [[org]]")
            .example("\"acme\""),
        Key::new("groups", Kind::Texts, "Groups, which cadences, windows and webhooks refer to.")
            .or("[]")
            .example("[\"ops\"]"),
        Key::new("tags", Kind::Pairs, "Key-value pairs that are passed to webhooks.")
            .or("{}")
            .example("{ site = \"HZ\" }"),
        Key::new(
            "interval",
            Kind::Duration(&["auto"]),
            "Poll interval: \"auto\" or a duration; takes precedence over groups and [poll].",
        )
        .unset("that of the last [[group]] of the user, else that of [poll]")
        .example("\"5m\""),
        Key::new("cron", Kind::Cron, "Instead of `interval`: poll at these times.")
            .unset("`interval` applies")
            .example("\"@hourly\""),
        Key::new("enabled", Kind::Flag, "false: the user stays in the file but is not watched.").or("true"),
    ],
    also: None,
};

pub(super) const WATCH: Table = Table {
    path: "watch",
    many: false,
    about: "Included files, and automatic reload.",
    used_by: "every command that reads the config",
    see: "docs/operations.md",
    keys: &[
        Key::new(
            "include",
            Kind::Globs,
            "Files with more [[user]], [[group]] and [[org]], relative to the config; a pattern may match no file.",
        )
        .or("[\"watch.d/*.toml\"]")
        .more("An included file may contain nothing else. A path without `*` must exist."),
        Key::new(
            "auto_reload",
            Kind::Flag,
            "true: reload the config seconds after one of its files (also a secret or a template) has changed.",
        )
        .or("false")
        .more("An invalid config changes nothing, as with `presenced reload`."),
    ],
    also: None,
};
