//! Detects a mass absence: many users vanish from their meetings at nearly the same time. A wrong upstream answer
//! looks the same as the end of work.
//!
//! Guards: during a mass absence, an answer that merely lacks a record ends no visit before a second source (the
//! organisation's ongoing meetings) agrees; if that source is unavailable, or never lists the meeting, twice the
//! misses are needed. One meeting that ends for all its members, and up to two users, are no mass absence; after the
//! second source agreed, users who vanish later are judged on their own. Not here: counting misses (`presence::diff`),
//! the call (`tasks::poller::mass_absence`).

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
/// A mass absence is forgotten after this.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Answer of the second source.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Evidence {
    /// Requested, no answer yet.
    Asked,
    /// The users are gone. These meetings are ongoing.
    Agrees(BTreeSet<ConferenceId>),
    /// Many of the users are in one of these ongoing meetings.
    Contradicts(BTreeSet<ConferenceId>),
    /// No complete answer is available.
    Unavailable,
}

/// Users who vanished together.
#[derive(Clone, Debug)]
struct Episode<K> {
    since: Timestamp,
    /// The missing meetings, by user.
    users: BTreeMap<K, Vec<ConferenceId>>,
    evidence: Evidence,
}

/// Users of one organisation who vanished recently; `K` is a user's key.
#[derive(Clone, Debug, Default)]
pub struct MassAbsence<K> {
    /// Time of the first miss and the missing meetings, by user; users of the episode are only there.
    vanished: BTreeMap<K, (Timestamp, Vec<ConferenceId>)>,
    episode: Option<Episode<K>>,
}

impl<K: Copy + Default + Ord> MassAbsence<K> {
    /// Records an answer that lacks the meetings in which the user was.
    pub fn missed(&mut self, user: K, meetings: Vec<ConferenceId>, now: Timestamp, min_interval: Duration) {
        let window = WINDOW.max(min_interval * 2);
        self.episode.take_if(|episode| now.since(episode.since) > REMEMBERED);
        if let Some(episode) = &mut self.episode {
            // Once the second source agrees, it answers for those who had vanished by then.
            let is_open = !matches!(episode.evidence, Evidence::Agrees(_));
            if episode.users.contains_key(&user) {
                return;
            }
            if is_open && now.since(episode.since) <= window {
                episode.users.insert(user, meetings);
                return;
            }
        }
        self.vanished.retain(|_, (at, _)| now.since(*at) <= window);
        self.vanished.entry(user).or_insert((now, meetings));
    }

    /// Records an answer that lists the user's meetings, or leaves with a reported time.
    pub fn seen(&mut self, user: K) {
        self.vanished.remove(&user);
        let Some(episode) = &mut self.episode else { return };
        if episode.users.remove(&user).is_some() && episode.users.len() < USERS {
            // Too few users remain for a mass absence.
            self.episode = None;
        }
    }

    /// Checks the absence, where `others_inside` users are inside and did not vanish. Returns whether to request the
    /// ongoing meetings now; [`MassAbsence::answered`] must follow.
    pub fn asks(&mut self, others_inside: usize, now: Timestamp) -> bool {
        let meetings = self.vanished.values().map(|(_, meetings)| meetings);
        if self.awaits_answer() || self.vanished.len() <= others_inside || !are_many(meetings) {
            return false;
        }
        let earlier = self.episode.take().map(|episode| episode.users).unwrap_or_default();
        let fresh = std::mem::take(&mut self.vanished).into_iter();
        let users = earlier.into_iter().chain(fresh.map(|(user, (_, meetings))| (user, meetings))).collect();
        self.episode = Some(Episode { since: now, users, evidence: Evidence::Asked });
        true
    }

    /// Whether the ongoing meetings are awaited.
    pub fn awaits_answer(&self) -> bool {
        self.episode.as_ref().is_some_and(|episode| episode.evidence == Evidence::Asked)
    }

