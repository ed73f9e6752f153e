//! The reference of `[poll]`, `[[window]]`, `[[blackout]]`, `[[group]]`, `[[user]]` and `[watch]`.
//!
//! Guards: nothing; it is data. Not here: reading them (`config::poll`, `config::users`).

use super::key::{Key, Table, keys};
use super::kind::Kind;

const GROUPS_OF_A_WINDOW: &str = "Groups whose users it applies to (default: all users).";

pub(super) const POLL: Table = Table {
    path: "poll",
    many: false,
    about: "How often users are polled.",
    used_by: "the poller of `run`; `plan` and `check` use it in their arithmetic",
    see: "docs/pacing.md",
    keys: keys! {
        interval: Duration(&["auto"]),
            r#""auto" spreads the remaining calls where they reduce staleness most; or a fixed duration."#,
            or r#""auto""#, example r#""5m""#,
            more "A [[user]] takes precedence over its last [[group]], and that over [poll].";
        cron: Cron,
            "Instead of `interval`: poll at these times. Minute first, or second with 6 fields; weekdays by NAME; or @hourly.",
            unset "`interval` applies", example r#""*/20 9-18 * * MON-FRI""#, more "In the `time_zone` of the file.";
        min_interval: Duration(&[]), "Shortest interval that `auto` chooses; the first after a start can be shorter.", or r#""30s""#;
        max_interval: Duration(&[]), "Longest interval that `auto` chooses; the call budget takes precedence.",
            or r#""12h""#;
        first_poll: Choice(&["emit", "silent"]),
            r#"Users inside a meeting at their first poll: "emit" sends an event, "silent" only records them."#,
            or r#""emit""#;
        leave_after_misses: Number { least: 1, unit: "consecutive polls" },
            "Consecutive polls without a vanished entry before it counts as left.",
            or "2";
        overtime: Duration(&[]), "How long users inside a meeting are still polled after the window closes.",
            or r#""2h""#;
        sweep: Duration(&["auto", "off"]),
            r#"Sweep all meetings of an organisation: "auto" (if cheaper than polls), "off", or a fixed interval."#,
            or r#""auto""#;
        confirm_calls: Flag, "Query the meeting once when an entry vanishes.", or "false";
        stale_after: Duration(&["auto"]),
            r#"Open time without a successful poll until presence is "unknown"; "auto" = three intervals, at least 5m."#,
            or r#""auto""#;
        backoff: Table("poll.backoff"), "";
    },
    also: None,
};

pub(super) const POLL_BACKOFF: Table = Table {
    path: "poll.backoff",
    many: false,
    about: "Waits after errors; a longer Retry-After takes precedence.",
    used_by: "the poller of `run`",
    see: "docs/failures.md",
    keys: keys! {
        initial: Duration(&[]), "First wait.", or r#""30s""#;
        max: Duration(&[]), "Longest wait.", or r#""15m""#;
        factor: Factor, "Factor from one wait to the next.", or "2.0";
    },
    also: None,
};

pub(super) const WINDOW: Table = Table {
    path: "window",
    many: true,
    about: "Users are polled only while a window is open; without any [[window]], always.",
    used_by: "the poller of `run`; `plan`, `check`, and every output that distinguishes \"closed\" from \"absent\"",
    see: "docs/operations.md",
    keys: keys! {
        name: Text, "Name in messages.", unset "`window 1`, `window 2` and so on", example r#""workdays""#;
        days: Days, "Days on which it opens (default: every day).", or r#"["mon-sun"]"#, example r#"["mon-fri"]"#;
        from: TimeOfDay, "Time at which it opens (default: 00:00).", or r#""00:00""#, example r#""08:30""#;
        to: TimeOfDay, "Time at which it closes (default: 24:00); at or before `from` = after midnight.",
            or r#""24:00""#, example r#""19:30""#;
        time_zone: Zone, "Its time zone (default: that of the file).", unset "the `time_zone` of the file",
            example r#""Asia/Shanghai""#;
        groups: Texts, GROUPS_OF_A_WINDOW, or "[]", example r#"["ops"]"#;
    },
    also: None,
};

pub(super) const BLACKOUT: Table = Table {
    path: "blackout",
    many: true,
    about: "Days on which no user is polled.",
    used_by: "the poller of `run`; `plan`",
    see: "docs/operations.md",
    keys: keys! {
        name: Text, "Name in messages.", unset "`blackout 1`, `blackout 2` and so on", example r#""spring festival""#;
        dates: Dates, "REQUIRED in a [[blackout]]: dates, or ranges that include both ends.",
            example r#"["2027-02-05..2027-02-12"]"#, more "In the `time_zone` of the file.";
    },
    also: None,
};

pub(super) const GROUP: Table = Table {
    path: "group",
    many: true,
    about: "A cadence for several users; the last [[group]] of a user takes precedence over [poll].",
    used_by: "the poller of `run`",
    see: "docs/pacing.md",
    keys: keys! {
        name: Text, "REQUIRED in a [[group]]: its name in the `groups` of users.", example r#""ops""#;
        interval: Duration(&["auto"]), r#"Poll interval: "auto" or a duration."#, unset "that of [poll]",
            example r#""2m""#;
        cron: Cron, "Instead of `interval`: poll at these times.", unset "`interval` applies",
            example r#""0 9,12,15 * * MON-FRI""#;
    },
    also: None,
};

pub(super) const USER: Table = Table {
    path: "user",
    many: true,
    about: "A watched user; one table for each.",
    used_by: "the poller of `run`; every command that takes WHO",
    see: "docs/operations.md",
    keys: keys! {
        union_id: Text, "REQUIRED in a [[user]]: the DingTalk unionId.", example r#""2iPOLbpUNMLzB5LuwggiiqiPwiEiE""#,
            more "`presenced user find` finds it by userid, department or mobile number.";
        name: Text, "Name in output and webhooks (default: the unionId).", unset "the unionId", example r#""Li Wei""#;
        org: Text, "REQUIRED if there are several organisations: name of the [[org]].",
            needed "if there are several [[org]]", example r#""acme""#;
        groups: Texts, "Groups, which cadences, windows and webhooks refer to.", or "[]", example r#"["ops"]"#;
        tags: Pairs, "Key-value pairs that are passed to webhooks.", or "{}", example r#"{ site = "HZ" }"#;
        interval: Duration(&["auto"]),
            r#"Poll interval: "auto" or a duration; takes precedence over groups and [poll]."#,
            unset "that of the last [[group]] of the user, else that of [poll]", example r#""5m""#;
        cron: Cron, "Instead of `interval`: poll at these times.", unset "`interval` applies", example r#""@hourly""#;
        enabled: Flag, "false: the user stays in the file but is not watched.", or "true";
    },
    also: None,
};

pub(super) const WATCH: Table = Table {
    path: "watch",
    many: false,
    about: "Included files, and automatic reload.",
    used_by: "every command that reads the config",
    see: "docs/operations.md",
    keys: keys! {
        include: Globs,
            "Files with more [[user]], [[group]] and [[org]], relative to the config; a pattern may match no file.",
            or r#"["watch.d/*.toml"]"#,
            more "An included file may contain nothing else. A path without `*` must exist.";
        auto_reload: Flag,
            "true: reload the config seconds after one of its files (also a secret or a template) has changed.",
            or "false", more "An invalid config changes nothing, as with `presenced reload`.";
    },
    also: None,
};
