//! One sweep from beginning to end.
//!
//! Guards: one sweep at a time, each call under the same limits as a poll and charged to the month; a sweep that lacks
//! a page, is unclear or fails on the way is discarded. Not here: its calls (`sweep_run`), when it is due (`plan`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::failures::is_about_the_question;
use super::sweep_run::{Answer, SweepRun};
use super::{apply_sweep, failures as sweep_failures, persist, plan, user_id_resolver};
use crate::dingtalk::error::CallError;
use crate::policy::quota::{Refusal, Ticket};
use crate::policy::sweep::schedule::SweepSchedule;
use crate::store::history::visit_history::PastVisit;
use crate::tasks::poller::effects::Work;
use crate::tasks::poller::roster::UserKey;
use crate::tasks::poller::settings::earliest;
use crate::tasks::poller::state::OrgState;
use crate::tasks::poller::{meeting_facts, queue, spending};
use crate::time::Timestamp;

/// A sweep that takes longer, because calls have to wait, is discarded: it does not show one instant.
const LONGEST: Duration = Duration::from_mins(2);

/// Starts and continues sweeps; returns when to call it again.
pub(in crate::tasks::poller) fn run_sweeps(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    let resolver = plan::wish(org).and_then(|_| user_id_resolver::resolve_user_ids(org, now));
    let wake = earliest(resolver, advance_sweep(org, now));
    earliest(wake, persist::persist_sweeps(org, now))
}

fn advance_sweep(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    let wish = plan::wish(org)?;
    plan::start_budget_day(org, now);
    apply_sweep::accept_held(org, now);
    let sweeping = &mut org.sweeps;
    if sweeping.calls.in_call {
        return None;
    }
    if sweeping.calls.run.is_none() {
        if !sweeping.plan.entered.is_empty() {
            sweeping.calls.run = Some(SweepRun::of_members(std::mem::take(&mut sweeping.plan.entered), now));
        } else if let Some((_, meetings)) = sweeping.plan.recheck.take_if(|(at, _)| *at <= now) {
            sweeping.calls.run = Some(SweepRun::recheck(meetings, now));
        } else {
            let again = sweeping.plan.recheck.as_ref().map(|(at, _)| *at);
            let due = sweeping.plan.due.unwrap_or_else(|| plan::plan_sweep(org, wish, now));
            let sweeping = &mut org.sweeps;
            sweeping.plan.due = Some(due);
            if due > now {
                return earliest(again, Some(due));
            }
            sweeping.calls.run = Some(SweepRun::whole(now));
        }
    }
    next_sweep_call(org, now)
}

/// Starts the next call of the running sweep, if it may be made.
fn next_sweep_call(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    let sweeping = &mut org.sweeps;
    let run = sweeping.calls.run.as_ref()?;
    if org.breaker.is_open() {
        schedule_probe(org, now);
        return Some(give_up(org, now));
    }
    if org.disk_full_since.is_some() || now.since(run.asked_at()) > LONGEST {
        return Some(give_up(org, now));
    }
    if org.limits.is_full(false) || org.gaps.is_pending() {
        return None;
    }
    if let Some(until) = org.limits.closed_until(now) {
        return Some(until);
    }
    let ticket = match org.limits.take(now) {
        Ok(ticket) => ticket,
        Err(Refusal::ReserveFirst) => {
            spending::reserve(org, now);
            return None;
        }
        Err(Refusal::SpentUntil(_)) => return Some(give_up(org, now)),
    };
    let Some(ask) = run.wanted() else {
        org.limits.give_back(ticket);
        return None;
    };
    org.limits.begin(1);
    sweeping.calls.in_call = true;
    org.start_work(Work::Sweep { ask, ticket });
    None
}

/// Only a good poll closes an open circuit. Where sweeps show all users the next poll may be far away, so it is
/// moved here.
fn schedule_probe(org: &mut OrgState, now: Timestamp) {
    if org.breaker.open().is_some_and(|shut| now < shut.until) {
        return;
    }
    let mut all: Vec<(Timestamp, UserKey)> =
        org.users.iter().map(|(user, watched)| (watched.due, user)).collect();
    all.sort_unstable();
    for (_, user) in all {
        if queue::poll_soon(org, user, now) {
            return;
        }
    }
}

