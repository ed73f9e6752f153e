//! Sweeps: what they may change, how a later look mends it, and which lies change nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::presence::glance::{self, Gone, Says, Seats, Sweep};
use crate::presence::sweep;

/// A sweep of everything: the statuses of this person, in a world where `a` and `b` go on.
fn sweep(seconds: i64, seats: &[(&str, i64)]) -> (Sweep, Seats) {
    let id = |name: &str| ConferenceId::parse(name).unwrap();
    let seats: Seats = seats.iter().map(|(name, code)| (id(name), AttendStatus::from(*code))).collect();
    let sweep = Sweep {
        asked_at: at(seconds),
        observed_at: at(seconds),
        asked: None,
        meetings: BTreeSet::from([id("a"), id("b")]),
        seats: BTreeMap::new(),
    };
    (sweep, seats)
}

impl Watch {
    fn sweep(&mut self, seconds: i64, seats: &[(&str, i64)]) -> Outcome {
        let (sweep, seats) = sweep(seconds, seats);
        self.glance(&sweep, &seats)
    }

    fn glance(&mut self, sweep: &Sweep, seats: &Seats) -> Outcome {
        let glance = sweep.about(Some(seats));
        let outcome = sweep::observe(&self.belief, &glance, &self.card, SOURCE, &self.rules);
        self.take(outcome)
    }

    fn says(&self, seconds: i64, seats: &[(&str, i64)]) -> Vec<Says> {
        let (sweep, seats) = sweep(seconds, seats);
        glance::says(&self.belief, &sweep.about(Some(&seats))).into_iter().map(|(_, says)| says).collect()
    }
}

#[test]
fn a_join_needs_two_sweeps_and_is_told_at_the_first() {
    let mut watch = Watch::idle();
    assert!(watch.sweep(400, &[]).events.is_empty());
    let seen = watch.sweep(700, &[("a", 3)]);
    assert!(seen.events.is_empty() && seen.confirm);
    assert_eq!(watch.belief.presence(), Presence::Outside);
    let seen = watch.sweep(730, &[("a", 3)]);
    assert_eq!(words(&seen), "joined presence=true");
    assert_eq!(timing(&seen.events[0]), "700 observed (400, 700]");
    assert_eq!(flags(&seen.events[0]), "by_sweep");
    assert_eq!(flags(&seen.events[1]), "by_sweep");
    assert!(watch.sweep(1000, &[("a", 3)]).events.is_empty());
}

#[test]
fn one_sweep_that_sees_somebody_says_nothing() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    assert!(watch.sweep(1000, &[]).events.is_empty());
    let seen = watch.sweep(1300, &[("a", 3)]);
    assert!(seen.events.is_empty() && seen.confirm, "the count begins anew");
}

#[test]
fn a_leave_needs_the_misses_it_always_needs() {
    let mut watch = Watch::inside();
    watch.sweep(500, &[("a", 3)]);
    let seen = watch.sweep(800, &[]);
    assert!(seen.events.is_empty() && seen.confirm);
    assert!(!watch.belief.settled(), "the next look is not taken for one that says nothing new");
    let seen = watch.sweep(830, &[]);
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "800 observed (500, 800]");
    assert_eq!(flags(&seen.events[0]), "by_sweep");
}

#[test]
fn a_status_tells_why() {
    for (code, word) in [(6, "left(left)"), (5, "left(removed)")] {
        let mut watch = Watch::inside();
        watch.sweep(800, &[("a", code)]);
        assert_eq!(words(&watch.sweep(830, &[("a", code)])), format!("{word} presence=false"));
    }
}

#[test]
fn a_miss_and_one_look_are_enough() {
    let mut watch = Watch::inside();
    watch.sweep(500, &[("a", 3)]);
    watch.sweep(800, &[]);
    let seen = watch.look(830, &[]);
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "800 inferred (500, 800]");
}

#[test]
fn a_meeting_in_which_no_sweep_saw_them_is_none_it_can_miss() {
    let mut watch = Watch::inside();
    for seconds in [500, 800, 1100] {
        assert!(watch.sweep(seconds, &[]).events.is_empty());
    }
    assert_eq!(watch.belief.presence(), Presence::Inside);
}

#[test]
fn who_is_known_to_sweeps_is_missed_in_every_meeting_that_they_have_shown() {
    let shown = |name: &str| BTreeMap::from([(ConferenceId::parse(name).unwrap(), at(300))]);
    for (meeting, told) in [("a", "left(vanished) presence=false"), ("b", "")] {
        let mut watch = Watch::inside();
        let shown = shown(meeting);
        let mut seen = Outcome::default();
        for seconds in [800, 830] {
            let (sweep, seats) = sweep(seconds, &[]);
            let glance = sweep.about(Some(&seats)).known_to_sweeps(&shown);
            seen = sweep::observe(&watch.belief, &glance, &watch.card, SOURCE, &watch.rules);
            seen = watch.take(seen);
        }
        assert_eq!(words(&seen), told, "{meeting}");
    }
}

