//! The alerts about polling: `budget`, `auth`, `upstream`.
//!
//! Guards: each fires when its condition begins and is resolved when it ends. Not here: emitting them
//! (`tasks::alerts`).

use std::time::Duration;

use super::alert_queue::EmitStep;
use super::effects::Work;
use super::settings::earliest;
use super::state::OrgState;
use super::{reasons, schedule};
use crate::policy::circuit::Cause;
use crate::presence::system::AlertName;
use crate::time::Timestamp;

/// How often the conditions are checked.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Time without a good poll, while polls are due, after which `upstream` fires.
const UPSTREAM_AFTER: Duration = Duration::from_mins(5);

/// Whether the month's calls are spent or will not cover fixed schedules; it counts as resolved only with some slack.
fn budget_problem(org: &OrgState, fires: bool, now: Timestamp) -> Option<String> {
    let name = &org.name;
    if org.limits.budget().left(now) == Some(0) || org.breaker.is_open_for(Cause::MonthSpent) {
        let until = org.limits.budget().month_ends_at(now);
        return Some(format!("{name}: the month's calls are spent; the month turns at {until}"));
    }
    let limit = org.limits.budget().limit()?;
    let fixed = org.pacer.share.fixed_calls;
    let projected = org.limits.budget().used(now).saturating_add(fixed);
    let slack = if fires { limit / 50 } else { 0 };
    (fixed > 0 && projected > limit.saturating_sub(slack)).then(|| {
        format!("{name}: at these intervals the month comes to {projected} calls; calls_per_month is {limit}")
    })
}

/// Fires and resolves alerts; returns when to call it again.
pub(super) fn check_alerts(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    if org.alerts.begin_check(now, CHECK_EVERY) {
        check_budget(org, now);
        check_auth(org, now);
        check_upstream(org, now);
        write_usage(org, now);
        reasons::report_reasons(org, now);
    }
    earliest(Some(org.alerts.next_check()), emit_next(org, now))
}

fn check_budget(org: &mut OrgState, now: Timestamp) {
    let month = org.limits.budget().month(now);
    // A new month resolves it; a problem of the new month is another alert.
    let changed = org.alerts.begin_month(month);
    let fires = org.alerts.fires(&org.name, AlertName::Budget);
    let trouble = budget_problem(org, fires, now);
    // Until the first good poll after a restart the alert stays.
    let unknown = || fires && org.breaker.last_good().is_none();
    let firing = trouble.or_else(|| unknown().then(String::new)).filter(|_| !changed);
    set_alert(org, AlertName::Budget, firing, "the calls suffice", now);
}

fn check_auth(org: &mut OrgState, now: Timestamp) {
    let name = AlertName::Auth;
    let refused = match org.breaker.open() {
        Some(shut) => shut.cause == Cause::Auth || org.alerts.fires(&org.name, name),
        // Until the first good poll after a restart the alert stays.
        None => org.breaker.last_good().is_none() && org.alerts.fires(&org.name, name),
    };
    let firing = refused.then(|| format!("{}: {}", org.name, org.breaker.text()));
    set_alert(org, name, firing, "calls are accepted again", now);
}

fn check_upstream(org: &mut OrgState, now: Timestamp) {
    let name = AlertName::Upstream;
    let other = org.breaker.open().is_some_and(|s| matches!(s.cause, Cause::Auth | Cause::MonthSpent));
    let fires = org.alerts.fires(&org.name, name);
    let down = match org.breaker.failing_since() {
        Some(_) if fires => true,
        Some(since) => {
            // A wait of that length is certain from its beginning.
            let waits = org.breaker.open().map_or(now, |shut| shut.until.max(now));
            !other && waits.since(since) >= UPSTREAM_AFTER && may_poll_any(org)
        }
        None => org.breaker.last_good().is_none() && fires,
    };
    let firing = down.then(|| {
        let minutes = org.breaker.failing_since().map_or(0, |since| now.since(since).as_secs() / 60);
        format!("{}: no good answer for {minutes} minutes: {}", org.name, org.breaker.text())
    });
    set_alert(org, name, firing, "DingTalk answers again", now);
}

/// Writes the number of refused calls when it has changed; a paused organisation writes nothing else.
fn write_usage(org: &mut OrgState, now: Timestamp) {
    if let Some(count) = org.limits.take_changed_count(now) {
        org.start_work(Work::SaveCalls { org: org.name.clone(), count });
    }
}

fn may_poll_any(org: &OrgState) -> bool {
    let mut people = org.users.iter().filter(|(_, watched)| !watched.gone);
    people.any(|(user, _)| schedule::may_poll(org, user))
}

fn set_alert(org: &mut OrgState, name: AlertName, firing: Option<String>, resolved: &str, now: Timestamp) {
    org.alerts.set(&org.name, name, firing, resolved, now);
}

/// Emits the next event, one at a time; returns when to try again after a failure.
pub(super) fn emit_next(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    let event = match org.alerts.begin_emit(now) {
        EmitStep::Nothing => return None,
        EmitStep::RetryAt(at) => return Some(at),
        EmitStep::Emit(event) => event,
    };
    org.start_work(Work::Emit(event));
    None
}
