//! Attendance lists from made-up visits.

use super::*;
use crate::cli::OutputFormat;

/// 2026-11-23 02:00 UTC, 10:00 in Shanghai.
const TEN: Timestamp = Timestamp::from_ms(1_795_399_200_000);

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_ms(TEN.as_ms() + minutes * 60_000)
}

fn visit(name: &str, joined: (i64, Option<i64>), left: Option<(i64, i64)>, basis: &str) -> VisitRow {
    VisitRow {
        person_id: i64::try_from(name.len()).unwrap(),
        org: "default".into(),
        union_id: format!("u{name}"),
        name: name.into(),
        visit_id: format!("vis_{name}"),
        conference_id: "654058f2411fe90147e68780".into(),
        title: Some("Weekly planning".into()),
        ordinal: 1,
        joined: at(joined.0),
        join_basis: if joined.1 == Some(joined.0) { "reported" } else { "observed" }.into(),
        join_earliest: joined.1.map(at),
        left: left.map(|(_, latest)| at(latest)),
        left_reason: left.map(|_| "left".into()),
        leave_basis: left.map(|_| basis.into()),
        leave_earliest: left.map(|(earliest, _)| at(earliest)),
        leave_latest: left.map(|(_, latest)| at(latest)),
        role: "attendee".into(),
        external: false,
        by_phone: false,
        device: None,
        nick: None,
    }
}

fn attendance() -> Attendance {
    let meeting = MeetingRow {
        org: "default".into(),
        conference_id: "654058f2411fe90147e68780".into(),
        title: Some("Weekly planning".into()),
        creator: Some("Li Wei".into()),
        started: Some(at(-5)),
        ended: None,
        basis: "sweep".into(),
        first_join: at(-5),
        last_leave: None,
        people: 3,
        inside: 1,
        longest_ms: 60_000,
        first_seen: at(-5),
    };
    let visits = vec![
        visit("Li Wei", (-5, Some(-5)), Some((40, 40)), "reported"),
        visit("=Mallory", (12, Some(2)), Some((20, 30)), "inferred"),
        visit("王小明", (15, None), None, ""),
    ];
    let gap = |person_id, from, to| Gap {
        org: "default".into(),
        person_id,
        from: at(from),
        to: at(to),
        why: "restart".into(),
    };
    Attendance { meeting, visits, gaps: vec![gap(None, 25, 30), gap(Some(6), 45, 60)] }
}

fn unseen_user() -> KnownUser {
    KnownUser {
        person_id: 99,
        org: "default".into(),
        union_id: "uZoe".into(),
        name: "Zoë".into(),
        watched: true,
        last_ok: None,
        next_poll: None,
        failing: false,
        first: None,
        groups: vec!["ops".into()],
    }
}

fn rendered(format: OutputFormat, bom: bool) -> String {
    let printer =
        Printer { format, time_zone: chrono_tz::Asia::Shanghai, width: 110, bom, ..Printer::default() };
    let mut first = HashSet::new();
    let attendance = attendance();
    let mut rows: Vec<Row> = attendance
        .visits
        .iter()
        .map(|visit| {
            let start = Some(TEN).filter(|_| first.insert(visit.person_id));
            seen_row(visit, start, at(50), &printer)
        })
        .collect();
    rows.push(unseen_row(&unseen_user(), &attendance.meeting));
    anstream::adapter::strip_str(&printer.render(COLUMNS, &rows)).to_string()
}

#[test]
fn as_a_table() {
    insta::assert_snapshot!(rendered(OutputFormat::Table, false));
}

#[test]
fn as_csv_with_a_mark_for_excel_and_without_formulas() {
    let csv = rendered(OutputFormat::Csv, true);
    assert!(csv.starts_with("\u{feff}who,"), "{csv}");
    assert!(csv.contains("\n'=Mallory,"), "{csv}");
    assert!(!rendered(OutputFormat::Csv, false).starts_with('\u{feff}'));
    insta::assert_snapshot!(csv.trim_start_matches('\u{feff}'));
}

#[test]
fn minutes_have_bounds_where_polls_saw_the_ends() {
    let of = |visit: &VisitRow| {
        let minute = |ms: i64| ms / 60_000;
        let Minutes { shown, least, most } = Minutes::of(visit, at(50));
        (minute(shown), minute(least), most.map(minute))
    };
    let visits = attendance().visits;
    assert_eq!(of(&visits[0]), (45, 45, Some(45)));
    assert_eq!(of(&visits[1]), (18, 8, Some(28)));
    assert_eq!(of(&visits[2]), (35, 35, None), "no poll before it is known");
}

#[test]
fn what_nobody_saw_is_said_first() {
    let printer = Printer { time_zone: chrono_tz::Asia::Shanghai, ..Printer::default() };
    let mut attendance = attendance();
    attendance.gaps[1].person_id = Some(attendance.visits[0].person_id);
    let text = head(&attendance, 3, at(50), &printer);
    let expected = "Weekly planning: 2026-11-23 09:55:00 to now (Asia/Shanghai), 3 people, 1 inside now; created by Li Wei\n\
        The newest of 3 meetings with this title; `presenced meetings` lists all.\n\
        Nobody was polled from 2026-11-23 10:25:00 to 2026-11-23 10:30:00 (restart): who was in then is not known.\n\
        Li Wei was not polled from 2026-11-23 10:45:00 to now (restart): who was in then is not known.";
    assert_eq!(text, expected);
}