#[test]
fn a_later_look_tells_the_time_of_the_join() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    let joined = watch.sweep(730, &[("a", 3)]).events[0].clone();
    let seen = watch.look(900, &[active("a", 640)]);
    assert_eq!(words(&seen), "corrected");
    assert_eq!(seen.events[0].data.supersedes.as_ref(), Some(&joined.id));
    assert_eq!(timing(&seen.events[0]), "640 reported (640, 640]");
    assert_eq!(seen.visits[0].joined, at(640));
}

#[test]
fn a_later_look_tells_both_times_of_a_stay_that_is_over() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    watch.sweep(730, &[("a", 3)]);
    watch.sweep(1200, &[("a", 6)]);
    watch.sweep(1230, &[("a", 6)]);
    let seen = watch.look(1300, &[gone("a", 6, 640, 1111)]);
    assert_eq!(words(&seen), "corrected corrected");
    let changes: Vec<_> = seen.events.iter().map(|event| event.data.changes.unwrap()).collect();
    assert_eq!(changes[0].joined_at.unwrap().to.0, at(640));
    assert_eq!(changes[1].left_at.unwrap().to.0, at(1111));
    assert_eq!(seen.visits.len(), 1);
    assert_eq!((seen.visits[0].joined, seen.visits[0].end.unwrap().at), (at(640), at(1111)));
    assert!(watch.look(1400, &[gone("a", 6, 640, 1111)]).events.is_empty());
}

#[test]
fn a_look_that_tells_of_the_next_stay_ends_this_one_before_it() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    watch.sweep(730, &[("a", 3)]);
    watch.sweep(1200, &[("a", 6)]);
    watch.sweep(1230, &[("a", 6)]);
    let seen = watch.look(1300, &[gone("a", 6, 1000, 1100)]);
    assert_eq!(words(&seen), "joined left(left) corrected");
    assert_eq!(seen.visits.len(), 2);
    let ends: Vec<_> = seen.visits.iter().map(|visit| visit.end.unwrap().at).collect();
    assert_eq!(ends, [at(1000), at(1100)]);
}

#[test]
fn soon_after_a_look_a_sweep_is_only_a_reason_to_look() {
    let watch = Watch::inside();
    let missed = |seconds| watch.says(seconds, &[("a", 6)]);
    assert_eq!(missed(9), [], "older than the look");
    assert_eq!(missed(300), [Says::Odd]);
    assert_eq!(missed(371), [Says::Left(Gone::Left)]);
    assert_eq!(watch.says(300, &[("b", 3)]), [Says::StillInside, Says::Odd][1..], "a second meeting");
}

#[test]
fn nobody_is_swept_who_was_never_looked_at() {
    let mut watch = Watch::new(EMIT);
    assert_eq!(watch.says(700, &[("a", 3)]), [Says::Odd]);
    watch.sweep(700, &[("a", 3)]);
    assert!(watch.sweep(730, &[("a", 3)]).events.is_empty());
    assert_eq!(watch.belief, Belief::default());
}

#[test]
fn after_an_interruption_a_look_comes_first() {
    let mut watch = Watch::inside();
    watch.interrupt(20, 400);
    assert_eq!(watch.says(700, &[("a", 6)]), [Says::Odd]);
    assert!(watch.sweep(700, &[("a", 6)]).events.is_empty());
}

/// How a sweep lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// It does not.
    None,
    /// It misses the person, once.
    Missing,
    /// It puts the person into `b`, once.
    WronglyInside,
    /// It says that somebody inside has left, once.
    WronglyLeft,
    /// Five minutes old.
    Stale,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Look,
    Sweep(Lie),
}

/// One person's true stays, one after another: (meeting, from, to) in seconds.
#[derive(Clone, Debug)]
struct World {
    stays: Vec<(&'static str, i64, i64)>,
    /// Who left stays listed.
    leavers_listed: bool,
}

impl World {
    fn seats(&self, seconds: i64) -> Vec<(&'static str, i64)> {
        let mut seats: BTreeMap<&str, i64> = BTreeMap::new();
        for (name, _, to) in self.stays.iter().filter(|(_, from, _)| *from <= seconds) {
            if seconds < *to {
                seats.insert(name, 3);
            } else if self.leavers_listed {
                seats.insert(name, 6);
            } else {
                seats.remove(name);
            }
        }
        seats.into_iter().collect()
    }

