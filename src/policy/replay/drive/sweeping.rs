//! Sweeps in a replay: what they cost, what they show, when they come.
//!
//! Guards: a sweep shows the organisation's own meetings only; what it changes is asked again half a minute later, and
//! paid for; when it loses more than half, a look is paid for too. Deliberately not here: when a sweep is worth its
//! calls (`policy::sweep`).

use std::collections::{BTreeMap, BTreeSet};

use super::{DAY_MS, Drive};
use crate::policy::civil;
use crate::policy::pace::Visit;
use crate::policy::replay::{Scene, Sweeping};
use crate::policy::sweep::calls_of;
use crate::policy::sweep::economy::{self, Plan};
use crate::policy::sweep::profile::Profile;
use crate::policy::sweep::trust::{Finding, Trust};
use crate::policy::sweep::verdict::{self, Change};
use crate::time::Timestamp;

const MINUTE_MS: i64 = 60_000;
/// A plan is made anew so often.
const REPLAN_MS: i64 = 30 * MINUTE_MS;
/// What a sweep costs before any was made: a page, a batch, and asking again.
const COST: f64 = 3.0;
/// Of the calls there are, so much is planned: asking again costs now more, now less.
const AIM: f64 = 0.98;

/// What sweeping knows and has spent.
pub(super) struct Sweeper {
    every_ms: Option<i64>,
    profile: Profile,
    /// Who is believed inside which own meeting.
    inside: BTreeMap<u32, u64>,
    /// The part of the calls that is for single looks.
    pub(super) looks: f64,
    /// Calls of sweeps this month.
    pub(super) used: u64,
    cost: f64,
    last: Option<i64>,
    plan: Plan,
    /// The plan's minute 0, and until when it stands.
    plan_from: i64,
    plan_until: i64,
}

/// What the visits before `from` would have taught about sweeps.
pub(in crate::policy::replay) fn earned(scene: &Scene, from: Timestamp) -> Trust {
    let mut trust = Trust::default();
    for visit in known(scene, from) {
        let foreign = scene.foreign.contains(&visit.conference);
        trust.note(visit.person, if foreign { Finding::Unseen } else { Finding::Agrees });
    }
    trust
}

fn known(scene: &Scene, from: Timestamp) -> Vec<&Visit> {
    let mut known: Vec<&Visit> = scene.visits.iter().filter(|visit| visit.joined < from).collect();
    known.sort_by_key(|visit| visit.joined);
    known
}

/// Whether and how this scene is swept: only if the warm-up earned trust.
pub(super) fn sweeper(scene: &Scene, from: Timestamp) -> Option<Sweeper> {
    let every_ms = match scene.sweep {
        Sweeping::Off => return None,
        Sweeping::Auto => None,
        Sweeping::Every(interval) => Some(crate::time::duration_ms(interval).max(MINUTE_MS)),
    };
    let trust = earned(scene, from);
    if !trust.is_earned() {
        return None;
    }
    let mut sweeper = Sweeper {
        every_ms,
        profile: Profile::default(),
        inside: BTreeMap::new(),
        looks: economy::share_of_looks(1.0 - trust.coverage_of_all()),
        used: 0,
        cost: COST,
        last: None,
        plan: Plan::default(),
        plan_from: 0,
        plan_until: i64::MIN,
    };
    sweeper.learn(scene, &known(scene, from), from);
    Some(sweeper)
}

impl Sweeper {
    /// The history before the counted days.
    fn learn(&mut self, scene: &Scene, known: &[&Visit], until: Timestamp) {
        let mut turns: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for visit in known.iter().filter(|visit| !scene.foreign.contains(&visit.conference)) {
            for at in [Some(visit.joined), visit.left.filter(|left| *left < until)].into_iter().flatten() {
                let (day, minute) = wall(scene, at.as_ms());
                turns.entry(day).or_default().push(minute);
            }
        }
        let (Some(first), (last, _)) = (turns.keys().next().copied(), wall(scene, until.as_ms())) else {
            return;
        };
        for day in first..last {
            self.profile.day(day);
            for minute in turns.get(&day).into_iter().flatten() {
                self.profile.note(*minute, minute + 1);
            }
        }
    }
}

/// Local day and minute.
fn wall(scene: &Scene, at: i64) -> (i32, usize) {
    let local = at + civil::offset_ms(Timestamp::from_ms(at), scene.settings.time_zone);
    let day = i32::try_from(local.div_euclid(DAY_MS)).unwrap_or(i32::MAX);
    (day, usize::try_from(local.rem_euclid(DAY_MS) / MINUTE_MS).unwrap_or(0))
}

