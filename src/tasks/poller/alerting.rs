//! The alerts about polling: `budget`, `auth`, `upstream`.
//!
//! Guards: each fires when its condition begins and is resolved when it ends. Not here: emitting them
//! (`tasks::alerts`).

use std::time::Duration;

use super::effects::Work;
use super::org::OrgPoller;
use super::settings::earliest;
use super::upstream::UpstreamState;
use crate::policy::circuit::Cause;
use crate::presence::system::AlertName;
use crate::time::Timestamp;

/// How often the conditions are checked.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Time without a good poll, while polls are due, after which `upstream` fires.
const UPSTREAM_AFTER: Duration = Duration::from_mins(5);

impl OrgPoller {
    /// Fires and resolves alerts; returns when to call it again.
    pub(super) fn check_alerts(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.alerts.begin_check(now, CHECK_EVERY) {
            self.check_budget(now);
            self.check_auth(now);
            self.check_upstream(now);
            self.write_usage(now);
            self.report_reasons(now);
        }
        earliest(Some(self.alerts.next_check()), self.emit_next(now))
    }

    fn check_budget(&mut self, now: Timestamp) {
        let upstream = &mut self.upstream;
        let month = upstream.budget.month(now);
        // A new month resolves it; a problem of the new month is another alert.
        let changed = std::mem::replace(&mut upstream.alert_month, month) != month;
        let fires = self.alerts.fires(&upstream.name, AlertName::Budget);
        let trouble = budget_problem(upstream, fires, now);
        // Until the first good poll after a restart the alert stays.
        let unknown = || fires && upstream.last_good.is_none();
        let firing = trouble.or_else(|| unknown().then(String::new)).filter(|_| !changed);
        self.set_alert(AlertName::Budget, firing, "the calls suffice", now);
    }

    fn check_auth(&mut self, now: Timestamp) {
        let upstream = &self.upstream;
        let (org, name) = (&upstream.name, AlertName::Auth);
        let refused = match upstream.standing.open {
            Some(shut) => shut.cause == Cause::Auth || self.alerts.fires(org, name),
            // Until the first good poll after a restart the alert stays.
            None => upstream.last_good.is_none() && self.alerts.fires(org, name),
        };
        let firing = refused.then(|| format!("{org}: {}", upstream.error_text));
        self.set_alert(name, firing, "calls are accepted again", now);
    }

    fn check_upstream(&mut self, now: Timestamp) {
        let upstream = &self.upstream;
        let (org, name) = (&upstream.name, AlertName::Upstream);
        let other =
            upstream.standing.open.is_some_and(|s| matches!(s.cause, Cause::Auth | Cause::MonthSpent));
        let fires = self.alerts.fires(org, name);
        let down = match upstream.standing.since {
            Some(_) if fires => true,
            Some(since) => {
                // A wait of that length is certain from its beginning.
                let waits = upstream.standing.open.map_or(now, |shut| shut.until.max(now));
                !other && waits.since(since) >= UPSTREAM_AFTER && self.may_poll_any()
            }
            None => upstream.last_good.is_none() && fires,
        };
        let firing = down.then(|| {
            let minutes = upstream.standing.since.map_or(0, |since| now.since(since).as_secs() / 60);
            format!("{org}: no good answer for {minutes} minutes: {}", upstream.error_text)
        });
        self.set_alert(name, firing, "DingTalk answers again", now);
    }

    /// Writes the number of refused calls when it has changed; a paused organisation writes nothing else.
    fn write_usage(&mut self, now: Timestamp) {
        let upstream = &mut self.upstream;
        if !std::mem::take(&mut upstream.usage_changed) || upstream.reserving {
            return;
        }
        let written = upstream.budget.written();
        let calls = upstream.call_count(written.month, written.calls, now);
        self.start_work(Work::SaveCalls(calls));
    }

    fn may_poll_any(&self) -> bool {
        let mut people = self.users.iter().filter(|(_, watched)| !watched.gone);
        people.any(|(user, _)| self.may_poll(user))
    }

    fn set_alert(&mut self, name: AlertName, firing: Option<String>, resolved: &str, now: Timestamp) {
        let org = &self.upstream.name;
        self.alerts.set(org, name, firing, resolved, now);
    }
}

/// Whether the month's calls are spent or will not cover fixed schedules; it counts as resolved only with some slack.
fn budget_problem(upstream: &UpstreamState, fires: bool, now: Timestamp) -> Option<String> {
    let org = &upstream.name;
    if upstream.budget.left(now) == Some(0) || upstream.is_month_spent() {
        let until = upstream.budget.month_ends_at(now);
        return Some(format!("{org}: the month's calls are spent; the month turns at {until}"));
    }
    let limit = upstream.budget.limit()?;
    let fixed = upstream.share.fixed_calls;
    let projected = upstream.budget.used(now).saturating_add(fixed);
    let slack = if fires { limit / 50 } else { 0 };
    (fixed > 0 && projected > limit.saturating_sub(slack)).then(|| {
        format!("{org}: at these intervals the month comes to {projected} calls; calls_per_month is {limit}")
    })
}
