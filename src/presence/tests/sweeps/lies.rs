//! Days made up by chance, swept by honest and by lying sweeps: which lies change nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::presence::tests::properties::Receiver;

#[test]
fn the_margin_outlasts_the_oldest_picture_that_is_tested() {
    assert!(glance::OUTRANKED_FOR > Duration::from_mins(5));
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..crate::testing::cases() })]

    #[test]
    fn no_lie_invents_or_loses_a_join_or_a_left(world in world(), acts in acts(true)) {
        let mut receiver = Receiver::default();
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
