//! Applies a sweep: accept it, hold it until a poll confirms it, or only use it to schedule polls.
//!
//! Guards: a sweep that is not trusted changes no user's presence; if a sweep misses more than half of the users
//! inside, no user leaves before a poll shows one of them gone; a user who is polled or recorded at the moment is
//! skipped. Not here: the decision (`policy::sweep`), its effect on a state (`presence::sweep`).

use crate::tasks::poller::roster::UserKey;
use std::sync::Arc;
use std::time::Duration;

use super::user_id_resolver::MAX_UNMATCHED;
use super::{OrgSweeps, REFUSED_AFTER};
use crate::ids::ConferenceId;
use crate::policy::sweep::decision::{self, PresenceChange};
use crate::policy::sweep::recheck::Recheck;
use crate::presence::sweep;
use crate::presence::sweep_view::{self, POLL_PRECEDENCE, Sweep, SweepChange, SweepView};
use crate::tasks::poller::org::OrgPoller;
use crate::time::Timestamp;

/// Delay of a recheck of what a sweep changed.
const RECHECK_AFTER: Duration = Duration::from_secs(30);
/// Rechecks in a row; the next whole sweep continues from there.
const MAX_RECHECKS: u32 = 4;
/// How long a mass leave waits for a confirming poll, and how long the confirmation counts.
const HELD_FOR: Duration = Duration::from_mins(3);
/// Polls for each sweep that is not trusted: of users it changes,
const MAX_POLLS: usize = 8;
/// or else of users it correctly seems to show inside,
const MAX_VERIFIED: usize = 4;
/// or else of users who are inside a listed meeting but not in the sweep, to detect whether it reports unionIds or
/// userids.
const MAX_ID_PROBES: usize = 2;
/// A meeting that no sweep has shown for this long is forgotten.
const REMEMBERED: Duration = Duration::from_hours(24);

/// A sweep that waits for a poll of one of many users who seem to have left.
#[derive(Debug)]
pub(super) struct HeldSweep {
    pub(super) sweep: Arc<Sweep>,
    pub(super) user: UserKey,
    /// The meetings that this user seems to have left.
    pub(super) left: Vec<ConferenceId>,
    pub(super) until: Timestamp,
    /// The poll confirmed it.
    pub(super) confirmed: bool,
}

/// What a sweep changes for the users of an organisation.
#[derive(Debug, Default)]
struct SweepChanges {
    inside: usize,
    changes: Vec<(UserKey, PresenceChange)>,
    /// Users and the meetings they joined (`true`) or left.
    turns: Vec<(UserKey, ConferenceId, bool)>,
    /// Users who are inside before and after.
    unchanged_inside: Vec<UserKey>,
    /// Users whose polls could show which ids sweeps report.
    id_probes: Vec<UserKey>,
    /// Users listed in the sweep.
    listed_users: Vec<UserKey>,
}

impl SweepChanges {
    /// Meetings and the users who joined them.
    fn came(&self) -> impl Iterator<Item = (&ConferenceId, UserKey)> {
        self.turns.iter().filter(|(.., came)| *came).map(|(user, meeting, _)| (meeting, *user))
    }

    /// Which meetings are rechecked if these users are polled.
    fn again(&self, looks: &[UserKey]) -> Recheck<&ConferenceId> {
        let others = self.turns.iter().filter(|(user, ..)| !looks.contains(user));
        Recheck::of(others.map(|(_, meeting, came)| (meeting, *came)))
    }
}

impl OrgSweeps {
    /// A sweep as it concerns a user; `None`: the user's id in sweeps is unknown.
    fn glance<'a>(&'a self, user: UserKey, union_id: &str, sweep: &'a Sweep) -> Option<SweepView<'a>> {
        let glance = sweep.view(Some(self.seats(user, union_id, sweep)?));
        Some(if self.shows(user) { glance.listed_in(&self.listed) } else { glance })
    }

    /// Plans rechecks of changed meetings: at once by member lists where possible, else at `then`.
    fn schedule_recheck(&mut self, again: Recheck<ConferenceId>, then: Timestamp) {
        if again.is_empty() || self.recheck_count == MAX_RECHECKS {
            return;
        }
        self.recheck_count += 1;
        let by_members = again.by_members() && self.members_refused < REFUSED_AFTER;
        let Recheck { entered, mut others } = again;
        if by_members {
            self.entered = entered;
        } else {
            others.extend(entered);
        }
        if others.is_empty() {
            return;
        }
        // Earlier meetings that wait for a recheck stay.
        match &mut self.recheck {
            Some((_, waiting)) => waiting.extend(others),
            None => self.recheck = Some((then, others)),
        }
    }

    /// Whether sweeps are known to show this user.
    pub(super) fn shows(&self, user: UserKey) -> bool {
        self.listed_users.contains(&user) || self.trust.has_listed(user)
    }
}

