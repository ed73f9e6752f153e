//! Random days with correct and with wrong sweeps: no wrong sweep may add or lose an event.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::presence::tests::properties::Receiver;

#[test]
fn the_precedence_is_longer_than_the_age_of_stale_sweeps() {
    assert!(sweep_view::POLL_PRECEDENCE > Duration::from_mins(5));
}

/// How a sweep is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The sweep is correct.
    None,
    /// The sweep misses the user, once.
    Missing,
    /// The sweep reports the user inside `b`, once.
    WronglyInside,
    /// The sweep reports that the user has left, once.
    WronglyLeft,
    /// The sweep is five minutes old.
    Stale,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Poll,
    Sweep(Fault),
}

/// One user's true visits in order: (meeting, from, to) in seconds.
#[derive(Clone, Debug)]
struct World {
    visits: Vec<(&'static str, i64, i64)>,
    /// Users who left are still listed.
    leavers_listed: bool,
}

impl World {
    fn statuses(&self, seconds: i64) -> Vec<(&'static str, i64)> {
        let mut statuses: BTreeMap<&str, i64> = BTreeMap::new();
        for (name, _, to) in self.visits.iter().filter(|(_, from, _)| *from <= seconds) {
            if seconds < *to {
                statuses.insert(name, 3);
            } else if self.leavers_listed {
                statuses.insert(name, 6);
            } else {
                statuses.remove(name);
            }
        }
        statuses.into_iter().collect()
    }

    fn records(&self, seconds: i64) -> Vec<Attendance> {
        let mut records: BTreeMap<&str, Option<Attendance>> = BTreeMap::new();
        for (name, from, to) in self.visits.iter().filter(|(_, from, _)| *from <= seconds) {
            let over = self.leavers_listed.then(|| gone(name, 6, *from, *to));
            records.insert(name, if seconds < *to { Some(active(name, *from)) } else { over });
        }
        records.into_values().flatten().collect()
    }

    /// Whether the user was inside `name` at some time in `(from, to]`, or outside it if `inside` is false.
    fn ever(&self, inside: bool, name: &str, from: i64, to: i64) -> bool {
        let here =
            |second: i64| self.visits.iter().any(|(at, a, b)| *at == name && *a <= second && second < *b);
        // It changes only at these times.
        let changes = self
            .visits
            .iter()
            .flat_map(|(_, a, b)| [*a, *b])
            .filter(|change| from < *change && *change <= to);
        changes.chain([from + 1]).any(|second| here(second) == inside)
    }
}

fn world() -> impl Strategy<Value = World> {
    let visit = (any::<bool>(), 1_i64..40, 1_i64..60);
    (vec(visit, 0..6), any::<bool>()).prop_map(|(raw, leavers_listed)| {
        let mut now = 0;
        let mut visits = Vec::new();
        for (other, gap, length) in raw {
            let from = now + gap * 30;
            now = from + length * 30;
            visits.push((if other { "b" } else { "a" }, from, now));
        }
        World { visits, leavers_listed }
    })
}

fn acts(faulty: bool) -> impl Strategy<Value = Vec<(i64, Act)>> {
    let fault = prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Missing),
        1 => Just(Fault::WronglyInside),
        1 => Just(Fault::WronglyLeft),
        3 => Just(Fault::Stale),
    ];
    let fault = fault.prop_map(move |fault| if faulty { fault } else { Fault::None });
    let act = prop_oneof![1 => Just(Act::Poll), 5 => fault.prop_map(Act::Sweep)];
    vec((7_i64..400, act), 1..40)
}