/// Discards the running sweep and delays the next.
fn give_up(org: &mut OrgState, now: Timestamp) -> Timestamp {
    let later = now.plus(LONGEST);
    let sweeping = &mut org.sweeps;
    sweeping.drop_pending();
    sweeping.calls.run = None;
    sweeping.plan.due = Some(later);
    later
}

pub(in crate::tasks::poller) fn sweep_call_finished(
    org: &mut OrgState,
    ticket: Ticket,
    result: Result<Answer, CallError>,
) {
    let now = org.now;
    let cost = match &result {
        Ok(answer) => answer.calls(),
        Err(error) => error.calls,
    };
    org.limits.end([ticket], cost, now);
    org.tools.metrics.calls_made(&org.name, cost);
    let month = org.limits.budget().month(now);
    let sweeping = &mut org.sweeps;
    sweeping.calls.in_call = false;
    sweeping.spend(month, cost);
    if let Ok(Answer::Page(page)) = &result {
        meeting_facts::learn_from_page(org, page, now);
    }
    let sweeping = &mut org.sweeps;
    // Discarded during the call: the organisation is no longer swept.
    let Some(run) = sweeping.calls.run.as_mut() else { return };
    match result {
        Ok(answer) => {
            if matches!(answer, Answer::Members(_)) {
                sweeping.calls.members_refused = 0;
            }
            if run.take(answer) {
                sweep_finished(org, now);
            }
        }
        // The meeting has just ended, or its members are not readable: a batch contains less, and is answered.
        Err(error) if is_about_the_question(&error) && run.members_refused() => {
            tracing::debug!(org = %org.name, class = error.class, text = error.text, "the members of a meeting are not readable; using a batch call");
            sweeping.calls.members_refused = sweeping.calls.members_refused.saturating_add(1);
        }
        Err(error) => sweep_failures::sweep_failed(org, &error, now),
    }
}

/// Handles a sweep whose calls are all answered.
fn sweep_finished(org: &mut OrgState, now: Timestamp) {
    let sweeping = &mut org.sweeps;
    let Some(mut run) = sweeping.calls.run.take() else { return };
    let calls = run.calls();
    let members = run.members();
    let Some(mut sweep) = run.sweep(now) else {
        sweeping.calls.failures = sweeping.calls.failures.saturating_add(1);
        sweeping.plan.due = None;
        sweeping.drop_pending();
        return tracing::debug!(org = %org.name, "a sweep was incomplete; discarded");
    };
    if std::mem::take(&mut sweeping.calls.trouble).is_some() {
        tracing::info!(org = %org.name, "sweeps succeed again");
    }
    sweeping.calls.failures = 0;
    sweeping.plan.due = None;
    if members.is_empty() {
        return apply_sweep::apply_sweep(org, Arc::new(sweep), calls, now);
    }
    user_id_resolver::add_members(org, members, &mut sweep);
    apply_sweep::apply_members(org, Arc::new(sweep), calls, now);
}

/// Loads past visits into the schedule.
pub(in crate::tasks::poller) fn load_sweep_history(
    org: &mut OrgState,
    past_visits: &[PastVisit],
    now: Timestamp,
) {
    let members: BTreeSet<i64> = org.users.values().map(|watched| watched.person_id).collect();
    let ours = past_visits.iter().filter(|visit| members.contains(&visit.person_id));
    let turns = ours.flat_map(|visit| [Some(visit.joined), visit.left]).flatten();
    let mut timetable = SweepSchedule::default();
    timetable.learn(turns, now, org.settings.time_zone);
    org.sweeps.plan.timetable = timetable;
    org.sweeps.resolver.restart();
    org.sweeps.persist.touched = true;
    org.sweeps.discard_plan();
}