impl OrgPoller {
    /// Applies a complete sweep.
    pub(super) fn apply_sweep(&mut self, sweep: Arc<Sweep>, calls: u32, now: Timestamp) {
        self.settle_contradictions(&sweep, now);
        let sweeping = &mut self.sweeps;
        sweeping.listed.extend(sweep.meetings.iter().map(|meeting| (meeting.clone(), now)));
        sweeping.listed.retain(|_, seen| now.since(*seen) < REMEMBERED);
        let changes = self.evaluate(&sweep);
        let sweeping = &mut self.sweeps;
        sweeping.listed_users.extend(&changes.listed_users);
        sweeping.held = None;
        let trusted = sweeping.trust.is_trusted();
        let verdict = if sweep.requested.is_none() {
            sweeping.inside = changes.inside;
            decision::decide(
                trusted,
                changes.inside,
                &changes.changes,
                &decision::joined_alone(changes.came()),
            )
        } else {
            decision::decide_recheck(trusted, changes.inside.max(sweeping.inside), &changes.changes)
        };
        if sweep.requested.is_none() {
            let more = if trusted { verdict.calls(&changes.again(&verdict.polls)) } else { 0 };
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            sweeping.timetable.record_cost(f64::from(calls.saturating_add(more)));
            let since = sweeping.last.replace(Arc::clone(&sweep)).map(|last| last.observed_at);
            sweeping.swept = Some(now);
            let changes =
                changes.changes.iter().filter(|(_, change)| *change != PresenceChange::Unclear).count();
            sweeping.timetable.record_changes(since, now, changes, self.settings.time_zone);
            sweeping.recheck_count = 0;
        }
        tracing::debug!(
            org = %self.upstream.name, calls, trusted, meetings = sweep.meetings.len(),
            inside = changes.inside, changes = changes.changes.len(), "evaluated a sweep"
        );
        if !verdict.trusted {
            if self.schedule_polls(&verdict.polls, MAX_POLLS, now) == 0
                && self.schedule_polls(&changes.unchanged_inside, MAX_VERIFIED, now) == 0
            {
                self.schedule_polls(&changes.id_probes, MAX_ID_PROBES, now);
            }
            return;
        }
        let confirmed_mass_leave =
            self.sweeps.confirmed_mass_leave.is_some_and(|at| now.since(at) < HELD_FOR);
        match verdict.poll_first.first() {
            Some(&user) if !confirmed_mass_leave => self.hold_sweep(sweep, user, now),
            _ => self.accept(&sweep, &verdict.polls, now),
        }
    }

    fn evaluate(&self, sweep: &Sweep) -> SweepChanges {
        let mut found = SweepChanges::default();
        let sweeping = &self.sweeps;
        for (user, watched) in &self.users {
            if watched.gone {
                continue;
            }
            let union_id = watched.info.identity.union_id.as_str();
            let Some(seats) = sweeping.seats(user, union_id, sweep).filter(|_| self.is_swept(user)) else {
                continue;
            };
            if sweeping.unmatched_ids < MAX_UNMATCHED
                && seats.is_empty()
                && sweeping.ids.may_learn(user)
                && watched.state.inside().any(|inside| sweep.meetings.contains(inside))
            {
                found.id_probes.push(user);
            }
            let Some(glance) = sweeping.glance(user, union_id, sweep) else { continue };
            let says = sweep_view::changes(&watched.state, &glance);
            found.listed_users.extend((!seats.is_empty()).then_some(user));
            let any = |wanted: fn(&SweepChange) -> bool| says.iter().any(|(_, says)| wanted(says));
            let left = any(|says| matches!(says, SweepChange::Left(_)));
            let still = any(|says| *says == SweepChange::StillInside);
            found.inside += usize::from(left || still);
            let change = if any(|says| *says == SweepChange::NeedsPoll) {
                PresenceChange::Unclear
            } else if left {
                PresenceChange::Leaves
            } else if any(|says| *says == SweepChange::Joined) {
                PresenceChange::Joins
            } else {
                found.unchanged_inside.extend(still.then_some(user));
                continue;
            };
            found.changes.push((user, change));
            let changed = says.into_iter().filter(|(_, says)| *says != SweepChange::StillInside);
            found.turns.extend(changed.map(|(meeting, says)| (user, meeting, says == SweepChange::Joined)));
        }
        found
    }

    /// Applies a member list: a second call then confirms the joins. A user it does not list is polled, because
    /// one of the two answers is wrong.
    pub(super) fn apply_members(&mut self, sweep: Arc<Sweep>, calls: u32, now: Timestamp) {
        let doubted: Vec<UserKey> = self
            .users
            .iter()
            .filter(|(user, _)| self.is_swept(*user))
            .filter(|(user, watched)| {
                let union_id = watched.info.identity.union_id.as_str();
                let glance = self.sweeps.glance(*user, union_id, &sweep);
                glance.is_some_and(|glance| sweep_view::retracts_join(&watched.state, &glance))
            })
            .map(|(user, _)| user)
            .collect();
        self.apply_sweep(sweep, calls, now);
        self.schedule_polls(&doubted, MAX_POLLS, now);
    }

    /// Whether a sweep counts for this user now.
    fn is_swept(&self, user: UserKey) -> bool {
        let watched = &self.users[user];
        !watched.gone && !watched.busy && self.may_poll(user) && !self.tools.is_erased(watched.person_id)
    }

