//! Resolves the ids by which sweeps name users: from polls, and from the organisation's contacts.
//!
//! Guards: one request at a time, a bounded number a minute, under the same rate and slots as polls; a user just seen
//! in a listed meeting comes first, all others only once sweeps are known to report userids; a refusal is logged once,
//! and then those users are only polled. These calls are not charged to the month. Not here: what may be concluded
//! (`policy::sweep::ids`), the call (`dingtalk`).

use crate::tasks::poller::roster::UserKey;
use std::collections::VecDeque;
use std::time::Duration;

use super::OrgSweeps;
use super::compare_with_poll::PollView;
use super::members::MemberStatuses;
use crate::dingtalk::error::{CallError, Verdict, class};
use crate::ids::{ConferenceId, OrgName};
use crate::policy::sweep::ids::{IdEvidence, IdKind};
use crate::presence::sweep_view::Sweep;
use crate::tasks::poller::effects::Work;
use crate::tasks::poller::failures::Asked;
use crate::tasks::poller::org::OrgPoller;
use crate::time::Timestamp;

/// Interval of requests: at most twenty a minute.
const BETWEEN: Duration = Duration::from_secs(3);
/// Delay after a failed request; doubled for each further failure, at most `LONGEST`.
const AFTER_FAILURE: Duration = Duration::from_mins(5);
const LONGEST: Duration = Duration::from_hours(2);
/// Number of polls without a matching id in the sweep after which that is logged.
pub(super) const MAX_UNMATCHED: u32 = 3;
/// Number of missing paths in a row that count as a refusal.
const REFUSED_AFTER: u32 = 3;

/// The requests of one organisation.
#[derive(Debug, Default)]
pub(super) struct UserIdResolver {
    /// Users seen in a listed meeting: resolved before all others.
    first: VecDeque<UserKey>,
    /// Users who were not considered yet; `None`: none was.
    rest: Option<Vec<UserKey>>,
    asking: bool,
    /// No request before this time.
    next: Timestamp,
    /// Failed requests in a row.
    failures: u32,
    /// Class of the last logged failure.
    trouble: Option<&'static str>,
    /// It is logged that the contacts lack a user.
    lacking: bool,
}

impl UserIdResolver {
    /// The watch list may have changed: every user is considered again.
    pub(super) fn restart(&mut self) {
        self.rest = None;
    }
}

impl OrgPoller {
    /// Requests a userid, if one is needed; returns when to call it again.
    pub(super) fn resolve_user_ids(&mut self, now: Timestamp) -> Option<Timestamp> {
        let user = self.next_unresolved()?;
        let resolver = &mut self.sweeps.resolver;
        let upstream = &mut self.upstream;
        let busy = upstream.in_flight >= upstream.places() || upstream.gap_pending;
        if resolver.asking || busy || upstream.standing.open.is_some() {
            return None;
        }
        let soonest = upstream.paused(now).unwrap_or(now);
        let soonest = soonest.max(upstream.limiter.next_free(now)).max(resolver.next);
        if soonest > now {
            return Some(soonest);
        }
        resolver.asking = true;
        resolver.next = now.plus(BETWEEN);
        upstream.limiter.begin();
        upstream.in_flight += 1;
        let union_id = self.users[user].info.identity.union_id.clone();
        self.start_work(Work::FindUserId { user, union_id });
        None
    }

