//! Reports from made-up stays and gaps.
#![expect(
    clippy::cast_possible_truncation,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

use super::*;
use crate::store::history::report::{Gap, VisitSpan as Stay};

/// 2026-11-23 00:00 in Shanghai.
const MIDNIGHT: Timestamp = Timestamp::from_ms(1_795_363_200_000);
const HOUR: i64 = 3_600_000;

fn at(hours: f64) -> Timestamp {
    Timestamp::from_ms(MIDNIGHT.as_ms() + (hours * 3_600_000.0) as i64)
}

fn known(last_ok: Option<f64>, next_poll: Option<f64>) -> Known {
    Known {
        person_id: 1,
        org: "default".into(),
        union_id: "u1".into(),
        name: "李伟".into(),
        watched: true,
        last_ok: last_ok.map(at),
        next_poll: next_poll.map(at),
        failing: false,
        first: Some(at(-100.0)),
        groups: Vec::new(),
    }
}

fn stay(meeting: &str, joined: f64, left: Option<f64>) -> Stay {
    Stay { person_id: 1, conference_id: meeting.into(), joined: at(joined), left: left.map(at) }
}

fn gap(person_id: Option<i64>, from: f64, to: f64, why: &str) -> Gap {
    Gap { org: "default".into(), person_id, from: at(from), to: at(to), why: why.into() }
}

fn today(known: &Known, stays: &[Stay], gaps: &[Gap], now: f64) -> Day {
    Timeline::of(known, stays, gaps, &[], at(now)).day((at(0.0), at(24.0)), at(now))
}

#[test]
fn unobserved_time_is_not_absence() {
    let gaps = [
        gap(None, 0.0, 8.5, "window closed"),
        gap(None, 12.0, 14.0, "restart"),
        gap(Some(2), 9.0, 20.0, "of another user"),
    ];
    let stays = [stay("a", 9.0, Some(10.5)), stay("b", 10.0, Some(11.0)), stay("a", 13.0, Some(15.0))];
    let day = today(&known(Some(20.0), Some(20.5)), &stays, &gaps, 20.25);
    assert_eq!(day.inside.total_ms(), 4 * HOUR, "two meetings at once count once");
    assert_eq!(day.unknown.total_ms(), HOUR, "a reported stay is known");
    assert_eq!(day.closed.total_ms(), 8 * HOUR + HOUR / 2);
    assert_eq!((day.meetings.len(), day.longest_ms), (2, 2 * HOUR));
    assert_eq!(day.bar((at(0.0), at(24.0))), "         ██·?██······   ");
}

#[test]
fn what_lies_after_the_last_look_is_not_known_once_the_next_is_late() {
    let open = [stay("a", 9.0, None)];
    let fresh = today(&known(Some(10.0), Some(10.5)), &open, &[], 10.25);
    assert_eq!((fresh.inside.total_ms(), fresh.unknown.total_ms()), (HOUR + HOUR / 4, 0));
    let dead = today(&known(Some(10.0), Some(10.5)), &open, &[], 20.0);
    assert_eq!((dead.inside.total_ms(), dead.unknown.total_ms()), (HOUR, 10 * HOUR));
}

#[test]
fn what_lies_after_the_last_good_look_is_not_known_while_looks_fail() {
    let failing = Known { failing: true, ..known(Some(10.0), Some(12.5)) };
    let day = today(&failing, &[stay("a", 9.0, None)], &[], 12.0);
    assert_eq!((day.inside.total_ms(), day.unknown.total_ms()), (HOUR, 2 * HOUR));
    let just_now = today(&failing, &[], &[], 10.05);
    assert_eq!(just_now.unknown.total_ms(), 0, "one failure is made good for soon");
}

#[test]
fn a_closed_window_is_no_unknown_time_even_before_its_gap_is_written() {
    let window = crate::policy::window::Window {
        days: [true; 7],
        from_minute: 8 * 60,
        to_minute: 18 * 60,
        time_zone: chrono_tz::Asia::Shanghai,
    };
    let open = OpenTime::new(Some(vec![window]), Vec::new());
    let known = known(Some(17.0), Some(32.0));
    let shut = closed_since(&known, &open, at(22.0));
    assert_eq!(shut, [(at(18.0).as_ms(), at(22.0).as_ms())]);
    let day = |next_poll: f64| {
        let known = Known { next_poll: Some(at(next_poll)), ..known.clone() };
        Timeline::of(&known, &[], &[], &shut, at(22.0)).day((at(0.0), at(24.0)), at(22.0))
    };
    assert_eq!((day(32.0).closed.total_ms(), day(32.0).unknown.total_ms()), (4 * HOUR, 0));
    assert_eq!((day(17.5).closed.total_ms(), day(17.5).unknown.total_ms()), (4 * HOUR, HOUR));
}

#[test]
fn before_anybody_looked_nothing_is_known() {
    let mut new = known(Some(12.0), Some(12.5));
    new.first = Some(at(6.0));
    assert_eq!(today(&new, &[], &[], 12.0).unknown.total_ms(), 6 * HOUR);
    let never = Known { last_ok: None, first: None, ..new };
    assert_eq!(today(&never, &[], &[], 12.0).unknown.total_ms(), 12 * HOUR);
}

#[test]
fn a_stay_over_midnight_is_in_both_days() {
    let known = known(Some(30.0), Some(30.5));
    let person = Timeline::of(&known, &[stay("a", 22.0, Some(25.0))], &[], &[], at(30.0));
    let first = person.day((at(0.0), at(24.0)), at(30.0));
    let second = person.day((at(24.0), at(48.0)), at(30.0));
    assert_eq!((first.inside.total_ms(), second.inside.total_ms()), (2 * HOUR, HOUR));
    assert_eq!((first.meetings.len(), second.meetings.len()), (1, 1));
}

#[test]
fn a_row_fits_80_columns() {
    let zone = chrono_tz::Asia::Shanghai;
    let printer = super::super::output::Printer {
        format: super::super::OutputFormat::Table,
        time_zone: zone,
        ..super::super::output::Printer::default()
    };
    let known = Known { name: "Maximilian Müller-Lüdenscheidt".into(), ..known(Some(20.0), Some(20.5)) };
    let gaps = [gap(None, 0.0, 8.0, "window closed"), gap(None, 15.0, 17.0, "throttled")];
    let day = today(&known, &[stay("a", 9.0, Some(11.5))], &gaps, 20.0);
    let row = row(local_day(at(1.0), zone), &known, &day, (at(0.0), at(24.0)));
    insta::assert_snapshot!(anstream::adapter::strip_str(&printer.render(COLUMNS, &[row])).to_string());
}

#[test]
fn days_are_the_readers() {
    let zone = chrono_tz::Asia::Shanghai;
    let args = |since: Option<&str>, until: Option<&str>, month| Args {
        who: None,
        only: FilterArgs::default(),
        total: false,
        week: false,
        month,
        since: since.map(str::to_owned),
        until: until.map(str::to_owned),
    };
    let days = |args: Args| requested_days(&args, at(12.0), zone);
    let week = days(args(None, None, false)).unwrap();
    assert_eq!((week.len(), week[6].to_string()), (7, "2026-11-23".to_owned()));
    assert_eq!(days(args(None, None, true)).unwrap().len(), 30);
    let two = days(args(Some("2026-11-20"), Some("2026-11-21"), false)).unwrap();
    assert_eq!((two.len(), two[1].to_string()), (2, "2026-11-21".to_owned()));
    assert!(days(args(Some("2020-01-01"), None, false)).is_err());
}
