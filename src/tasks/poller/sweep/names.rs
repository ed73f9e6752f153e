//! Whose ids stand in sweeps: what looks teach of it, and asking the organisation's contacts for userids.
//!
//! Guards: one question at a time, a bounded number a minute, under the same rate and places as looks; whoever a look
//! just saw in a listed meeting comes first, everybody else only once userids are known to be what sweeps tell; a refusal
//! is said once, and then people stay with looks. These calls are not charged to the month. Deliberately not here: what
//! may be concluded (`policy::sweep::ids`), the call (`dingtalk`).

use crate::tasks::poller::roster::UserKey;
use std::collections::VecDeque;
use std::time::Duration;

use super::Sweeping;
use super::members::Seated;
use super::weigh::Looked;
use crate::dingtalk::error::{CallError, Verdict, class};
use crate::ids::{ConferenceId, OrgName};
use crate::policy::sweep::ids::{IdEvidence, IdKind};
use crate::presence::sweep_view::Sweep;
use crate::tasks::poller::standing::Asked;
use crate::tasks::poller::{Done, Poller};
use crate::time::Timestamp;

/// Between two questions: at most twenty a minute.
const BETWEEN: Duration = Duration::from_secs(3);
/// After a failure the next question waits this long, doubled with each further one, and at most `LONGEST`.
const AFTER_FAILURE: Duration = Duration::from_mins(5);
const LONGEST: Duration = Duration::from_hours(2);
/// So many looks that see somebody in a meeting in which a sweep has neither id of theirs are worth a line.
pub(super) const STRANGERS: u32 = 3;
/// A path that is not there, so often in a row, is a refusal.
const REFUSED_AFTER: u32 = 3;

/// The questions of one organisation.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Seen in a listed meeting: asked for before everybody else.
    first: VecDeque<UserKey>,
    /// Those who were not considered yet; `None`: nobody was.
    rest: Option<Vec<UserKey>>,
    asking: bool,
    /// Nothing is asked before.
    next: Timestamp,
    /// Failed questions in a row.
    failures: u32,
    /// The class of the failure that was logged.
    trouble: Option<&'static str>,
    /// That the contacts lack somebody was logged.
    lacking: bool,
}

/// An answer of the contacts.
#[derive(Debug)]
pub(in crate::tasks::poller) struct Named {
    upstream: usize,
    person: UserKey,
    result: Result<Option<String>, CallError>,
}

impl Names {
    /// Other users may be watched now: each is considered again.
    pub(super) fn begin_anew(&mut self) {
        self.rest = None;
    }
}

impl Poller {
    /// Asks for a userid, if one is wanted; returns when to be called again.
    pub(super) fn keep_names(&mut self, index: usize, now: Timestamp) -> Option<Timestamp> {
        let person = self.next_name(index)?;
        let names = &mut self.sweeps.of(index).names;
        let upstream = &mut self.upstreams[index];
        let busy = upstream.in_flight >= upstream.places() || upstream.gap_untold;
        if names.asking || busy || upstream.standing.open.is_some() {
            return None;
        }
        let soonest = upstream.paused(now).unwrap_or(now);
        let soonest = soonest.max(upstream.limiter.next_free(now)).max(names.next);
        if soonest > now {
            return Some(soonest);
        }
        names.asking = true;
        names.next = now.plus(BETWEEN);
        upstream.limiter.begin();
        upstream.in_flight += 1;
        let client = upstream.client.clone();
        let union_id = self.users[person].who.identity.union_id.clone();
        self.running.start(async move {
            let result = client.userid_of(&union_id).await;
            Done::Named(Box::new(Named { upstream: index, person, result }))
        });
        None
    }

    /// Who is to be asked for next.
    fn next_name(&mut self, index: usize) -> Option<UserKey> {
        let Sweeping { ids, names, .. } = self.sweeps.of(index);
        if ids.is_refused() {
            return None;
        }
        let (people, store) = (&self.users, &self.tools.store);
        let wanted = |person: UserKey| {
            people.get(person).is_some_and(|watched| {
                watched.upstream == index && !watched.gone && !store.erasures().is_erased(watched.person_id)
            }) && ids.may_ask(person)
        };
        while let Some(&person) = names.first.front() {
            if wanted(person) {
                return Some(person);
            }
            names.first.pop_front();
        }
        if ids.kind() != Some(IdKind::Userid) {
            return None;
        }
        let rest = names.rest.get_or_insert_with(|| people.keys().collect());
        while let Some(&person) = rest.last() {
            if wanted(person) {
                return Some(person);
            }
            rest.pop();
        }
        None
    }

