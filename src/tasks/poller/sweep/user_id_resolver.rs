//! Resolves the ids by which sweeps name users: from polls, and from the organisation's contacts.
//!
//! Guards: one request at a time, a bounded number a minute, under the same rate and slots as polls; a user just seen
//! in a listed meeting comes first, all others only once sweeps are known to report userids; a refusal is logged once,
//! and then those users are only polled. These calls are not charged to the month. Not here: what may be concluded
//! (`policy::sweep::ids`), the call (`dingtalk`).

use std::time::Duration;

use super::compare_with_poll::PollView;
use super::members::MemberStatuses;
use super::state::{MAX_UNMATCHED, SweepEngine};
use crate::dingtalk::error::{CallError, Verdict, class};
use crate::ids::{ConferenceId, OrgName};
use crate::policy::sweep::ids::{IdEvidence, IdKind};
use crate::presence::sweep_view::Sweep;
use crate::tasks::poller::effects::Work;
use crate::tasks::poller::failures;
use crate::tasks::poller::failures::Asked;
use crate::tasks::poller::roster::UserKey;
use crate::tasks::poller::state::OrgState;
use crate::time::Timestamp;

/// Interval of requests: at most twenty a minute.
const BETWEEN: Duration = Duration::from_secs(3);
/// Delay after a failed request; doubled for each further failure, at most `LONGEST`.
const AFTER_FAILURE: Duration = Duration::from_mins(5);
const LONGEST: Duration = Duration::from_hours(2);
/// Number of missing paths in a row that count as a refusal.
const REFUSED_AFTER: u32 = 3;

impl SweepEngine {
    /// Acts on what a poll shows about ids.
    pub(super) fn apply_id_evidence(&mut self, user: UserKey, lesson: IdEvidence, org: &OrgName) {
        match lesson {
            IdEvidence::Nothing => {}
            IdEvidence::Learned(kind) => {
                tracing::info!(%org, by = kind.name(), "a poll shows which ids sweeps report");
                self.trust.reset_agreements();
                self.unmatched_ids = 0;
                self.resolver.restart();
                self.persist.mark_urgent();
            }
            IdEvidence::AskContacts => {
                if !self.resolver.first.contains(&user) {
                    self.resolver.first.push_back(user);
                }
            }
            IdEvidence::Unmatched => {
                self.unmatched_ids = self.unmatched_ids.saturating_add(1);
                if self.unmatched_ids == MAX_UNMATCHED {
                    tracing::info!(%org, "sweeps list neither unionIds nor known userids of watched users in meetings where polls show them; sweeps are not trusted");
                }
            }
            IdEvidence::Reset => {
                tracing::warn!(%org, "sweeps seem to report other ids than before; they only schedule polls until the kind of ids is known again");
                self.trust.reset_agreements();
                self.drop_pending();
                self.plan.due = None;
                self.persist.mark_urgent();
            }
        }
    }
}

/// Requests a userid, if one is needed; returns when to call it again.
pub(super) fn resolve_user_ids(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    let user = next_unresolved(org)?;
    let resolver = &mut org.sweeps.resolver;
    let busy = org.limits.is_full(false) || org.gaps.is_pending();
    if resolver.asking || busy || org.breaker.is_open() {
        return None;
    }
    let soonest = org.limits.closed_until(now).unwrap_or(now).max(resolver.next);
    if soonest > now {
        return Some(soonest);
    }
    resolver.asking = true;
    resolver.next = now.plus(BETWEEN);
    org.limits.begin(1);
    let union_id = org.users[user].info.identity.union_id.clone();
    org.start_work(Work::FindUserId { user, union_id });
    None
}

/// The user to resolve next.
fn next_unresolved(org: &mut OrgState) -> Option<UserKey> {
    let SweepEngine { ids, resolver, .. } = &mut org.sweeps;
    if ids.is_refused() {
        return None;
    }
    let (people, tools) = (&org.users, &org.tools);
    let wanted = |user: UserKey| {
        people.get(user).is_some_and(|watched| !watched.gone && !tools.is_erased(watched.person_id))
            && ids.may_ask(user)
    };
    while let Some(&user) = resolver.first.front() {
        if wanted(user) {
            return Some(user);
        }
        resolver.first.pop_front();
    }
    if ids.kind() != Some(IdKind::Userid) {
        return None;
    }
    let rest = resolver.rest.get_or_insert_with(|| people.keys().collect());
    while let Some(&user) = rest.last() {
        if wanted(user) {
            return Some(user);
        }
        rest.pop();
    }
    None
}

