//! Who is in a meeting as rows, and what is said below them.
//!
//! Guards: an unknown state is shown as unknown, never as absent. Not here: reading it (`super`, `watch`).

use std::fmt::Write as _;

use crate::cli::output::{Cell, Column, FAINT, GOOD, Row, Style, WARNING, ago, counted};
use crate::store::history::{Counts, UserPresence as Standing};
use crate::time::Timestamp;

pub(super) const COLUMNS: &[Column] = &[
    Column::new("who", "WHO").shrinking_last(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::data_only("groups"),
    Column::new("presence", "IS").dull(),
    Column::table_only("MEETING").shrinking(),
    Column::data_only("meeting"),
    Column::data_only("title"),
    Column::new("joined_at", "SINCE"),
    Column::new("minutes", "MIN"),
    Column::new("role", "ROLE").dull(),
    Column::data_only("device"),
    Column::data_only("external"),
    Column::data_only("by_phone"),
    Column::table_only("CHECKED").dull(),
    Column::data_only("checked_s_ago"),
];

pub(super) fn row(state: &Standing, now: Timestamp) -> Row {
    let meeting = state.meeting.as_ref();
    let checked = state.last_ok.map(|at| now.since(at));
    let seconds = checked.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    Row::new(vec![
        state.name.as_str().into(),
        state.org.as_str().into(),
        state.union_id.as_str().into(),
        state.groups.join(",").into(),
        state.presence.as_str().into(),
        meeting.map(|m| Cell::titled(m.title.as_deref(), &m.conference_id)).into(),
        meeting.map(|m| m.conference_id.as_str()).into(),
        meeting.and_then(|m| m.title.as_deref()).into(),
        meeting.map(|m| m.joined).into(),
        meeting.map(|m| minutes(m.joined, now)).into(),
        meeting.map(|m| m.role.as_str()).into(),
        meeting.and_then(|m| m.device.as_deref()).into(),
        meeting.map(|m| m.external).into(),
        meeting.map(|m| m.by_phone).into(),
        checked.map_or_else(|| "never".to_owned(), ago).into(),
        seconds.map_or(Cell::Nothing, Cell::Number),
    ])
    .styled(style(&state.presence))
}

pub(super) fn style(presence: &str) -> Style {
    match presence {
        "inside" => GOOD,
        "unknown" => WARNING,
        _ => FAINT,
    }
}

fn minutes(joined: Timestamp, now: Timestamp) -> i64 {
    i64::try_from(now.since(joined).as_secs() / 60).unwrap_or(i64::MAX)
}

pub(super) fn empty_text(counts: Counts, now: Timestamp) -> String {
    if counts.watched == 0 {
        return "No user is watched yet: add a [[user]] to the config, then start `presenced run`."
            .to_owned();
    }
    format!("No user is in a meeting: {}", summary(counts, now))
}

pub(super) fn summary(counts: Counts, now: Timestamp) -> String {
    let watched = counted(usize::try_from(counts.watched).unwrap_or(0), "person", "people");
    let mut text = format!("{} of {watched} inside", counts.inside);
    // Writing to a `String` cannot fail.
    if counts.unknown > 0 {
        let _ = write!(text, "; {} unknown (`presenced now --all`)", counts.unknown);
    }
    match counts.last_ok {
        Some(at) => text + &format!("; last poll {}.", ago(now.since(at))),
        None => text + "; no user was polled yet: is `presenced run` running?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::OutputFormat;
    use crate::cli::output::Printer;
    use crate::store::history::OpenVisit;

    const JOINED: Timestamp = Timestamp::from_ms(1_699_347_295_876);

    fn standing(name: &str, presence: &str, role: Option<&str>) -> Standing {
        Standing {
            person_id: 1,
            org: "default".into(),
            union_id: "2iPOLbpUNMLzB5LuwggiiqiPwiEiE".into(),
            name: name.into(),
            presence: presence.into(),
            groups: vec!["ops".into()],
            watched: true,
            last_ok: role.map(|_| JOINED),
            next_poll: None,
            meeting: role.map(|role| OpenVisit {
                visit_id: "vis_a".into(),
                conference_id: "654058f2411fe90147e68780".into(),
                title: (role == "host").then(|| "Weekly planning".into()),
                started: None,
                join_basis: "reported".into(),
                joined: JOINED,
                role: role.into(),
                device: Some("Win".into()),
                external: false,
                by_phone: true,
            }),
        }
    }

    fn rendered(format: OutputFormat) -> String {
        let printer = Printer { format, time_zone: chrono_tz::Asia::Shanghai, ..Printer::default() };
        let now = JOINED.plus(std::time::Duration::from_secs(754));
        let rows = [
            standing("李伟", "inside", Some("host")),
            standing("Maximilian Müller-Lüdenscheidt", "unknown", Some("attendee")),
            standing("Zoë", "outside", None),
        ]
        .map(|state| row(&state, now));
        anstream::adapter::strip_str(&printer.render(COLUMNS, &rows)).to_string()
    }

    #[test]
    fn fits_80_columns() {
        let table = rendered(OutputFormat::Table);
        insta::assert_snapshot!(table);
    }

    #[test]
    fn as_json() {
        insta::assert_snapshot!(rendered(OutputFormat::Json));
    }

    #[test]
    fn an_empty_answer_says_how_fresh_it_is() {
        let counts = Counts { watched: 5, inside: 0, unknown: 2, last_ok: Some(JOINED) };
        let now = JOINED.plus(std::time::Duration::from_secs(12));
        let text = empty_text(counts, now);
        let expected = "No user is in a meeting: 0 of 5 people inside; 2 unknown (`presenced now --all`); last poll 12 s ago.";
        assert_eq!(text, expected);
        assert!(empty_text(Counts::default(), now).contains("[[user]]"));
        let not_polled = Counts { watched: 1, ..Counts::default() };
        assert!(empty_text(not_polled, now).ends_with("is `presenced run` running?"));
    }
}