    /// Holds a sweep that misses more than half of the users inside, until a poll of one of them.
    fn hold_sweep(&mut self, sweep: Arc<Sweep>, user: UserKey, now: Timestamp) {
        let watched = &self.users[user];
        let union_id = watched.info.identity.union_id.as_str();
        let Some(glance) = self.sweeps.glance(user, union_id, &sweep) else { return };
        let says = sweep_view::changes(&watched.state, &glance);
        let left = says.into_iter().filter(|(_, says)| matches!(says, SweepChange::Left(_)));
        let left = left.map(|(meeting, _)| meeting).collect();
        if self.poll_soon(user, now) {
            let until = now.plus(HELD_FOR);
            self.sweeps.held = Some(HeldSweep { sweep, user, left, until, confirmed: false });
        }
    }

    /// Accepts the held sweep if a poll has confirmed it.
    pub(super) fn accept_held(&mut self, now: Timestamp) {
        let sweeping = &mut self.sweeps;
        let Some(held) = sweeping.held.take_if(|held| held.confirmed || now > held.until) else { return };
        if held.confirmed && sweeping.trust.is_trusted() {
            sweeping.confirmed_mass_leave = Some(now);
            self.accept(&held.sweep, &[], now);
        }
    }

    /// Accepts a sweep for all users but those who are polled.
    fn accept(&mut self, sweep: &Sweep, looks: &[UserKey], now: Timestamp) {
        let (mut turns, mut changed) = (Vec::new(), Vec::new());
        for user in self.user_keys() {
            if looks.contains(&user) || !self.is_swept(user) {
                continue;
            }
            let watched = &mut self.users[user];
            let union_id = watched.info.identity.union_id.as_str();
            let Some(glance) = self.sweeps.glance(user, union_id, sweep) else { continue };
            let (card, source) = (watched.info.card(), &self.tools.source);
            let outcome = sweep::observe(&watched.state, &glance, &card, source, &self.settings.rules);
            if outcome.needs_recheck {
                let says = sweep_view::changes(&watched.state, &glance);
                let turned = says
                    .into_iter()
                    .filter(|(_, says)| matches!(says, SweepChange::Joined | SweepChange::Left(_)));
                turns.extend(turned.map(|(meeting, says)| (meeting, says == SweepChange::Joined)));
            }
            if outcome.events.is_empty() && outcome.visits.is_empty() {
                // Only times and counts changed: as with unchanged polls, memory is enough.
                watched.state = outcome.state;
            } else {
                changed.push((user, outcome));
            }
        }
        for (user, outcome) in changed {
            self.update_pacing(user, now, Some(&outcome.state), &outcome.visits);
            let watched = &mut self.users[user];
            let due = watched.due;
            self.upstream.due.remove(due, user);
            self.record_outcome(user, outcome, due);
        }
        self.sweeps
            .schedule_recheck(Recheck::of(turns), now.plus(RECHECK_AFTER.max(self.settings.min_interval)));
        self.schedule_polls(looks, usize::MAX, now);
    }

    /// Schedules polls of at most `most` of these users, none twice while the first poll is fresh. Returns how many.
    fn schedule_polls(&mut self, people: &[UserKey], most: usize, now: Timestamp) -> usize {
        self.sweeps.scheduled_by_sweep.retain(|_, at| now.since(*at) < POLL_PRECEDENCE);
        let mut scheduled_by_sweep = 0;
        for &user in people {
            if scheduled_by_sweep == most {
                break;
            }
            if !self.sweeps.scheduled_by_sweep.contains_key(&user) && self.poll_soon(user, now) {
                self.sweeps.scheduled_by_sweep.insert(user, now);
                scheduled_by_sweep += 1;
            }
        }
        scheduled_by_sweep
    }

    /// Moves a user's next poll to now, or as early as `min_interval` allows, unless the user waits after a failure.
    /// Returns whether there will be a poll soon.
    pub(super) fn poll_soon(&mut self, user: UserKey, now: Timestamp) -> bool {
        if !self.is_swept(user) {
            return false;
        }
        let watched = &self.users[user];
        if watched.failures > 0 || watched.state.is_rejected() {
            return false;
        }
        let soon = watched.last_ok.map_or(now, |last| last.plus(self.settings.min_interval).max(now));
        let due = watched.due;
        if due > soon || self.is_replan(user) {
            self.upstream.due.remove(due, user);
            self.cancel_replan(user);
            self.requeue(user, soon);
            self.pending.add_replanned(user);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_change_does_not_push_aside_what_waits() {
        let meeting = |id: &str| ConferenceId::parse(id).unwrap();
        let (then, later) = (Timestamp::from_ms(30_000), Timestamp::from_ms(31_000));
        let mut sweeping = OrgSweeps::default();
        sweeping.schedule_recheck(Recheck::of([(meeting("came"), true), (meeting("left"), false)]), then);
        assert_eq!(sweeping.entered, [meeting("came")].into());
        sweeping.schedule_recheck(Recheck::of([(meeting("came"), false)]), later);
        assert_eq!(sweeping.recheck, Some((then, [meeting("came"), meeting("left")].into())));
    }
}