impl Drive<'_> {
    /// Whether a sweep shows this person inside: who is, needs no look.
    pub(super) fn is_swept_inside(&self, person: u32) -> bool {
        self.sweeper.as_ref().is_some_and(|sweeper| sweeper.inside.contains_key(&person))
    }

    /// A sweep now. Gives back when the next is due.
    pub(super) fn sweep(&mut self, at: i64) -> i64 {
        let Some(mut sweeper) = self.sweeper.take() else { return i64::MAX };
        let next = self.swept(&mut sweeper, at);
        self.sweeper = Some(sweeper);
        next.max(at + 1)
    }

    fn swept(&mut self, sweeper: &mut Sweeper, at: i64) -> i64 {
        let Some((opens, closes)) =
            self.hours.iter().filter_map(|hours| hours.span_at(at)).max_by_key(|span| span.1)
        else {
            return self.hours.iter().filter_map(|hours| hours.open_from(at)).min().unwrap_or(i64::MAX);
        };
        let left = self.allowance.calls.unwrap_or(0).saturating_sub(self.allowance.used);
        // Over night everything changed: the first sweep of a day is one at its opening.
        let first = sweeper.last.is_none_or(|last| last < opens);
        let due = first || sweeper.plan_until > at || sweeper.every_ms.is_some();
        let cost = calls_of(self.meetings(at));
        if due && left > cost + 1 {
            self.make(sweeper, at, cost);
        }
        if let Some(every_ms) = sweeper.every_ms {
            return at + every_ms;
        }
        if sweeper.plan_until <= at || first {
            self.replan(sweeper, at, closes);
        }
        let minute = usize::try_from((at - sweeper.plan_from) / MINUTE_MS).unwrap_or(0);
        let Some(next) = sweeper.plan.after(minute) else {
            sweeper.plan_until = i64::MIN;
            return closes;
        };
        let next = sweeper.plan_from + i64::try_from(next).unwrap_or(0) * MINUTE_MS;
        // What was planned goes through even if the plan is made anew after it.
        if sweeper.plan_until <= next {
            sweeper.plan_until = next + 1;
        }
        next
    }

    fn replan(&self, sweeper: &mut Sweeper, at: i64, closes: i64) {
        let (day, minute) = wall(self.scene, at);
        sweeper.profile.day(day);
        let expected = sweeper.profile.expected(day);
        let minutes = usize::try_from((closes - at) / MINUTE_MS).unwrap_or(0).min(1440);
        let changes: Vec<f64> = (minute..minute + minutes).map(|minute| expected[minute % 1440]).collect();
        let until = self.allowance.until.as_ms();
        let share = self.open_ms(at, closes.min(until)) / self.open_ms(at, until).max(1.0);
        let all = self.allowance.calls.unwrap_or(0) as f64 * (1.0 - sweeper.looks) - sweeper.used as f64;
        sweeper.plan = economy::plan(&changes, sweeper.cost, AIM * all.max(0.0) * share);
        sweeper.plan_from = at;
        sweeper.plan_until = at + REPLAN_MS;
    }

    fn make(&mut self, sweeper: &mut Sweeper, at: i64, cost: u64) {
        let since = sweeper.last.replace(at);
        let now = self.own_inside(at);
        let people: BTreeSet<u32> = now.keys().chain(sweeper.inside.keys()).copied().collect();
        let mut changes = Vec::new();
        let mut meetings = BTreeSet::<u64>::new();
        for person in &people {
            let (was, is) = (sweeper.inside.get(person), now.get(person));
            if was != is {
                changes.push((*person, if is.is_some() { Change::Joins } else { Change::Leaves }));
                meetings.extend(was.into_iter().chain(is));
            }
        }
        let verdict = verdict::judge(true, sweeper.inside.len(), &changes);
        let looked = (verdict.first.len() + verdict.looks.len()) as u64;
        let asked =
            if verdict.looks.is_empty() { verdict::calls_to_confirm(meetings.len() as u64) } else { 0 };
        self.spend(sweeper, cost + looked + asked);
        sweeper.cost = sweeper.cost * 0.95 + 0.05 * (cost + looked + asked) as f64;
        // What still stands half a minute later is so.
        let confirmed = at + MINUTE_MS / 2;
        let later = self.own_inside(confirmed);
        let (day, minute) = wall(self.scene, at);
        sweeper.profile.day(day);
        let from = since.map_or(minute, |since| wall(self.scene, since).1);
        for person in people {
            let (was, is) = (sweeper.inside.get(&person).copied(), now.get(&person).copied());
            if was == is {
                self.looks[person as usize].push((at, true));
                continue;
            }
            if later.get(&person).copied() != is {
                continue;
            }
            sweeper.profile.note(from.min(minute), minute.max(from.min(minute) + 1));
            match is {
                Some(meeting) => sweeper.inside.insert(person, meeting),
                None => sweeper.inside.remove(&person),
            };
            self.looks[person as usize].push((confirmed, is.is_some()));
        }
    }

    fn spend(&mut self, sweeper: &mut Sweeper, calls: u64) {
        sweeper.used += calls;
        self.allowance.used += calls;
        self.spent += calls;
        if let Some(month) = self.months.last_mut() {
            month.0 += calls;
        }
    }

    /// Who is inside which of the organisation's own meetings.
    fn own_inside(&self, at: i64) -> BTreeMap<u32, u64> {
        let mut inside = BTreeMap::new();
        for (person, visits) in (0_u32..).zip(&self.visits) {
            let until = visits.partition_point(|visit| visit.joined.as_ms() <= at);
            let here = visits[..until].iter().rev().take(8).find(|visit| {
                visit.left.is_none_or(|left| left.as_ms() > at)
                    && !self.scene.foreign.contains(&visit.conference)
            });
            if let Some(visit) = here {
                inside.insert(person, visit.conference);
            }
        }
        inside
    }

    /// The organisation's meetings that go on.
    fn meetings(&self, at: i64) -> u64 {
        self.own_inside(at).into_values().collect::<BTreeSet<u64>>().len() as u64
    }
}
