//! Mass absence: many users vanish at once. One call lists the ongoing meetings as a second source, and a leave needs
//! more missing answers until then.
//!
//! Guards: at most one call for each episode, charged to the month; without that call nothing waits for it. Not here:
//! when an absence is one of many (`policy::mass_absence`).

use crate::tasks::poller::roster::UserKey;
use std::collections::BTreeSet;

use super::effects::Work;
use super::org::OrgPoller;
use crate::dingtalk::error::CallError;
use crate::dingtalk::meetings::OngoingMeetings;
use crate::ids::ConferenceId;
use crate::policy::quota::Ticket;
use crate::presence::diff::DiffRules;
use crate::presence::observation::{Evidence, Observation};

impl OrgPoller {
    /// The rules for comparing this answer: usually those of the config.
    pub(super) fn rules_for(&mut self, user: UserKey, seen: &Observation) -> DiffRules {
        let rules = self.settings.rules;
        let watched = &self.users[user];
        let lost: Vec<ConferenceId> =
            watched.state.inside().filter(|meeting| !seen.entries.contains_key(*meeting)).cloned().collect();
        let absence = &mut self.absence;
        if lost.is_empty() {
            absence.seen(user);
            return rules;
        }
        absence.missed(user, lost, seen.observed_at, self.settings.min_interval);
        let inside =
            |watched: &&super::roster::WatchedUser| !watched.gone && watched.state.inside().next().is_some();
        let all = self.users.values().filter(inside).count();
        let gone = absence.vanished_inside(|user| self.users[user].state.inside().next().is_some());
        if absence.asks(all - gone, seen.observed_at) {
            tracing::warn!(
                org = %self.upstream.name,
                "many users vanished from their meetings at once; leaves wait for a second answer"
            );
            self.ask_ongoing();
        }
        let absence = &self.absence;
        let is_listed = |meeting: &ConferenceId| self.sweeps.show(user, meeting);
        let misses = absence.misses_needed(user, rules.leave_after_misses, is_listed, seen.observed_at);
        DiffRules { leave_after_misses: misses, ..rules }
    }

    fn ask_ongoing(&mut self) {
        let now = self.now;
        let upstream = &mut self.upstream;
        let possible = self.sweeps.are_permitted() && upstream.standing.open.is_none();
        let Some(ticket) = possible.then(|| upstream.budget.try_take(now).ok()).flatten() else {
            return self.absence.answered(None);
        };
        upstream.limiter.begin();
        upstream.in_flight += 1;
        self.start_work(Work::ListOngoing { ticket });
    }

    pub(super) fn listed(&mut self, ticket: Ticket, result: Result<OngoingMeetings, CallError>) {
        let now = self.now;
        let upstream = &mut self.upstream;
        upstream.in_flight -= 1;
        upstream.limiter.done(now);
        let calls = result.as_ref().map_or_else(|error| error.calls, |ongoing| ongoing.calls);
        upstream.budget.settle(ticket, calls);
        self.tools.metrics.calls_made(&upstream.name, calls);
        // A missing or incomplete list confirms nothing.
        let whole = result.ok().filter(|ongoing| ongoing.complete && ongoing.evidence == Evidence::Explicit);
        let ongoing: Option<BTreeSet<ConferenceId>> =
            whole.map(|ongoing| ongoing.meetings.into_iter().map(|meeting| meeting.conference_id).collect());
        self.absence.answered(ongoing);
    }
}
