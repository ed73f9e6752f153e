//! Who is watched, how often, and when at all: `[poll]` to `[watch]`, described.
//!
//! Deliberately not here: reading them (`config::poll`, `config::people`).

use super::{Key, Kind, Table};

const GROUPS_OF_A_WINDOW: &str = "Whom it is for; everybody when left out.";

pub(super) const POLL: Table = Table {
    path: "poll",
    many: false,
    about: "How often people are looked at.",
    used_by: "the poller of `run`; `plan` and `check` count with it",
    see: "docs/pacing.md",
    keys: &[
        Key::new("interval", Kind::Duration(&["auto"]), "\"auto\" looks where it tells most for the calls that are left; or a duration.")
            .or("\"auto\"")
            .example("\"5m\"")
            .more("A [[user]] wins over the last matching [[group]], and that over [poll]."),
        Key::new(
            "cron",
            Kind::Cron,
            "Instead of `interval`: at these instants. Minute first, or second with 6 fields; weekdays by NAME; or @hourly.",
        )
        .unset("`interval` holds")
        .example("\"*/20 9-18 * * MON-FRI\"")
        .more("On the wall clock of the file's `time_zone`."),
        Key::new("min_interval", Kind::Duration(&[]), "\"auto\" looks at nobody more often.").or("\"30s\""),
        Key::new(
            "max_interval",
            Kind::Duration(&[]),
            "What pacing looks at nobody more rarely than; where the calls do not reach even that, the calls win.",
        )
        .or("\"12h\""),
        Key::new(
            "first_poll",
            Kind::Choice(&["emit", "silent"]),
            "Who is inside at the very first look: \"emit\" tells about them, \"silent\" only notes them.",
        )
        .or("\"emit\""),
        Key::new(
            "leave_after_misses",
            Kind::Number { least: 1, unit: "looks in a row" },
            "Looks in a row that must miss a vanished entry before it counts as left.",
        )
        .or("2"),
        Key::new("overtime", Kind::Duration(&[]), "How long who is inside is followed when the window closes.").or("\"2h\""),
        Key::new(
            "sweep",
            Kind::Duration(&["auto", "off"]),
            "Look at whole organisations by their meetings: \"auto\" where that is cheaper, \"off\", or a duration.",
        )
        .or("\"auto\""),
        Key::new("confirm_calls", Kind::Flag, "Ask the meeting once when an entry vanishes.").or("false"),
        Key::new(
            "stale_after",
            Kind::Duration(&["auto"]),
            "No good look for so long (open time only) is \"unknown\"; \"auto\" is three intervals, at least 5m.",
        )
        .or("\"auto\""),
        Key::new("backoff", Kind::Table("poll.backoff"), "").unset("its keys have their defaults"),
    ],
    also: None,
};

pub(super) const POLL_BACKOFF: Table = Table {
    path: "poll.backoff",
    many: false,
    about: "Waits after errors; a Retry-After wins when it is longer.",
    used_by: "the poller of `run`",
    see: "docs/failures.md",
    keys: &[
        Key::new("initial", Kind::Duration(&[]), "The first wait.").or("\"30s\""),
        Key::new("max", Kind::Duration(&[]), "The longest.").or("\"15m\""),
        Key::new("factor", Kind::Factor, "Each wait is the last one times this.").or("2.0"),
    ],
    also: None,
};

pub(super) const WINDOW: Table = Table {
    path: "window",
    many: true,
    about: "Polling only while a window is open; without any [[window]], always.",
    used_by: "the poller of `run`; `plan`, `check`, and every screen that tells \"closed\" from \"absent\"",
    see: "docs/operations.md",
    keys: &[
        Key::new("name", Kind::Text, "For messages.")
            .unset("`window 1`, `window 2` and so on")
            .example("\"workdays\""),
        Key::new("days", Kind::Days, "On which days it opens; every day when left out.")
            .or("[\"mon-sun\"]")
            .example("[\"mon-fri\"]"),
        Key::new("from", Kind::TimeOfDay, "When it opens; 00:00 when left out.")
            .or("\"00:00\"")
            .example("\"08:30\""),
        Key::new(
            "to",
            Kind::TimeOfDay,
            "When it closes, 24:00 when left out; at or before `from` = past midnight.",
        )
        .or("\"24:00\"")
        .example("\"19:30\""),
        Key::new("time_zone", Kind::Zone, "Its own wall clock; the file's when left out.")
            .unset("the file's `time_zone`")
            .example("\"Asia/Shanghai\""),
        Key::new("groups", Kind::Texts, GROUPS_OF_A_WINDOW).or("[]").example("[\"ops\"]"),
    ],
    also: None,
};