/// Handles the answer of the contacts.
pub(in crate::tasks::poller) fn named(
    org: &mut OrgState,
    user: UserKey,
    result: Result<Option<String>, CallError>,
) {
    let now = org.now;
    org.limits.end_uncharged(now);
    let sweeping = &mut org.sweeps;
    sweeping.resolver.asking = false;
    let userid = match result {
        Ok(userid) => userid,
        // Refused for this user only.
        Err(error) if error.verdict.is_refusal() => None,
        Err(error) => return user_id_failed(org, &error, now),
    };
    sweeping.resolver.failures = 0;
    let org_name = &org.name;
    if std::mem::take(&mut sweeping.resolver.trouble).is_some() {
        tracing::info!(org = %org_name, "the contacts API answers again");
    }
    let Some(watched) = org.users.get(user) else { return };
    if userid.is_none() && !std::mem::replace(&mut sweeping.resolver.lacking, true) {
        let user = watched.person_id;
        tracing::info!(org = %org_name, user, "user not found in contacts; sweeps cannot report this user, polling individually");
    }
    let owner = userid.as_deref().and_then(|userid| sweeping.ids.owner(userid));
    if let Some(owner) = owner.filter(|owner| org.users[*owner].gone) {
        // The user may have left the list and returned.
        sweeping.ids.remove(owner);
    }
    sweeping.ids.set_userid(user, userid);
    sweeping.persist.note(Some(user));
    if sweeping.ids.kind().is_none() {
        learn_from_state(org, user);
    }
}

fn user_id_failed(org: &mut OrgState, error: &CallError, now: Timestamp) {
    let sweeping = &mut org.sweeps;
    let resolver = &mut sweeping.resolver;
    resolver.failures = resolver.failures.saturating_add(1);
    let doublings = resolver.failures.min(10) - 1;
    resolver.next = now.plus(AFTER_FAILURE.saturating_mul(1 << doublings).min(LONGEST));
    let (org_name, class, text) = (&org.name, error.class, &error.text);
    let (code, request_id) = (error.code.as_deref(), error.request_id.as_deref());
    let refused = match error.verdict {
        Verdict::Forbidden => error.class != class::IP_NOT_ALLOWED,
        Verdict::Misconfigured => resolver.failures >= REFUSED_AFTER,
        _ => false,
    };
    if refused {
        if sweeping.ids.mark_refused() {
            sweeping.persist.touched = true;
            tracing::warn!(org = %org_name, class, text, code, request_id, "DingTalk refuses to read the contacts; sweeps cannot report users without a known userid, polling them individually");
        }
        return;
    }
    if resolver.trouble.replace(class) == Some(class) {
        tracing::debug!(org = %org_name, class, text, code, request_id, "the contacts API does not answer");
    } else {
        tracing::warn!(org = %org_name, class, text, code, request_id, "the contacts API does not answer; retrying later");
    }
    // The address is banned, for every host.
    if error.verdict == Verdict::Banned {
        let key = org.key;
        failures::react_to(org, error, &Asked::of_organisation(0, org.settings.min_interval, key), now);
        org.alerts.check_by(now);
    }
}

/// A new userid may match the sweep in which a poll shows the user.
fn learn_from_state(org: &mut OrgState, user: UserKey) {
    let watched = &org.users[user];
    let sweeping = &mut org.sweeps;
    let Some(last) = sweeping.newest.last.clone() else { return };
    let poll = PollView { at: last.observed_at, entries: None, state: &watched.state };
    let lesson = sweeping.learn(user, watched.info.identity.union_id.as_str(), &last, &poll);
    sweeping.apply_id_evidence(user, lesson, &org.name);
}

/// Member lists use unionIds; here they are stored under the ids that sweeps report.
pub(super) fn add_members(org: &OrgState, members: Vec<(ConferenceId, MemberStatuses)>, sweep: &mut Sweep) {
    let sweeping = &org.sweeps;
    for (meeting, statuses) in members {
        for (user, watched) in &org.users {
            let union_id = watched.info.identity.union_id.as_str();
            let id = sweeping.ids.id_of(user, union_id);
            if let Some((id, status)) = id.zip(statuses.get(union_id)) {
                sweep.participants.entry(id.to_owned()).or_default().insert(meeting.clone(), *status);
            }
        }
        sweep.meetings.insert(meeting);
    }
}