    /// The contacts answered, or did not.
    pub(in crate::tasks::poller) fn named(&mut self, named: Named) {
        let now = self.tools.clock.now();
        let Named { upstream: index, person, result } = named;
        let upstream = &mut self.upstreams[index];
        upstream.in_flight -= 1;
        upstream.limiter.done(now);
        let sweeping = self.sweeps.of(index);
        sweeping.names.asking = false;
        let userid = match result {
            Ok(userid) => userid,
            // Refused for this one person.
            Err(error) if error.verdict.is_refusal() => None,
            Err(error) => return self.naming_failed(index, &error, now),
        };
        sweeping.names.failures = 0;
        let org = &self.upstreams[index].name;
        if std::mem::take(&mut sweeping.names.trouble).is_some() {
            tracing::info!(%org, "the contacts answer again");
        }
        let Some(watched) = self.users.get(person) else { return };
        if userid.is_none() && !std::mem::replace(&mut sweeping.names.lacking, true) {
            let person = watched.person_id;
            tracing::info!(%org, person, "the contacts do not have this person, whom sweeps cannot tell of then; looks do, as for everybody like them");
        }
        let owner = userid.as_deref().and_then(|userid| sweeping.ids.owner(userid));
        if let Some(owner) = owner.filter(|owner| self.users[*owner].gone) {
            // Taken off the list and put on it again, perhaps.
            sweeping.ids.remove(owner);
        }
        sweeping.ids.set_userid(person, userid);
        sweeping.keep.note(Some(person));
        if sweeping.ids.kind().is_none() {
            self.learn_from_belief(index, person);
        }
    }

    fn naming_failed(&mut self, index: usize, error: &CallError, now: Timestamp) {
        let sweeping = self.sweeps.of(index);
        let names = &mut sweeping.names;
        names.failures = names.failures.saturating_add(1);
        let doublings = names.failures.min(10) - 1;
        names.next = now.plus(AFTER_FAILURE.saturating_mul(1 << doublings).min(LONGEST));
        let (org, class, text) = (&self.upstreams[index].name, error.class, &error.text);
        let (code, request_id) = (error.code.as_deref(), error.request_id.as_deref());
        let refused = match error.verdict {
            Verdict::Forbidden => error.class != class::IP_NOT_ALLOWED,
            Verdict::Misconfigured => names.failures >= REFUSED_AFTER,
            _ => false,
        };
        if refused {
            if sweeping.ids.mark_refused() {
                sweeping.keep.touched = true;
                tracing::warn!(%org, class, text, code, request_id, "the contacts may not be read: whose userids stand in sweeps is not known, and those people are looked at alone");
            }
            return;
        }
        if names.trouble.replace(class) == Some(class) {
            tracing::debug!(%org, class, text, code, request_id, "the contacts do not answer");
        } else {
            tracing::warn!(%org, class, text, code, request_id, "the contacts do not answer; they are asked again later");
        }
        // The address is concerned, whichever host says so.
        if error.verdict == Verdict::Banned {
            let key = self.upstreams[index].key;
            self.react_to(index, error, &Asked::of_organisation(0, self.settings.min_interval, key), now);
            self.next_alarm = now;
        }
    }

    /// Their userid has come: perhaps it stands where a look saw them.
    fn learn_from_belief(&mut self, index: usize, person: UserKey) {
        let watched = &self.users[person];
        let sweeping = self.sweeps.of(index);
        let Some(last) = sweeping.last.clone() else { return };
        let looked = Looked { at: last.observed_at, entries: None, belief: &watched.belief };
        let lesson = sweeping.learn(person, watched.who.identity.union_id.as_str(), &last, &looked);
        sweeping.take_lesson(person, lesson, &self.upstreams[index].name);
    }
}

impl Poller {
    /// Members are told by unionId; here they sit under the ids by which sweeps name them.
    pub(super) fn seat(&self, index: usize, members: Vec<(ConferenceId, Seated)>, sweep: &mut Sweep) {
        let Some(sweeping) = self.sweeps.get(index) else { return };
        for (meeting, seated) in members {
            let theirs = self.users.iter().filter(|(_, watched)| watched.upstream == index);
            for (person, watched) in theirs {
                let union_id = watched.who.identity.union_id.as_str();
                let id = sweeping.ids.id_of(person, union_id);
                if let Some((id, status)) = id.zip(seated.get(union_id)) {
                    sweep.participants.entry(id.to_owned()).or_default().insert(meeting.clone(), *status);
                }
            }
            sweep.meetings.insert(meeting);
        }
    }
}

impl Sweeping {
    /// Acts on what a look taught about ids.
    pub(super) fn take_lesson(&mut self, person: UserKey, lesson: IdEvidence, org: &OrgName) {
        match lesson {
            IdEvidence::Nothing => {}
            IdEvidence::Learned(kind) => {
                tracing::info!(%org, by = kind.name(), "a look shows by which ids sweeps name people");
                self.trust.reset_agreements();
                self.strangers = 0;
                self.names.begin_anew();
                self.keep.urgently();
            }
            IdEvidence::AskContacts => {
                if !self.names.first.contains(&person) {
                    self.names.first.push_back(person);
                }
            }
            IdEvidence::Unmatched => {
                self.strangers = self.strangers.saturating_add(1);
                if self.strangers == STRANGERS {
                    tracing::info!(%org, "neither unionIds nor known userids of the watch list stand in the organisation's meetings where looks see people; sweeps are not believed");
                }
            }
            IdEvidence::Reset => {
                tracing::warn!(%org, "sweeps name people by other ids than before, it seems; they are only hints until that is learned anew");
                self.trust.reset_agreements();
                self.forget_questions();
                self.due = None;
                self.keep.urgently();
            }
        }
    }
}
