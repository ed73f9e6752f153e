//! Mass absence: many users vanish from their meetings at nearly the same time, which one odd upstream answers like as well
//! as an end of work.
//!
//! Guards: while a mass absence is open, nobody leaves by answers that merely lack a record before a second kind of answer
//! (the organisation's ongoing meetings) agrees; where that answer cannot be had, or never lists the meeting, twice the
//! misses are needed. One meeting that ends for all its members, and up to two users, are no mass absence. Not here: misses
//! themselves (`presence::diff`), making the call (`tasks::poller::absence`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::ConferenceId;
use crate::time::Timestamp;

/// At least this many users,
const USERS: usize = 3;
/// in at least this many meetings.
const MEETINGS: usize = 2;
/// Absences within this time, or twice `min_interval`, count together.
const WINDOW: Duration = Duration::from_mins(1);
/// While ongoing meetings contradict an absence it is held for so long; then twice the misses decide.
const HELD_FOR: Duration = Duration::from_mins(2);

/// A mass absence that is older says nothing about new absences.
const EPISODE: Duration = Duration::from_mins(10);

/// What the second kind of answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Evidence {
    /// Not asked yet.
    #[default]
    Unasked,
    /// Asked, no answer yet.
    Asked,
    /// These meetings go on.
    Ongoing(BTreeSet<ConferenceId>),
    /// It cannot be had.
    Unavailable,
}

/// The users of one organisation who vanished lately; `K` is a user's key.
#[derive(Clone, Debug, Default)]
pub struct MassAbsence<K> {
    /// When each first missed, and the meetings missed.
    vanished: BTreeMap<K, (Timestamp, Vec<ConferenceId>)>,
    /// When the absence became one of many.
    since: Option<Timestamp>,
    evidence: Evidence,
}

impl<K: Copy + Default + Ord> MassAbsence<K> {
    /// An answer lacks the meetings that a user was inside.
    pub fn missed(&mut self, user: K, meetings: Vec<ConferenceId>, now: Timestamp, min_interval: Duration) {
        let window = WINDOW.max(min_interval * 2);
        if self.since.is_some_and(|since| now.since(since) > EPISODE) {
            *self = Self::default();
        }
        if self.since.is_none() {
            self.vanished.retain(|_, (at, _)| now.since(*at) <= window);
        }
        self.vanished.entry(user).or_insert((now, meetings));
    }

    /// An answer lists the user's meetings, or the user left them with a reported time.
    pub fn seen(&mut self, user: K) {
        if self.vanished.remove(&user).is_some() && self.vanished.len() < USERS {
            // What is left is no mass absence any more.
            (self.since, self.evidence) = (None, Evidence::Unasked);
        }
    }

    /// Judges the absence, with so many users inside who did not vanish. Whether ongoing meetings are to be asked for now;
    /// [`MassAbsence::answered`] must follow.
    pub fn asks(&mut self, others_inside: usize, now: Timestamp) -> bool {
        let meetings: BTreeSet<&ConferenceId> =
            self.vanished.values().flat_map(|(_, meetings)| meetings).collect();
        let is_mass =
            self.vanished.len() >= USERS && meetings.len() >= MEETINGS && self.vanished.len() > others_inside;
        if !is_mass || self.since.is_some() {
            return false;
        }
        self.since = Some(now);
        self.evidence = Evidence::Asked;
        true
    }

    /// The ongoing meetings; `None`: they cannot be had, or not completely.
    pub fn answered(&mut self, ongoing: Option<BTreeSet<ConferenceId>>) {
        if self.since.is_some() {
            self.evidence = ongoing.map_or(Evidence::Unavailable, Evidence::Ongoing);
        }
    }

