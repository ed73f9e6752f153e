//! Connects the pacing rule: passes observations to it, and takes the times of polls from it.
//!
//! Guards: an organisation is paced if its month has a limit and a user has no cadence of their own; other users are
//! not paced, but their calls are subtracted. A re-plan time is not a poll. A user who waits after a failure, is
//! confirmed, or is polled past a window keeps the planned time. Not here: the rule (`policy::pace`), windows
//! (`open_windows`), who is paced together (`groups`).

use std::time::Duration;

use super::pacer::{NO_NUMBER, Plan};
use super::roster::UserKey;
use super::state::OrgState;
use super::sweep::plan;
use crate::policy::pace::PollDecision;
use crate::policy::pace::group::Budget;
use crate::time::Timestamp;

pub(super) mod groups;

/// Re-plans in a row before anything else has its turn.
pub(super) const MAX_REPLANS: u32 = 32;
/// The shortest delay after which a planned poll is late.
const AT_LEAST: Duration = Duration::from_mins(5);

/// The organisation's calls; `None`: there is no limit.
pub(super) fn budget(org: &OrgState, now: Timestamp) -> Option<Budget> {
    let (limit, fixed) = (org.limits.budget().limit()?, org.pacer.share.fixed_calls);
    let sweeps = plan::sweep_calls(org, now);
    let even = even(org, now);
    // Calls for sweeps are subtracted from polls, but do not make anything late.
    let for_looks = org.limits.budget().even_open_interval(org.pacer.share.open, fixed + sweeps, now);
    Some(Budget {
        limit,
        used: org.limits.budget().used(now),
        needed_by_others: fixed + sweeps,
        until: org.limits.budget().month_ends_at(now),
        even: even.max(for_looks.unwrap_or_default()),
        beside_sweeps: plan::beside_sweeps(org, now),
    })
}

/// The interval of all users if the rest of the month's calls were spread evenly.
pub(super) fn even(org: &OrgState, now: Timestamp) -> Duration {
    let share = &org.pacer.share;
    let even = org.limits.budget().even_open_interval(share.open, share.fixed_calls, now);
    even.unwrap_or_default().max(org.settings.min_interval)
}

/// The next poll or re-plan by the rule; `None`: the user is not paced.
pub(super) fn next_paced(org: &mut OrgState, user: UserKey, now: Timestamp) -> Option<Timestamp> {
    let watched = &org.users[user];
    let number = watched.number;
    if number == NO_NUMBER {
        return None;
    }
    let budget = budget(org, now)?;
    let next = org.pacer.groups.as_mut()?.next(number, now, budget);
    let (PollDecision::Poll(at, why) | PollDecision::Replan(at, why)) = next;
    tracing::trace!(user = watched.person_id, %at, ?why, "paced");
    let open = org.windows.times(watched.window);
    let since = watched.last_ok.unwrap_or(now);
    let gap = if open.is_always() { at.since(since) } else { open.open_between(since, at) };
    let question = matches!(next, PollDecision::Replan(..)).then_some(at);
    if let Some(plan) = org.pacer.plan_mut(number) {
        *plan = Plan { question, gap, decided: Some((now, next)) };
    }
    Some(at)
}

/// Turns the user's re-plan into a poll.
pub(super) fn cancel_replan(org: &mut OrgState, user: UserKey) {
    let watched = &org.users[user];
    if let Some(plan) = org.pacer.plan_mut(watched.number) {
        plan.question = None;
    }
}

/// The last decision about a user, and when it was made.
pub(super) fn decided(org: &OrgState, user: UserKey) -> Option<(Timestamp, PollDecision)> {
    let watched = &org.users[user];
    org.pacer.plan(watched.number)?.decided
}

/// Whether the due time is a re-plan and not a poll.
pub(super) fn is_replan(org: &OrgState, user: UserKey) -> bool {
    let watched = &org.users[user];
    let plan = org.pacer.plan(watched.number);
    plan.is_some_and(|plan| plan.question == Some(watched.due))
}

/// The open time between the last good poll and the planned one.
pub(super) fn planned_gap(org: &OrgState, user: UserKey) -> Option<Duration> {
    let watched = &org.users[user];
    org.pacer.plan(watched.number).map(|plan| plan.gap)
}

/// A paced poll is late some time after its planned time, not an interval after the last poll.
pub(super) fn expect_planned(org: &OrgState, now: Timestamp) {
    if org.pacer.groups.is_none() || org.breaker.failing_since().is_some() {
        return;
    }
    if let Some(due) = org.due.next_due(true) {
        org.health.expect_look(due.max(now).plus((even(org, now) * 3).max(AT_LEAST)));
    }
}
