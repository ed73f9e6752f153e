//! Applies a sweep: accept it, hold it until a poll confirms it, or only use it to schedule polls.
//!
//! Guards: a sweep that is not trusted changes no user's presence; if a sweep misses more than half of the users
//! inside, no user leaves before a poll shows one of them gone; a user who is polled or recorded at the moment is
//! skipped. Not here: the decision (`policy::sweep`), its effect on a state (`presence::sweep`).

use std::sync::Arc;
use std::time::Duration;

use super::compare_with_poll;
use super::state::{HeldSweep, MAX_UNMATCHED};
use crate::ids::ConferenceId;
use crate::policy::sweep::decision;
use crate::policy::sweep::decision::PresenceChange;
use crate::policy::sweep::recheck::Recheck;
use crate::presence::sweep_view::{POLL_PRECEDENCE, Sweep, SweepChange};
use crate::presence::{sweep, sweep_view};
use crate::tasks::poller::roster::UserKey;
use crate::tasks::poller::state::OrgState;
use crate::tasks::poller::{queue, record};
use crate::time::Timestamp;

/// Delay of a recheck of what a sweep changed.
const RECHECK_AFTER: Duration = Duration::from_secs(30);
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

/// Applies a complete sweep.
pub(super) fn apply_sweep(org: &mut OrgState, sweep: Arc<Sweep>, calls: u32, now: Timestamp) {
    compare_with_poll::settle_contradictions(org, &sweep, now);
    let sweeping = &mut org.sweeps;
    sweeping.newest.listed.extend(sweep.meetings.iter().map(|meeting| (meeting.clone(), now)));
    sweeping.newest.listed.retain(|_, seen| now.since(*seen) < REMEMBERED);
    let changes = evaluate(org, &sweep);
    let sweeping = &mut org.sweeps;
    sweeping.newest.listed_users.extend(&changes.listed_users);
    sweeping.newest.held = None;
    let trusted = sweeping.trust.is_trusted();
    let verdict = if sweep.requested.is_none() {
        sweeping.newest.inside = changes.inside;
        decision::decide(trusted, changes.inside, &changes.changes, &decision::joined_alone(changes.came()))
    } else {
        decision::decide_recheck(trusted, changes.inside.max(sweeping.newest.inside), &changes.changes)
    };
    if sweep.requested.is_none() {
        let more = if trusted { verdict.calls(&changes.again(&verdict.polls)) } else { 0 };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        sweeping.plan.timetable.record_cost(f64::from(calls.saturating_add(more)));
        let since = sweeping.newest.last.replace(Arc::clone(&sweep)).map(|last| last.observed_at);
        sweeping.calls.swept = Some(now);
        let changes = changes.changes.iter().filter(|(_, change)| *change != PresenceChange::Unclear).count();
        sweeping.plan.timetable.record_changes(since, now, changes, org.settings.time_zone);
        sweeping.plan.recheck_count = 0;
    }
    tracing::debug!(
        org = %org.name, calls, trusted, meetings = sweep.meetings.len(),
        inside = changes.inside, changes = changes.changes.len(), "evaluated a sweep"
    );
    if !verdict.trusted {
        if schedule_polls(org, &verdict.polls, MAX_POLLS, now) == 0
            && schedule_polls(org, &changes.unchanged_inside, MAX_VERIFIED, now) == 0
        {
            schedule_polls(org, &changes.id_probes, MAX_ID_PROBES, now);
        }
        return;
    }
    let confirmed_mass_leave =
        org.sweeps.newest.confirmed_mass_leave.is_some_and(|at| now.since(at) < HELD_FOR);
    match verdict.poll_first.first() {
        Some(&user) if !confirmed_mass_leave => hold_sweep(org, sweep, user, now),
        _ => accept(org, &sweep, &verdict.polls, now),
    }
}