/// Plays a day as the daemon would: a contradiction leads to a poll, a difference to a recheck half a minute later.
/// Two sweeps in a row are never wrong in the same way, except stale ones.
fn play(world: &World, acts: &[(i64, Act)], mut each: impl FnMut(&Transition)) -> TestUser {
    let mut user = TestUser::new(DiffRules { leave_after_misses: 2, first_poll_silent: false });
    let mut seconds = -10_000;
    each(&user.poll(seconds, &[]));
    seconds = 0;
    let mut was_wrong = false;
    let poll = |user: &mut TestUser, seconds: i64, each: &mut dyn FnMut(&Transition)| {
        // A vanished entry is polled again, as after every poll.
        for recheck in 0..3 {
            let transition = user.poll(seconds + recheck, &world.records(seconds + recheck));
            each(&transition);
            if !transition.needs_recheck {
                break;
            }
        }
    };
    let last = acts.len() - 1;
    for (index, (wait, act)) in acts.iter().enumerate() {
        seconds += wait;
        let fault = match act {
            Act::Sweep(fault) if index != last => *fault,
            _ => Fault::None,
        };
        let fault = if was_wrong && fault != Fault::Stale { Fault::None } else { fault };
        was_wrong = !matches!(fault, Fault::None | Fault::Stale);
        if matches!(act, Act::Poll) || index == last {
            poll(&mut user, seconds, &mut each);
            continue;
        }
        let mut statuses = world.statuses(if fault == Fault::Stale { seconds - 300 } else { seconds });
        match fault {
            Fault::None | Fault::Stale => {}
            Fault::Missing => statuses.clear(),
            Fault::WronglyInside => {
                statuses.retain(|(name, _)| *name != "b");
                statuses.push(("b", 3));
            }
            Fault::WronglyLeft => statuses.iter_mut().for_each(|(_, code)| *code = 6),
        }
        if user.changes(seconds, &statuses).contains(&SweepChange::NeedsPoll) {
            poll(&mut user, seconds + 1, &mut each);
            seconds += 5;
            continue;
        }
        let transition = user.sweep(seconds, &statuses);
        let needs_recheck = transition.needs_recheck;
        each(&transition);
        if needs_recheck {
            seconds += 30;
            let correct = world.statuses(if fault == Fault::Stale { seconds - 300 } else { seconds });
            was_wrong = false;
            if user.changes(seconds, &correct).contains(&SweepChange::NeedsPoll) {
                poll(&mut user, seconds + 1, &mut each);
                seconds += 5;
            } else {
                each(&user.sweep(seconds, &correct));
            }
        }
    }
    user
}

fn second_of(time: Timestamp) -> i64 {
    (time.as_ms() - at(0).as_ms()) / 1000
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..crate::testing::cases() })]

    #[test]
    fn no_wrong_sweep_adds_or_loses_a_join_or_a_left(world in world(), acts in acts(true)) {
        let mut receiver = Receiver::default();
        let (mut joins, mut rows) = (BTreeMap::<String, usize>::new(), BTreeMap::new());
        let mut now = 0;
        let user = play(&world, &acts, |transition| {
            for event in &transition.events {
                receiver.receive(event, &BTreeSet::new());
                let data = &event.data;
                let name = event.conference_id.as_ref().map_or("", |id| id.as_str());
                now = now.max(second_of(data.timing.observed_at.0));
                // If the next sweep reports the same and is correct, the event has the time of the wrong sweep.
                let window = (data.timing.earliest.map_or(-10_000, |time| second_of(time.0)), now);
                let by_sweep = data.flags.contains(&crate::presence::data::Flag::BySweep);
                match event.event_type {
                    EventType::ParticipantJoined => {
                        *joins.entry(name.to_owned()).or_default() += 1;
                        let begun = world.visits.iter().filter(|(at, from, _)| *at == name && *from <= now).count();
                        assert!(joins[name] <= begun, "one join too many: {event:?}");
                        assert!(!by_sweep || world.ever(true, name, window.0 - 300, window.1), "never inside: {event:?}");
                    }
                    EventType::ParticipantLeft => {
                        assert!(!by_sweep || world.ever(false, name, window.0 - 300, window.1), "never outside: {event:?}");
                    }
                    _ => {}
                }
            }
            for visit in &transition.visits {
                rows.insert(visit.id.clone(), visit.clone());
            }
            let open: BTreeSet<_> = transition.state.open_visits().map(|visit| visit.id.clone()).collect();
            assert_eq!(&open, &receiver.open, "replaying the events gives the current state");
            let stored: BTreeSet<_> =
                rows.values().filter(|visit| visit.end.is_none()).map(|visit| visit.id.clone()).collect();
            assert_eq!(&stored, &open, "the history's rows agree");
        });
        let json = serde_json::to_string(&user.state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<UserState>(&json).unwrap(), &user.state);
        // The last act is a poll, so the state equals the truth.
        let seconds = second_of(user.state.last_poll().unwrap());
        let truly: Vec<&str> = world.visits.iter()
            .filter(|(_, from, to)| *from <= seconds && seconds < *to).map(|(name, ..)| *name).collect();
        let open: Vec<&str> = user.state.inside().map(ConferenceId::as_str).collect();
        prop_assert_eq!(open, truly);
        // No two visits of one meeting overlap, whatever was corrected.
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
            play(&world, &acts, |transition| events.extend(transition.events.clone()));
            events
        };
        prop_assert_eq!(run(), run());
    }
}
