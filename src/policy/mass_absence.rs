//! Detects a mass absence: many users vanish from their meetings at nearly the same time. A wrong upstream answer
//! looks the same as the end of work.
//!
//! Guards: during a mass absence, an answer that merely lacks a record ends no visit before a second source (the
//! organisation's ongoing meetings) agrees; if that source is unavailable, or never lists the meeting, twice the
//! misses are needed. One meeting that ends for all its members, and up to two users, are no mass absence. Not here:
//! counting misses (`presence::diff`), the call (`tasks::poller::mass_absence`).

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
/// An absence that ongoing meetings contradict is held this long; after that twice the misses decide.
const HELD_FOR: Duration = Duration::from_mins(2);

/// An older mass absence does not apply to new absences.
const EPISODE: Duration = Duration::from_mins(10);

/// Answer of the second source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Evidence {
    /// Not requested yet.
    #[default]
    Unasked,
    /// Requested, no answer yet.
    Asked,
    /// These meetings are ongoing.
    Ongoing(BTreeSet<ConferenceId>),
    /// No complete answer is available.
    Unavailable,
}

/// Users of one organisation who vanished recently; `K` is a user's key.
#[derive(Clone, Debug, Default)]
pub struct MassAbsence<K> {
    /// Time of the first miss and the missing meetings, by user.
    vanished: BTreeMap<K, (Timestamp, Vec<ConferenceId>)>,
    /// When the absences became a mass absence.
    since: Option<Timestamp>,
    evidence: Evidence,
}

impl<K: Copy + Default + Ord> MassAbsence<K> {
    /// Records an answer that lacks the meetings in which the user was.
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

    /// Records an answer that lists the user's meetings, or leaves with a reported time.
    pub fn seen(&mut self, user: K) {
        if self.vanished.remove(&user).is_some() && self.vanished.len() < USERS {
            // Too few users remain for a mass absence.
            (self.since, self.evidence) = (None, Evidence::Unasked);
        }
    }

    /// Checks the absence, where `others_inside` users are inside and did not vanish. Returns whether to request the
    /// ongoing meetings now; [`MassAbsence::answered`] must follow.
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

    /// Records the ongoing meetings; `None`: no complete answer is available.
    pub fn answered(&mut self, ongoing: Option<BTreeSet<ConferenceId>>) {
        if self.since.is_some() {
            self.evidence = ongoing.map_or(Evidence::Unavailable, Evidence::Ongoing);
        }
    }

    /// Misses in a row that end a user's visit; usually `misses`. `is_listed`: whether the list of ongoing meetings is
    /// known to contain a meeting as long as it lasts.
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

    /// Number of vanished users that are still inside according to `is_inside`: their leaves are not emitted yet.
    pub fn vanished_inside(&self, is_inside: impl Fn(K) -> bool) -> usize {
        self.vanished.keys().filter(|user| is_inside(**user)).count()
    }

    /// Whether leaves are held now.
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