    /// The user to resolve next.
    fn next_unresolved(&mut self) -> Option<UserKey> {
        let OrgSweeps { ids, resolver, .. } = &mut self.sweeps;
        if ids.is_refused() {
            return None;
        }
        let (people, tools) = (&self.users, &self.tools);
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
        &mut self,
        user: UserKey,
        result: Result<Option<String>, CallError>,
    ) {
        let now = self.now;
        let upstream = &mut self.upstream;
        upstream.in_flight -= 1;
        upstream.limiter.done(now);
        let sweeping = &mut self.sweeps;
        sweeping.resolver.asking = false;
        let userid = match result {
            Ok(userid) => userid,
            // Refused for this user only.
            Err(error) if error.verdict.is_refusal() => None,
            Err(error) => return self.user_id_failed(&error, now),
        };
        sweeping.resolver.failures = 0;
        let org = &self.upstream.name;
        if std::mem::take(&mut sweeping.resolver.trouble).is_some() {
            tracing::info!(%org, "the contacts API answers again");
        }
        let Some(watched) = self.users.get(user) else { return };
        if userid.is_none() && !std::mem::replace(&mut sweeping.resolver.lacking, true) {
            let user = watched.person_id;
            tracing::info!(%org, user, "user not found in contacts; sweeps cannot report this user, polling individually");
        }
        let owner = userid.as_deref().and_then(|userid| sweeping.ids.owner(userid));
        if let Some(owner) = owner.filter(|owner| self.users[*owner].gone) {
            // The user may have left the list and returned.
            sweeping.ids.remove(owner);
        }
        sweeping.ids.set_userid(user, userid);
        sweeping.persist.note(Some(user));
        if sweeping.ids.kind().is_none() {
            self.learn_from_state(user);
        }
    }

    fn user_id_failed(&mut self, error: &CallError, now: Timestamp) {
        let sweeping = &mut self.sweeps;
        let resolver = &mut sweeping.resolver;
        resolver.failures = resolver.failures.saturating_add(1);
        let doublings = resolver.failures.min(10) - 1;
        resolver.next = now.plus(AFTER_FAILURE.saturating_mul(1 << doublings).min(LONGEST));
        let (org, class, text) = (&self.upstream.name, error.class, &error.text);
        let (code, request_id) = (error.code.as_deref(), error.request_id.as_deref());
        let refused = match error.verdict {
            Verdict::Forbidden => error.class != class::IP_NOT_ALLOWED,
            Verdict::Misconfigured => resolver.failures >= REFUSED_AFTER,
            _ => false,
        };
        if refused {
            if sweeping.ids.mark_refused() {
                sweeping.persist.touched = true;
                tracing::warn!(%org, class, text, code, request_id, "DingTalk refuses to read the contacts; sweeps cannot report users without a known userid, polling them individually");
            }
            return;
        }
        if resolver.trouble.replace(class) == Some(class) {
            tracing::debug!(%org, class, text, code, request_id, "the contacts API does not answer");
        } else {
            tracing::warn!(%org, class, text, code, request_id, "the contacts API does not answer; retrying later");
        }
        // The address is banned, for every host.
        if error.verdict == Verdict::Banned {
            let key = self.upstream.key;
            self.react_to(error, &Asked::of_organisation(0, self.settings.min_interval, key), now);
            self.alerts.check_by(now);
        }
    }

    /// A new userid may match the sweep in which a poll shows the user.
    fn learn_from_state(&mut self, user: UserKey) {
        let watched = &self.users[user];
        let sweeping = &mut self.sweeps;
        let Some(last) = sweeping.last.clone() else { return };
        let poll = PollView { at: last.observed_at, entries: None, state: &watched.state };
        let lesson = sweeping.learn(user, watched.info.identity.union_id.as_str(), &last, &poll);
        sweeping.apply_id_evidence(user, lesson, &self.upstream.name);
    }
}

impl OrgPoller {
    /// Member lists use unionIds; here they are stored under the ids that sweeps report.
    pub(super) fn add_members(&self, members: Vec<(ConferenceId, MemberStatuses)>, sweep: &mut Sweep) {
        let sweeping = &self.sweeps;
        for (meeting, statuses) in members {
            for (user, watched) in &self.users {
                let union_id = watched.info.identity.union_id.as_str();
                let id = sweeping.ids.id_of(user, union_id);
                if let Some((id, status)) = id.zip(statuses.get(union_id)) {
                    sweep.participants.entry(id.to_owned()).or_default().insert(meeting.clone(), *status);
                }
            }
            sweep.meetings.insert(meeting);
        }
    }
}

impl OrgSweeps {
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
                self.due = None;
                self.persist.mark_urgent();
            }
        }
    }
}
