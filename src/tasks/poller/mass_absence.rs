//! Mass absence: many users vanish at once. One call lists the ongoing meetings as a second source, and a leave needs
//! more missing answers until then.
//!
//! Guards: at most one call for each episode, charged to the month and made once it is reserved; where it is not permitted
//! or not affordable nothing waits for it. Not here: when an absence is one of many (`policy::mass_absence`).

use std::collections::BTreeSet;

use super::effects::Work;
use super::roster::UserKey;
use super::spending;
use super::state::OrgState;
use crate::dingtalk::error::CallError;
use crate::dingtalk::meetings::OngoingMeetings;
use crate::ids::ConferenceId;
use crate::policy::quota::{Refusal, Ticket};
use crate::presence::diff::DiffRules;
use crate::presence::observation::{Evidence, Observation};

/// The rules for comparing this answer: usually those of the config.
pub(super) fn rules_for(org: &mut OrgState, user: UserKey, seen: &Observation) -> DiffRules {
    let rules = org.settings.rules;
    let watched = &org.users[user];
    let lost: Vec<ConferenceId> =
        watched.state.inside().filter(|meeting| !seen.entries.contains_key(*meeting)).cloned().collect();
    let absence = &mut org.absence;
    if lost.is_empty() {
        absence.seen(user);
        return rules;
    }
    absence.missed(user, lost, seen.observed_at, org.settings.min_interval);
    let inside =
        |watched: &&super::roster::WatchedUser| !watched.gone && watched.state.inside().next().is_some();
    let all = org.users.values().filter(inside).count();
    let gone = absence.vanished_inside(|user| org.users[user].state.inside().next().is_some());
    if absence.asks(all - gone, seen.observed_at) {
        tracing::warn!(
            org = %org.name,
            "many users vanished from their meetings at once; leaves wait for a second answer"
        );
        org.ongoing_wanted = true;
        ask_ongoing(org);
    }
    let absence = &org.absence;
    let is_listed = |meeting: &ConferenceId| org.sweeps.show(user, meeting);
    let misses = absence.misses_needed(user, rules.leave_after_misses, is_listed, seen.observed_at);
    DiffRules { leave_after_misses: misses, ..rules }
}

/// Makes the call for a second answer, if one is wanted; it may have to wait for a reservation.
pub(super) fn ask_ongoing(org: &mut OrgState) {
    org.ongoing_wanted &= org.absence.awaits_answer();
    if !org.ongoing_wanted {
        return;
    }
    let possible = org.sweeps.are_permitted() && !org.breaker.is_open();
    match possible.then(|| org.limits.take(org.now)) {
        Some(Ok(ticket)) => {
            org.limits.begin(1);
            org.start_work(Work::ListOngoing { ticket });
        }
        Some(Err(Refusal::ReserveFirst)) => return spending::reserve(org, org.now),
        Some(Err(Refusal::SpentUntil(_))) | None => org.absence.answered(None),
    }
    org.ongoing_wanted = false;
}

pub(super) fn listed(org: &mut OrgState, ticket: Ticket, result: Result<OngoingMeetings, CallError>) {
    let now = org.now;
    let calls = result.as_ref().map_or_else(|error| error.calls, |ongoing| ongoing.calls);
    org.limits.end([ticket], calls, now);
    org.tools.metrics.calls_made(&org.name, calls);
    // A missing or incomplete list confirms nothing.
    let whole = result.ok().filter(|ongoing| ongoing.complete && ongoing.evidence == Evidence::Explicit);
    let ongoing: Option<BTreeSet<ConferenceId>> =
        whole.map(|ongoing| ongoing.meetings.into_iter().map(|meeting| meeting.conference_id).collect());
    org.absence.answered(ongoing);
}