    /// The misses in a row after which a user leaves; usually `misses`. `is_listed`: whether ongoing meetings list a
    /// meeting as long as it goes on, as far as is known.
    pub fn misses_needed(
        &self,
        user: K,
        misses: u32,
        is_listed: impl Fn(&ConferenceId) -> bool,
        now: Timestamp,
    ) -> u32 {
        let (Some(since), Some((_, meetings))) = (self.since, self.vanished.get(&user)) else {
            return misses;
        };
        let twice = misses.saturating_mul(2);
        let held = now.since(since) < HELD_FOR;
        match &self.evidence {
            Evidence::Unasked | Evidence::Asked if held => u32::MAX,
            Evidence::Ongoing(ongoing)
                if held && meetings.iter().any(|meeting| ongoing.contains(meeting)) =>
            {
                u32::MAX
            }
            Evidence::Ongoing(ongoing) if meetings.iter().all(|m| !ongoing.contains(m) && is_listed(m)) => {
                misses
            }
            _ => twice,
        }
    }

    /// How many of those who vanished are inside as far as `is_inside` knows: their leaves are not told yet.
    pub fn vanished_inside(&self, is_inside: impl Fn(K) -> bool) -> usize {
        self.vanished.keys().filter(|user| is_inside(**user)).count()
    }

    /// Whether leaves are held back now.
    pub fn is_open(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn meeting(n: u32) -> ConferenceId {
        ConferenceId::parse(&format!("conf{n}")).unwrap()
    }

    /// Users vanish a second apart, user n from meeting n % `meetings`; `others` stay inside.
    fn vanish(users: u32, meetings: u32, others: usize) -> (MassAbsence<u32>, bool) {
        let (mut absence, mut asks) = (MassAbsence::default(), false);
        for user in 0..users {
            let now = NOW.plus(SECOND * user);
            absence.missed(user, vec![meeting(user % meetings)], now, SECOND);
            asks |= absence.asks(others + (users - user - 1) as usize, now);
        }
        (absence, asks)
    }

    fn needed(absence: &MassAbsence<u32>, seconds: u32, is_listed: bool) -> u32 {
        absence.misses_needed(0, 2, |_| is_listed, NOW.plus(SECOND * seconds))
    }

    #[test]
    fn few_users_one_meeting_or_a_minority_are_no_mass_absence() {
        for (users, meetings, others) in [(1, 1, 0), (2, 2, 0), (4, 1, 0), (12, 1, 0), (4, 2, 4), (5, 3, 9)] {
            let (absence, asks) = vanish(users, meetings, others);
            assert!(!asks && needed(&absence, 20, true) == 2, "{users} {meetings} {others}");
        }
    }

    #[test]
    fn absences_far_apart_do_not_count_together() {
        let mut absence = MassAbsence::default();
        for user in 0..12 {
            let now = NOW.plus(SECOND * 70 * user);
            absence.missed(user, vec![meeting(user)], now, SECOND);
            assert!(!absence.asks(0, now));
        }
    }

    #[test]
    fn a_mass_absence_is_held_until_the_ongoing_meetings_agree() {
        let (mut absence, asks) = vanish(12, 4, 0);
        assert!(asks && !absence.asks(0, NOW), "asked for once");
        assert_eq!(needed(&absence, 30, true), u32::MAX, "no answer yet");
        absence.answered(Some([meeting(99)].into()));
        assert_eq!(needed(&absence, 30, true), 2, "they agree");
        assert_eq!(needed(&absence, 30, false), 4, "they never list this one");
    }

    #[test]
    fn ongoing_meetings_that_contradict_hold_for_two_minutes_and_then_twice_the_misses_decide() {
        let (mut absence, _) = vanish(12, 4, 0);
        absence.answered(Some((0..4).map(meeting).collect()));
        assert_eq!(needed(&absence, 60, true), u32::MAX);
        assert_eq!(needed(&absence, 200, true), 4);
    }

    #[test]
    fn without_a_second_answer_twice_the_misses_are_needed() {
        let (mut absence, _) = vanish(12, 4, 0);
        absence.answered(None);
        assert_eq!(needed(&absence, 13, true), 4);
    }

    #[test]
    fn users_who_are_seen_again_end_it() {
        let (mut absence, _) = vanish(4, 4, 0);
        absence.answered(None);
        absence.seen(1);
        assert!(absence.is_open());
        absence.seen(2);
        assert!(!absence.is_open());
        assert_eq!(needed(&absence, 13, true), 2);
    }
}