pub(super) const BLACKOUT: Table = Table {
    path: "blackout",
    many: true,
    about: "Days without polls.",
    used_by: "the poller of `run`; `plan`",
    see: "docs/operations.md",
    keys: &[
        Key::new("name", Kind::Text, "For messages.")
            .unset("`blackout 1`, `blackout 2` and so on")
            .example("\"spring festival\""),
        Key::new("dates", Kind::Dates, "REQUIRED in a [[blackout]]: days, or ranges with both ends.")
            .example("[\"2027-02-05..2027-02-12\"]")
            .more("In the file's `time_zone`."),
    ],
    also: None,
};

pub(super) const GROUP: Table = Table {
    path: "group",
    many: true,
    about: "A cadence for several people; the last [[group]] of somebody's groups wins over [poll].",
    used_by: "the poller of `run`",
    see: "docs/pacing.md",
    keys: &[
        Key::new("name", Kind::Text, "REQUIRED in a [[group]]: how users name it.").example("\"ops\""),
        Key::new("interval", Kind::Duration(&["auto"]), "How often: \"auto\" or a duration.")
            .unset("that of [poll]")
            .example("\"2m\""),
        Key::new("cron", Kind::Cron, "Or at these instants.")
            .unset("`interval` holds")
            .example("\"0 9,12,15 * * MON-FRI\""),
    ],
    also: None,
};

pub(super) const USER: Table = Table {
    path: "user",
    many: true,
    about: "Somebody to watch; one table for each.",
    used_by: "the poller of `run`; every command that takes WHO",
    see: "docs/operations.md",
    keys: &[
        Key::new("union_id", Kind::Text, "REQUIRED in a [[user]]: the DingTalk unionId.")
            .example("\"2iPOLbpUNMLzB5LuwggiiqiPwiEiE\"")
            .more("`presenced user find` gets it from a user id, a department or a mobile number."),
        Key::new("name", Kind::Text, "How messages and webhooks name them; the unionId when left out.")
            .unset("the unionId")
            .example("\"Li Wei\""),
        Key::new("org", Kind::Text, "REQUIRED when there are several organisations: which one.")
            .needed("when there are several [[org]]")
            .example("\"acme\""),
        Key::new("groups", Kind::Texts, "What cadences, windows and webhooks go by.")
            .or("[]")
            .example("[\"ops\"]"),
        Key::new("tags", Kind::Pairs, "Free pairs for the receivers of webhooks.")
            .or("{}")
            .example("{ site = \"HZ\" }"),
        Key::new(
            "interval",
            Kind::Duration(&["auto"]),
            "How often: \"auto\" or a duration; wins over groups and [poll].",
        )
        .unset("that of the last matching [[group]], else of [poll]")
        .example("\"5m\""),
        Key::new("cron", Kind::Cron, "Or at these instants.")
            .unset("`interval` holds")
            .example("\"@hourly\""),
        Key::new("enabled", Kind::Flag, "false: kept in the file, not watched.").or("true"),
    ],
    also: None,
};

pub(super) const WATCH: Table = Table {
    path: "watch",
    many: false,
    about: "More files with people in them, and whether changes are noticed.",
    used_by: "whatever reads the config",
    see: "docs/operations.md",
    keys: &[
        Key::new(
            "include",
            Kind::Globs,
            "More [[user]], [[group]] and [[org]], from the config's folder; files that do not exist yet are fine.",
        )
        .or("[\"watch.d/*.toml\"]")
        .more("Nothing else may stand in an included file. A file that is named without `*` must exist."),
        Key::new(
            "auto_reload",
            Kind::Flag,
            "true: read the config again by itself, seconds after one of its files (secrets and templates too) has changed.",
        )
        .or("false")
        .more("A config that cannot be used changes nothing, as with `presenced reload`."),
    ],
    also: None,
};
