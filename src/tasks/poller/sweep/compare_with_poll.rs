//! Compares sweeps with polls, which decides whether sweeps are trusted.
//!
//! Guards: a poll is compared only with a sweep shortly before it, and only in what cannot have changed in between; ids
//! that match no user are no contradiction, because they belong to other people. Not here: the count of agreements
//! (`policy::sweep`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::state::{MAX_UNMATCHED, SweepEngine};
use crate::ids::ConferenceId;
use crate::policy::sweep::budget_split::BudgetSplit;
use crate::policy::sweep::confidence::Comparison;
use crate::policy::sweep::ids::IdEvidence;
use crate::presence::attendance::{AttendStatus, AttendancePhase};
use crate::presence::observation::Entry;
use crate::presence::sweep_view::Sweep;
use crate::presence::user_state::UserState;
use crate::tasks::poller::pacing::groups;
use crate::tasks::poller::roster::UserKey;
use crate::tasks::poller::state::OrgState;
use crate::time::Timestamp;

/// A poll later than this after a sweep is not compared with it.
const COMPARED_FOR: Duration = Duration::from_mins(2);
/// A user who joined or left this shortly before a sweep may or may not be in it.
const BLURRED: Duration = Duration::from_secs(30);
/// If a poll this soon after the sweep does not list the user, the sweep was wrong, unless the meeting has just ended.
const LEFT_TOO_SOON: Duration = Duration::from_mins(1);

/// What a poll shows.
#[derive(Clone, Copy, Debug)]
pub(in crate::tasks::poller) struct PollView<'a> {
    pub(in crate::tasks::poller) at: Timestamp,
    /// `None`: the same as before.
    pub(in crate::tasks::poller) entries: Option<&'a BTreeMap<ConferenceId, Entry>>,
    /// The user's state after the poll.
    pub(in crate::tasks::poller) state: &'a UserState,
}

impl PollView<'_> {
    fn sees_inside(&self, conference: &ConferenceId) -> bool {
        match self.entries {
            Some(entries) => {
                matches!(entries.get(conference), Some(Entry::Record(record)) if record.phase() == AttendancePhase::Inside)
            }
            None => self.state.inside().any(|inside| inside == conference),
        }
    }

    fn entry(&self, conference: &ConferenceId) -> Option<&Entry> {
        self.entries.and_then(|entries| entries.get(conference))
    }

    /// The poll shows that the user left before `instant`.
    fn was_gone(&self, conference: &ConferenceId, instant: Timestamp) -> bool {
        let Some(Entry::Record(record)) = self.entry(conference) else { return false };
        record.phase() == AttendancePhase::Outside && record.left.is_some_and(|left| left <= instant)
    }

    /// The poll does not list the meeting.
    fn knows_nothing_of(&self, conference: &ConferenceId) -> bool {
        !self.sees_inside(conference) && self.entry(conference).is_none()
    }
}

impl SweepEngine {
    /// A poll that a sweep caused counts as one of the sweep's calls.
    fn count_poll(&mut self, user: UserKey, at: Timestamp) {
        let because = self
            .newest
            .scheduled_by_sweep
            .get(&user)
            .is_some_and(|scheduled_by_sweep| at.since(*scheduled_by_sweep) < COMPARED_FOR);
        if because { self.plan.spending.record_sweep(1) } else { self.plan.spending.record_poll() }
    }

    /// Confirms or drops the held sweep if this is the poll it waits for.
    fn check_held(&mut self, user: UserKey, poll: &PollView<'_>) {
        let Some(held) = self.newest.held.as_mut().filter(|held| held.user == user) else { return };
        if poll.at < held.sweep.started_at {
            return;
        }
        if held.left.iter().any(|conference| poll.sees_inside(conference)) {
            self.newest.held = None;
        } else {
            held.confirmed = true;
        }
    }

    /// What the poll shows about the ids that sweeps report.
    pub(super) fn learn(
        &mut self,
        user: UserKey,
        union_id: &str,
        sweep: &Sweep,
        poll: &PollView<'_>,
    ) -> IdEvidence {
        if !is_compared(sweep, poll) {
            return IdEvidence::Nothing;
        }
        let sure = sweep.started_at.minus(BLURRED);
        for visit in poll.state.open_visits() {
            let conference = &visit.conference_id;
            if visit.joined > sure || !poll.sees_inside(conference) || !sweep.meetings.contains(conference) {
                continue;
            }
            let stands = |id: &str| {
                let seats = sweep.participants.get(id);
                seats.and_then(|seats| seats.get(conference)) == Some(&AttendStatus::Active)
            };
            let lesson = self.ids.record_poll(user, union_id, stands);
            if lesson != IdEvidence::Nothing {
                return lesson;
            }
        }
        IdEvidence::Nothing
    }