    fn records(&self, seconds: i64) -> Vec<Attendance> {
        let mut records: BTreeMap<&str, Option<Attendance>> = BTreeMap::new();
        for (name, from, to) in self.stays.iter().filter(|(_, from, _)| *from <= seconds) {
            let over = self.leavers_listed.then(|| gone(name, 6, *from, *to));
            records.insert(name, if seconds < *to { Some(active(name, *from)) } else { over });
        }
        records.into_values().flatten().collect()
    }

    /// Whether the person was inside `name` at some instant of `(from, to]`, or outside it.
    fn ever(&self, inside: bool, name: &str, from: i64, to: i64) -> bool {
        let here =
            |second: i64| self.stays.iter().any(|(at, a, b)| *at == name && *a <= second && second < *b);
        // It turns only at these.
        let turns =
            self.stays.iter().flat_map(|(_, a, b)| [*a, *b]).filter(|turn| from < *turn && *turn <= to);
        turns.chain([from + 1]).any(|second| here(second) == inside)
    }
}

fn world() -> impl Strategy<Value = World> {
    let stay = (any::<bool>(), 1_i64..40, 1_i64..60);
    (vec(stay, 0..6), any::<bool>()).prop_map(|(raw, leavers_listed)| {
        let mut now = 0;
        let mut stays = Vec::new();
        for (other, gap, length) in raw {
            let from = now + gap * 30;
            now = from + length * 30;
            stays.push((if other { "b" } else { "a" }, from, now));
        }
        World { stays, leavers_listed }
    })
}

fn acts(lies: bool) -> impl Strategy<Value = Vec<(i64, Act)>> {
    let lie = prop_oneof![
        6 => Just(Lie::None),
        1 => Just(Lie::Missing),
        1 => Just(Lie::WronglyInside),
        1 => Just(Lie::WronglyLeft),
        3 => Just(Lie::Stale),
    ];
    let lie = lie.prop_map(move |lie| if lies { lie } else { Lie::None });
    let act = prop_oneof![1 => Just(Act::Look), 5 => lie.prop_map(Act::Sweep)];
    vec((7_i64..400, act), 1..40)
}

/// Plays a day as the daemon would: what is odd is looked at, what needs confirming is asked again half a minute later.
/// A lie that is told once is not told again by the very next sweep.
fn play(world: &World, acts: &[(i64, Act)], mut each: impl FnMut(&Outcome)) -> Watch {
    let mut watch = Watch::new(Rules { leave_after_misses: 2, first_poll_silent: false });
    let mut seconds = -10_000;
    each(&watch.look(seconds, &[]));
    seconds = 0;
    let mut lied = false;
    let look = |watch: &mut Watch, seconds: i64, each: &mut dyn FnMut(&Outcome)| {
        // A vanished entry is asked for again, as for every look.
        for again in 0..3 {
            let outcome = watch.look(seconds + again, &world.records(seconds + again));
            each(&outcome);
            if !outcome.confirm {
                break;
            }
        }
    };
    let last = acts.len() - 1;
    for (index, (wait, act)) in acts.iter().enumerate() {
        seconds += wait;
        let lie = match act {
            Act::Sweep(lie) if index != last => *lie,
            _ => Lie::None,
        };
        let lie = if lied && lie != Lie::Stale { Lie::None } else { lie };
        lied = !matches!(lie, Lie::None | Lie::Stale);
        if matches!(act, Act::Look) || index == last {
            look(&mut watch, seconds, &mut each);
            continue;
        }
        let mut seats = world.seats(if lie == Lie::Stale { seconds - 300 } else { seconds });
        match lie {
            Lie::None | Lie::Stale => {}
            Lie::Missing => seats.clear(),
            Lie::WronglyInside => {
                seats.retain(|(name, _)| *name != "b");
                seats.push(("b", 3));
            }
            Lie::WronglyLeft => seats.iter_mut().for_each(|(_, code)| *code = 6),
        }
        if watch.says(seconds, &seats).contains(&Says::Odd) {
            look(&mut watch, seconds + 1, &mut each);
            seconds += 5;
            continue;
        }
        let outcome = watch.sweep(seconds, &seats);
        let confirm = outcome.confirm;
        each(&outcome);
        if confirm {
            seconds += 30;
            let honest = world.seats(if lie == Lie::Stale { seconds - 300 } else { seconds });
            lied = false;
            if watch.says(seconds, &honest).contains(&Says::Odd) {
                look(&mut watch, seconds + 1, &mut each);
                seconds += 5;
            } else {
                each(&watch.sweep(seconds, &honest));
            }
        }
    }
    watch
}

fn second_of(time: Timestamp) -> i64 {
    (time.as_ms() - at(0).as_ms()) / 1000
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn no_lie_invents_or_loses_a_join_or_a_left(world in world(), acts in acts(true)) {
        let mut receiver = properties::Receiver::default();
        let (mut told, mut rows) = (BTreeMap::<String, usize>::new(), BTreeMap::new());
        let mut now = 0;
        let watch = play(&world, &acts, |outcome| {
            for event in &outcome.events {
                receiver.receive(event, &BTreeSet::new());
                let data = &event.data;
                let name = event.conference_id.as_ref().map_or("", |id| id.as_str());
                now = now.max(second_of(data.timing.observed_at.0));
                // A lie that the very next sweep finds come true is told with the time of the lie.
                let window = (data.timing.earliest.map_or(-10_000, |time| second_of(time.0)), now);
                let by_sweep = data.flags.contains(&crate::presence::data::Flag::BySweep);
                match event.event_type {
                    EventType::ParticipantJoined => {
                        *told.entry(name.to_owned()).or_default() += 1;
                        let begun = world.stays.iter().filter(|(at, from, _)| *at == name && *from <= now).count();
                        assert!(told[name] <= begun, "a join too many: {event:?}");
                        assert!(!by_sweep || world.ever(true, name, window.0 - 300, window.1), "never inside: {event:?}");
                    }
                    EventType::ParticipantLeft => {
                        assert!(!by_sweep || world.ever(false, name, window.0 - 300, window.1), "never outside: {event:?}");
                    }
                    _ => {}
                }
            }
            for visit in &outcome.visits {
                rows.insert(visit.id.clone(), visit.clone());
            }
            let believed: BTreeSet<_> = outcome.belief.open_visits().map(|visit| visit.id.clone()).collect();
            assert_eq!(&believed, &receiver.open, "replaying the events gives the current state");
            let stored: BTreeSet<_> =
                rows.values().filter(|visit| visit.end.is_none()).map(|visit| visit.id.clone()).collect();
            assert_eq!(&stored, &believed, "the history's rows agree");
        });
        let json = serde_json::to_string(&watch.belief).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Belief>(&json).unwrap(), &watch.belief);
        // The last act is a look: nothing of the truth is lost.
        let seconds = second_of(watch.belief.last_look().unwrap());
        let truly: Vec<&str> = world.stays.iter()
            .filter(|(_, from, to)| *from <= seconds && seconds < *to).map(|(name, ..)| *name).collect();
        let believed: Vec<&str> = watch.belief.inside().map(ConferenceId::as_str).collect();
        prop_assert_eq!(believed, truly);
        // No two stays of one meeting overlap, whatever was mended.
        for name in ["a", "b"] {
            let mut spans: Vec<_> = rows.values().filter(|visit| visit.conference_id.as_str() == name)
                .map(|visit| (visit.joined, visit.end.map_or(at(1_000_000), |end| end.at))).collect();
            spans.sort_unstable();
            prop_assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{:?}", rows);
        }
    }