    /// Records the ongoing meetings; `None`: no complete answer is available.
    pub fn answered(&mut self, ongoing: Option<BTreeSet<ConferenceId>>) {
        let Some(episode) = &mut self.episode else { return };
        episode.evidence = match ongoing {
            None => Evidence::Unavailable,
            Some(ongoing) => {
                let inside = |meetings: &&Vec<ConferenceId>| meetings.iter().any(|m| ongoing.contains(m));
                // A few users who leave meetings that go on may leave at the same time as many others.
                if are_many(episode.users.values().filter(inside)) {
                    Evidence::Contradicts(ongoing)
                } else {
                    Evidence::Agrees(ongoing)
                }
            }
        };
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
        let Some(episode) = &self.episode else { return misses };
        let Some(meetings) = episode.users.get(&user) else { return misses };
        let held = now.since(episode.since) < HELD_FOR;
        let are_over = |ongoing: &BTreeSet<ConferenceId>| {
            meetings.iter().all(|meeting| !ongoing.contains(meeting) && is_listed(meeting))
        };
        let goes_on = |ongoing: &BTreeSet<ConferenceId>| meetings.iter().any(|m| ongoing.contains(m));
        match &episode.evidence {
            Evidence::Asked if held => u32::MAX,
            Evidence::Contradicts(ongoing) if held && goes_on(ongoing) => u32::MAX,
            Evidence::Contradicts(ongoing) if are_over(ongoing) => misses,
            Evidence::Agrees(ongoing) if goes_on(ongoing) || are_over(ongoing) => misses,
            _ => misses.saturating_mul(2),
        }
    }

    /// Number of vanished users that are still inside according to `is_inside`: their leaves are not emitted yet.
    pub fn vanished_inside(&self, is_inside: impl Fn(K) -> bool) -> usize {
        let of_episode = self.episode.iter().flat_map(|episode| episode.users.keys());
        self.vanished.keys().chain(of_episode).filter(|user| is_inside(**user)).count()
    }
}

/// Whether these users, each with the missing meetings, are so many that their absence may be a wrong answer.
fn are_many<'a>(users: impl Iterator<Item = &'a Vec<ConferenceId>>) -> bool {
    let (mut count, mut meetings) = (0, BTreeSet::new());
    for missing in users {
        count += 1;
        meetings.extend(missing);
    }
    count >= USERS && meetings.len() >= MEETINGS
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
    fn users_who_leave_one_by_one_after_a_true_mass_leave_lose_no_time() {
        let (mut absence, _) = vanish(8, 4, 0);
        absence.answered(Some([meeting(50), meeting(51)].into()));
        for (user, seconds) in [(20, 15), (21, 100), (22, 300)] {
            let now = NOW.plus(SECOND * seconds);
            absence.missed(user, vec![meeting(50 + user % 2)], now, SECOND);
            assert!(!absence.asks(4, now));
            assert_eq!(absence.misses_needed(user, 2, |_| true, now), 2);
        }
        assert_eq!(needed(&absence, 300, true), 2);
    }

    #[test]
    fn after_a_true_mass_leave_many_others_who_vanish_are_held_again() {
        let (mut absence, _) = vanish(8, 4, 0);
        absence.answered(Some((50..54).map(meeting).collect()));
        let now = NOW.plus(SECOND * 100);
        for user in 20..24 {
            absence.missed(user, vec![meeting(30 + user)], now, SECOND);
        }
        assert!(absence.asks(0, now));
        assert_eq!(absence.misses_needed(21, 2, |_| true, now), u32::MAX);
        absence.answered(Some((50..54).map(meeting).collect()));
        assert_eq!(absence.misses_needed(21, 2, |_| true, now), u32::MAX);
    }

    #[test]
    fn two_users_who_leave_ongoing_meetings_together_with_many_others_lose_no_time() {
        let (mut absence, _) = vanish(8, 4, 0);
        for user in 8..10 {
            absence.missed(user, vec![meeting(42 + user)], NOW.plus(SECOND * 8), SECOND);
        }
        absence.answered(Some([meeting(50), meeting(51)].into()));
        assert_eq!(absence.misses_needed(9, 2, |_| true, NOW.plus(SECOND * 10)), 2);
        assert_eq!(needed(&absence, 10, true), 2);
    }

    #[test]
    fn users_who_are_polled_later_belong_to_a_contradicted_absence() {
        let (mut absence, _) = vanish(7, 4, 0);
        absence.answered(Some((0..4).map(meeting).collect()));
        absence.missed(30, vec![meeting(1)], NOW.plus(SECOND * 40), SECOND);
        assert_eq!(absence.misses_needed(30, 2, |_| true, NOW.plus(SECOND * 50)), u32::MAX);
        absence.missed(31, vec![meeting(1)], NOW.plus(SECOND * 90), SECOND);
        assert_eq!(absence.misses_needed(31, 2, |_| true, NOW.plus(SECOND * 95)), 2, "later than together");
    }

    #[test]
    fn users_who_are_seen_again_end_it() {
        let (mut absence, _) = vanish(4, 4, 0);
        absence.answered(None);
        absence.seen(1);
        assert_eq!(needed(&absence, 13, true), 4);
        absence.seen(2);
        assert_eq!(needed(&absence, 13, true), 2);
    }
}