    fn finding(&self, user: UserKey, union_id: &str, sweep: &Sweep, poll: &PollView<'_>) -> Comparison {
        if !is_compared(sweep, poll) {
            return Comparison::Nothing;
        }
        // While the kind of ids is unknown, a sweep neither agrees nor contradicts.
        let statuses = self.ids.kind().and(self.seats(user, union_id, sweep));
        let may_be_told = match self.ids.kind() {
            Some(_) => statuses.is_none() && self.ids.may_ask(user),
            None => self.ids.may_learn(user) && self.unmatched_ids < MAX_UNMATCHED,
        };
        let sure = sweep.started_at.minus(BLURRED);
        let status = |conference: &ConferenceId| statuses.and_then(|seats| seats.get(conference)).copied();
        let mut found = Comparison::Nothing;
        for visit in poll.state.open_visits() {
            let conference = &visit.conference_id;
            if visit.joined > sure || !poll.sees_inside(conference) {
                continue;
            }
            let listed = self.newest.listed.contains_key(conference);
            match status(conference) {
                Some(AttendStatus::Active) => found = Comparison::Agrees,
                Some(AttendStatus::Unrecognized(_)) => {}
                _ if statuses.is_some() && listed => return Comparison::Contradicts,
                _ if listed && may_be_told => {}
                _ if found == Comparison::Nothing => found = Comparison::Unlisted,
                _ => {}
            }
        }
        let claims = statuses.into_iter().flatten().filter(|(_, status)| **status == AttendStatus::Active);
        for (conference, _) in claims {
            if poll.was_gone(conference, sure) {
                return Comparison::Contradicts;
            }
        }
        found
    }
}

impl SweepEngine {
    /// The meetings in which a sweep shows the user and which a poll right after it does not list.
    fn contradictions(
        &self,
        user: UserKey,
        union_id: &str,
        sweep: &Sweep,
        poll: &PollView<'_>,
    ) -> Vec<ConferenceId> {
        let soon = poll.at.since(sweep.started_at) <= LEFT_TOO_SOON;
        let statuses = self.ids.kind().and(self.seats(user, union_id, sweep));
        let claims = statuses.filter(|_| soon && is_compared(sweep, poll)).into_iter().flatten();
        claims
            .filter(|(_, status)| **status == AttendStatus::Active)
            .map(|(conference, _)| conference)
            .filter(|conference| poll.knows_nothing_of(conference))
            .cloned()
            .collect()
    }
}

/// Whether the poll follows shortly after the sweep.
fn is_compared(sweep: &Sweep, poll: &PollView<'_>) -> bool {
    poll.at >= sweep.observed_at && poll.at.since(sweep.observed_at) <= COMPARED_FOR
}

/// Compares a good poll with the newest sweep.
pub(in crate::tasks::poller) fn compare_with_poll(
    org: &mut OrgState,
    user: UserKey,
    at: Timestamp,
    seen: Option<(&BTreeMap<ConferenceId, Entry>, &UserState)>,
) {
    let watched = &org.users[user];
    let sweeping = &mut org.sweeps;
    let (entries, state) = seen.map_or((None, &watched.state), |(e, state)| (Some(e), state));
    let poll = PollView { at, entries, state };
    sweeping.count_poll(user, at);
    sweeping.check_held(user, &poll);
    let Some(last) = sweeping.newest.last.clone() else { return };
    let union_id = watched.info.identity.union_id.as_str();
    let lesson = sweeping.learn(user, union_id, &last, &poll);
    sweeping.apply_id_evidence(user, lesson, &org.name);
    let finding = sweeping.finding(user, union_id, &last, &poll);
    let contradictions: Vec<ConferenceId> = sweeping.contradictions(user, union_id, &last, &poll);
    sweeping.newest.contradictions.extend(contradictions.into_iter().map(|meeting| (user, meeting)));
    record_comparison(org, user, finding, at);
}

/// The newest sweep shows users in meetings that a poll right after it does not list. If such a meeting goes on,
/// the sweep was wrong; if not, it had just ended.
pub(super) fn settle_contradictions(org: &mut OrgState, sweep: &Sweep, now: Timestamp) {
    if sweep.requested.is_some() {
        return;
    }
    for (user, meeting) in std::mem::take(&mut org.sweeps.newest.contradictions) {
        if sweep.meetings.contains(&meeting) {
            record_comparison(org, user, Comparison::Contradicts, now);
        }
    }
}

fn record_comparison(org: &mut OrgState, user: UserKey, finding: Comparison, at: Timestamp) {
    if finding == Comparison::Nothing {
        return;
    }
    let watched = &org.users[user];
    let (org_name, person_id) = (&org.name, watched.person_id);
    let sweeping = &mut org.sweeps;
    tracing::debug!(org = %org_name, user = person_id, ?finding, "compared a poll with the sweep before it");
    let before = sweeping.trust.is_trusted();
    sweeping.calls.compared = Some(at);
    sweeping.persist.note(Some(user));
    if finding == Comparison::Contradicts {
        sweeping.persist.mark_urgent();
    }
    if sweeping.trust.record(user, finding) {
        sweeping.drop_pending();
        let missing = sweeping.trust.missing();
        tracing::warn!(org = %org_name, user = person_id, missing, "a poll contradicts the sweep before it; sweeps only schedule polls until they agree with polls again");
    }
    if sweeping.trust.is_trusted() != before {
        sweeping.plan.due = None;
        sweeping.persist.mark_urgent();
        if !before {
            sweeping.plan.spending = BudgetSplit::new(1.0 - sweeping.trust.coverage_of_all());
            tracing::info!(org = %org_name, "sweeps agree with polls and are trusted from now on");
        }
        groups::form_unlisted_group(org, &[], at);
    }
}
