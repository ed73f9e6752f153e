//! Co-meeting model: what an observation of one user says about another.
//!
//! Guards: memory is bounded for each user. Not here: how the pacer uses it (`pacer`).

use std::collections::BTreeMap;

use super::visit_history::{ComparableDays, LocalVisit, VisitHistory, slot_of};

const FADE: f64 = 0.985;
const COLLEAGUES: usize = 32;
const SHARES: usize = 5;
/// Leaves within this many ms of each other count as leaving together.
const TOGETHER_MS: i64 = 150_000;
/// Larger meetings say little about other members, and the cost grows with their square.
const LARGEST: usize = 40;
/// Classes of the number of members.
const SIZES: usize = 4;

fn size_of(members: usize) -> usize {
    match members {
        0..=1 => 0,
        2 => 1,
        3..=5 => 2,
        _ => 3,
    }
}

/// Counts of the meetings that one user shared with others.
#[derive(Clone, Debug, Default)]
pub struct CoMeetings {
    /// Visits, faded.
    visits: f64,
    /// Shared visits by other user, faded.
    with: BTreeMap<u32, f64>,
}

/// Hits, and trials.
type Share = (f64, f64);

/// A colleague was seen joining: how likely this user joined too.
#[derive(Clone, Copy, Debug)]
pub struct Hint {
    size: usize,
    share: usize,
    met: bool,
    polled: bool,
    /// Share of such meetings that the user came to.
    expected: f64,
}

/// Learned probabilities of joining and leaving together, for all users.
#[derive(Clone, Debug)]
pub struct CoMeetingGraph {
    /// By (share of this user's visits that the other attended, met at this time before): (hits, trials).
    joins: [[Share; 2]; SHARES],
    /// Hints about others, by known members, share, met before and polled since: (found inside, expected to be).
    hints: [[[[Share; 2]; 2]; SHARES]; SIZES],
    /// Leaving together: (together, pairs).
    leaves: [Share; SIZES],
}

impl Default for CoMeetingGraph {
    fn default() -> Self {
        let row = |share: f64| [(share * 2.0, 2.0), ((share + 0.2) * 2.0, 2.0)];
        Self {
            joins: [row(0.02), row(0.1), row(0.3), row(0.5), row(0.7)],
            hints: [[[[(2.0, 2.0), (0.2, 2.0)]; 2]; SHARES]; SIZES],
            leaves: [(1.0, 2.0); SIZES],
        }
    }
}

impl CoMeetings {
    /// Users that shared a meeting with this one, in no order of frequency.
    pub fn colleagues(&self) -> impl Iterator<Item = u32> + '_ {
        self.with.keys().copied()
    }

    fn share(&self, other: u32) -> usize {
        let share = self.with.get(&other).map_or(0.0, |n| n / (self.visits + 1.0));
        [0.08, 0.2, 0.4, 0.65].iter().filter(|edge| share > **edge).count()
    }

    fn fade(&mut self) {
        self.visits *= FADE;
        self.with.values_mut().for_each(|n| *n *= FADE);
        while self.with.len() > COLLEAGUES {
            let rarest = self.with.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(who, _)| *who);
            if let Some(rarest) = rarest {
                self.with.remove(&rarest);
            }
        }
    }
}

/// Whether two users shared a meeting that began in this quarter on a comparable day.
pub fn met_then(one: &VisitHistory, other: &VisitHistory, before: &ComparableDays, slot: usize) -> bool {
    one.like(before, slot).any(|(day, visit)| was_at(other, day, visit.conference))
}

fn was_at(history: &VisitHistory, day: i32, conference: u64) -> bool {
    history.day(day).is_some_and(|day| day.visits.iter().any(|visit| visit.conference == conference))
}

impl CoMeetingGraph {
    /// What it says about `other` that the user with these counts was just seen joining. `polled`: `other` was seen
    /// outside since.
    pub fn hint(&self, co_meetings: &CoMeetings, other: u32, size: usize, met: bool, polled: bool) -> Hint {
        let share = co_meetings.share(other);
        let (hits, of) = self.joins[share][usize::from(met)];
        Hint { size: size_of(size), share, met, polled, expected: (hits / of.max(1e-9)).clamp(0.0, 0.95) }
    }

    /// Probability that the hint is true now: as often as such hints were.
    pub fn chance(&self, hint: &Hint) -> f64 {
        let (found, expected) =
            self.hints[hint.size][hint.share][usize::from(hint.met)][usize::from(hint.polled)];
        (hint.expected * found / expected.max(1e-9)).clamp(0.0, 0.95)
    }

    /// Learns whether the poll after a hint found the user inside.
    pub fn learn_hint(&mut self, hint: &Hint, inside: bool) {
        let cell = &mut self.hints[hint.size][hint.share][usize::from(hint.met)][usize::from(hint.polled)];
        cell.0 += f64::from(u8::from(inside));
        cell.1 += hint.expected;
    }

    /// Probability that a member has left when another one has.
    pub fn leaves_together(&self, members: usize) -> f64 {
        let (together, pairs) = self.leaves[size_of(members)];
        (together / pairs.max(1e-9)).clamp(0.0, 0.95)
    }

    /// Learns a finished day of all users.
    pub fn learn(
        &mut self,
        day: i32,
        before: impl Fn(usize) -> ComparableDays,
        histories: &[&VisitHistory],
        co_meetings: &mut [CoMeetings],
    ) {
        let mut meetings: BTreeMap<u64, Vec<(u32, LocalVisit)>> = BTreeMap::new();
        for (user, history) in (0_u32..).zip(histories) {
            for visit in history.day(day).map_or(&[][..], |day| &day.visits) {
                let members = meetings.entry(visit.conference).or_default();
                if members.len() < LARGEST && members.iter().all(|(other, _)| *other != user) {
                    members.push((user, *visit));
                }
            }
        }
        for cell in self.joins.iter_mut().flatten() {
            *cell = (cell.0 * FADE, cell.1 * FADE);
        }
        for cell in self.hints.iter_mut().flatten().flatten().flatten().chain(&mut self.leaves) {
            *cell = (cell.0 * FADE, cell.1 * FADE);
        }
        co_meetings.iter_mut().for_each(CoMeetings::fade);
        for members in meetings.values() {
            for (user, visit) in members {
                let (index, slot) = (*user as usize, slot_of(visit.joined_ms).0);
                let days = before(index);
                let earlier: Vec<(i32, u64)> =
                    histories[index].like(&days, slot).map(|(day, visit)| (day, visit.conference)).collect();
                for other in co_meetings[index].with.keys() {
                    let came = members.iter().any(|(member, _)| member == other);
                    let theirs = histories[*other as usize];
                    let met = earlier.iter().any(|(day, conference)| was_at(theirs, *day, *conference));
                    let cell = &mut self.joins[co_meetings[index].share(*other)][usize::from(met)];
                    cell.0 += f64::from(u8::from(came));
                    cell.1 += 1.0;
                }
                for (other, theirs) in members.iter().filter(|(other, _)| other != user) {
                    if let (Some(mine), Some(theirs)) = (visit.left_ms, theirs.left_ms) {
                        self.leaves[size_of(members.len())].0 +=
                            f64::from(u8::from((mine - theirs).abs() <= TOGETHER_MS));
                        self.leaves[size_of(members.len())].1 += 1.0;
                    }
                    *co_meetings[index].with.entry(*other).or_default() += 1.0;
                }
                co_meetings[index].visits += 1.0;
            }
        }
    }
}