fn evaluate(org: &OrgState, sweep: &Sweep) -> SweepChanges {
    let mut found = SweepChanges::default();
    let sweeping = &org.sweeps;
    for (user, watched) in &org.users {
        if watched.gone {
            continue;
        }
        let union_id = watched.info.identity.union_id.as_str();
        let Some(seats) = sweeping.seats(user, union_id, sweep).filter(|_| queue::is_swept(org, user)) else {
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
pub(super) fn apply_members(org: &mut OrgState, sweep: Arc<Sweep>, calls: u32, now: Timestamp) {
    let doubted: Vec<UserKey> = org
        .users
        .iter()
        .filter(|(user, _)| queue::is_swept(org, *user))
        .filter(|(user, watched)| {
            let union_id = watched.info.identity.union_id.as_str();
            let glance = org.sweeps.glance(*user, union_id, &sweep);
            glance.is_some_and(|glance| sweep_view::retracts_join(&watched.state, &glance))
        })
        .map(|(user, _)| user)
        .collect();
    apply_sweep(org, sweep, calls, now);
    schedule_polls(org, &doubted, MAX_POLLS, now);
}

/// Holds a sweep that misses more than half of the users inside, until a poll of one of them.
fn hold_sweep(org: &mut OrgState, sweep: Arc<Sweep>, user: UserKey, now: Timestamp) {
    let watched = &org.users[user];
    let union_id = watched.info.identity.union_id.as_str();
    let Some(glance) = org.sweeps.glance(user, union_id, &sweep) else { return };
    let says = sweep_view::changes(&watched.state, &glance);
    let left = says.into_iter().filter(|(_, says)| matches!(says, SweepChange::Left(_)));
    let left = left.map(|(meeting, _)| meeting).collect();
    if queue::poll_soon(org, user, now) {
        let until = now.plus(HELD_FOR);
        org.sweeps.newest.held = Some(HeldSweep { sweep, user, left, until, confirmed: false });
    }
}

/// Accepts the held sweep if a poll has confirmed it.
pub(super) fn accept_held(org: &mut OrgState, now: Timestamp) {
    let sweeping = &mut org.sweeps;
    let Some(held) = sweeping.newest.held.take_if(|held| held.confirmed || now > held.until) else { return };
    if held.confirmed && sweeping.trust.is_trusted() {
        sweeping.newest.confirmed_mass_leave = Some(now);
        accept(org, &held.sweep, &[], now);
    }
}

/// Accepts a sweep for all users but those who are polled.
fn accept(org: &mut OrgState, sweep: &Sweep, looks: &[UserKey], now: Timestamp) {
    let (mut turns, mut changed) = (Vec::new(), Vec::new());
    for user in org.user_keys() {
        if looks.contains(&user) || !queue::is_swept(org, user) {
            continue;
        }
        let watched = &mut org.users[user];
        let union_id = watched.info.identity.union_id.as_str();
        let Some(glance) = org.sweeps.glance(user, union_id, sweep) else { continue };
        let (card, source) = (watched.info.card(), &org.tools.source);
        let outcome = sweep::observe(&watched.state, &glance, &card, source, &org.settings.rules);
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
        queue::update_pacing(org, user, now, Some(&outcome.state), &outcome.visits);
        let watched = &mut org.users[user];
        let due = watched.due;
        org.due.remove(due, user);
        record::record_outcome(org, user, outcome, due);
    }
    org.sweeps.schedule_recheck(Recheck::of(turns), now.plus(RECHECK_AFTER.max(org.settings.min_interval)));
    schedule_polls(org, looks, usize::MAX, now);
}

/// Schedules polls of at most `most` of these users, none twice while the first poll is fresh. Returns how many.
fn schedule_polls(org: &mut OrgState, people: &[UserKey], most: usize, now: Timestamp) -> usize {
    org.sweeps.newest.scheduled_by_sweep.retain(|_, at| now.since(*at) < POLL_PRECEDENCE);
    let mut scheduled_by_sweep = 0;
    for &user in people {
        if scheduled_by_sweep == most {
            break;
        }
        if !org.sweeps.newest.scheduled_by_sweep.contains_key(&user) && queue::poll_soon(org, user, now) {
            org.sweeps.newest.scheduled_by_sweep.insert(user, now);
            scheduled_by_sweep += 1;
        }
    }
    scheduled_by_sweep
}