    #[test]
    fn the_same_sweeps_give_the_same_events(world in world(), acts in acts(false)) {
        let run = || {
            let mut events = Vec::new();
            play(&world, &acts, |outcome| events.extend(outcome.events.clone()));
            events
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn the_margin_outlasts_the_oldest_picture_that_is_tested() {
    assert!(glance::OUTRANKED_FOR > Duration::from_mins(5));
}

#[test]
fn a_look_ends_a_stay_that_never_was_once_it_is_missed_often_enough() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    assert_eq!(words(&watch.sweep(730, &[("a", 3)])), "joined presence=true");
    let seen = watch.look(900, &[]);
    assert!(seen.events.is_empty() && seen.confirm, "one look that lists nothing is not enough");
    let seen = watch.look(960, &[]);
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "900 inferred (730, 900]");
    assert!(watch.look(1020, &[]).events.is_empty());
}

#[test]
fn a_record_of_an_earlier_stay_ends_one_that_never_was_at_once() {
    let mut watch = Watch::idle();
    watch.look(100, &[active("a", 90)]);
    watch.look(200, &[gone("a", 6, 90, 190)]);
    watch.sweep(700, &[("a", 3)]);
    assert_eq!(words(&watch.sweep(730, &[("a", 3)])), "joined presence=true");
    let seen = watch.look(900, &[gone("a", 6, 90, 190)]);
    assert_eq!(words(&seen), "left(left) presence=false");
    assert_eq!(timing(&seen.events[0]), "900 observed (730, 900]");
    assert_eq!(flags(&seen.events[0]), "leave_time_implausible");
    assert!(watch.look(960, &[gone("a", 6, 90, 190)]).events.is_empty());
}
