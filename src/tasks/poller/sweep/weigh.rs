//! Sweeps against looks: who was right is what trust is made of.
//!
//! Guards: a look is compared only with a sweep shortly before it, and only in what cannot have changed between the two;
//! ids that match nobody are no contradiction, they are just not ours. Deliberately not here: the ledger
//! (`policy::sweep::confidence`).

use crate::tasks::poller::roster::UserKey;
use std::collections::BTreeMap;
use std::time::Duration;

use super::Sweeping;
use super::names::STRANGERS;
use crate::ids::ConferenceId;
use crate::policy::sweep::budget_split::BudgetSplit;
use crate::policy::sweep::confidence::Comparison;
use crate::policy::sweep::ids::IdEvidence;
use crate::presence::attendance::{AttendStatus, AttendancePhase};
use crate::presence::observation::Entry;
use crate::presence::sweep_view::Sweep;
use crate::presence::user_state::UserState;
use crate::tasks::poller::Poller;
use crate::time::Timestamp;

/// A look so long after a sweep says nothing about it.
const COMPARED_FOR: Duration = Duration::from_mins(2);
/// Who came or went so shortly before a sweep may or may not stand in it.
const BLURRED: Duration = Duration::from_secs(30);
/// Who is inside in a sweep and so shortly after it nowhere to be seen never was, unless the meeting has just ended.
const NOBODY_IS_SO_QUICK: Duration = Duration::from_mins(1);

/// What a look saw.
#[derive(Clone, Copy, Debug)]
pub(in crate::tasks::poller) struct Looked<'a> {
    pub(in crate::tasks::poller) at: Timestamp,
    /// `None`: the same as before.
    pub(in crate::tasks::poller) entries: Option<&'a BTreeMap<ConferenceId, Entry>>,
    /// What is believed since.
    pub(in crate::tasks::poller) belief: &'a UserState,
}

impl Looked<'_> {
    fn sees_inside(&self, conference: &ConferenceId) -> bool {
        match self.entries {
            Some(entries) => {
                matches!(entries.get(conference), Some(Entry::Record(record)) if record.phase() == AttendancePhase::Inside)
            }
            None => self.belief.inside().any(|inside| inside == conference),
        }
    }

    fn entry(&self, conference: &ConferenceId) -> Option<&Entry> {
        self.entries.and_then(|entries| entries.get(conference))
    }

    /// Told as gone since before `instant`.
    fn was_gone(&self, conference: &ConferenceId, instant: Timestamp) -> bool {
        let Some(Entry::Record(record)) = self.entry(conference) else { return false };
        record.phase() == AttendancePhase::Outside && record.left.is_some_and(|left| left <= instant)
    }

    /// Not told at all.
    fn knows_nothing_of(&self, conference: &ConferenceId) -> bool {
        !self.sees_inside(conference) && self.entry(conference).is_none()
    }
}

impl Poller {
    /// A good look at somebody.
    pub(in crate::tasks::poller) fn weigh(
        &mut self,
        person: UserKey,
        at: Timestamp,
        seen: Option<(&BTreeMap<ConferenceId, Entry>, &UserState)>,
    ) {
        let watched = &self.users[person];
        let index = watched.upstream;
        let Some(sweeping) = self.sweeps.0.get_mut(&index) else { return };
        let (entries, belief) = seen.map_or((None, &watched.belief), |(e, belief)| (Some(e), belief));
        let looked = Looked { at, entries, belief };
        sweeping.count_look(person, at);
        sweeping.weigh_held(person, &looked);
        let Some(last) = sweeping.last.clone() else { return };
        let union_id = watched.who.identity.union_id.as_str();
        let lesson = sweeping.learn(person, union_id, &last, &looked);
        sweeping.take_lesson(person, lesson, &self.upstreams[index].name);
        let finding = sweeping.finding(person, union_id, &last, &looked);
        let suspicions: Vec<ConferenceId> = sweeping.suspicions(person, union_id, &last, &looked);
        sweeping.suspicions.extend(suspicions.into_iter().map(|meeting| (person, meeting)));
        self.take_finding(person, finding, at);
    }

    /// Whom a sweep had inside a meeting that a look right after it knew nothing of: if the meeting goes on, one of the two was
    /// wrong; if it does not, it had just ended.
    pub(super) fn settle_suspicions(&mut self, index: usize, sweep: &Sweep, now: Timestamp) {
        if sweep.requested.is_some() {
            return;
        }
        for (person, meeting) in std::mem::take(&mut self.sweeps.of(index).suspicions) {
            if sweep.meetings.contains(&meeting) {
                self.take_finding(person, Comparison::Contradicts, now);
            }
        }
    }

    fn take_finding(&mut self, person: UserKey, finding: Comparison, at: Timestamp) {
        if finding == Comparison::Nothing {
            return;
        }
        let watched = &self.users[person];
        let index = watched.upstream;
        let (org, person_id) = (&self.upstreams[index].name, watched.person_id);
        let sweeping = self.sweeps.of(index);
        tracing::debug!(%org, person = person_id, ?finding, "a look after a sweep");
        let before = sweeping.trust.is_trusted();
        sweeping.compared = Some(at);
        sweeping.keep.note(Some(person));
        if finding == Comparison::Contradicts {
            sweeping.keep.urgently();
        }
        if sweeping.trust.record(person, finding) {
            sweeping.forget_questions();
            let missing = sweeping.trust.missing();
            tracing::warn!(%org, person = person_id, missing, "a look contradicts the sweep before it; sweeps are only hints until looks agree with them again");
        }
        if sweeping.trust.is_trusted() != before {
            sweeping.due = None;
            sweeping.keep.urgently();
            if !before {
                sweeping.spending = BudgetSplit::new(1.0 - sweeping.trust.coverage_of_all());
                tracing::info!(%org, "sweeps agree with looks and are believed from now on");
            }
            self.form_beside(index, &[], at);
        }
    }
}

impl Poller {
    /// Whether most meetings of this person are such as no sweep shows, as far as looks have found.
    pub(in crate::tasks::poller) fn meets_elsewhere(&self, person: UserKey) -> bool {
        let index = self.users[person].upstream;
        let trust = self.sweeps.get(index).map(|sweeping| &sweeping.trust);
        trust.is_some_and(|trust| trust.coverage(person) < 0.5)
    }

    /// When somebody was last seen well: by a look, or by a sweep whose word is taken, if sweeps show their meetings.
    pub(in crate::tasks::poller) fn last_seen(&self, person: UserKey) -> Option<Timestamp> {
        let watched = &self.users[person];
        let swept = watched.belief.last_sweep().filter(|_| !self.meets_elsewhere(person));
        watched.last_ok.max(watched.last_ok.and(swept))
    }
}

impl Sweeping {
    /// A look that a sweep gave the reason for is one of its calls.
    fn count_look(&mut self, person: UserKey, at: Timestamp) {
        let because = self.hinted.get(&person).is_some_and(|hinted| at.since(*hinted) < COMPARED_FOR);
        if because { self.spending.record_sweep(1) } else { self.spending.record_poll() }
    }

    /// Whether this is the look that a sweep's word waits for, and grants it.
    fn weigh_held(&mut self, person: UserKey, looked: &Looked<'_>) {
        let Some(held) = self.held.as_mut().filter(|held| held.person == person) else { return };
        if looked.at < held.sweep.started_at {
            return;
        }
        if held.left.iter().any(|conference| looked.sees_inside(conference)) {
            self.held = None;
        } else {
            held.granted = true;
        }
    }

    /// What the look teaches about by which ids the sweep names people.
    pub(super) fn learn(
        &mut self,
        person: UserKey,
        union_id: &str,
        sweep: &Sweep,
        looked: &Looked<'_>,
    ) -> IdEvidence {
        if !is_compared(sweep, looked) {
            return IdEvidence::Nothing;
        }
        let sure = sweep.started_at.minus(BLURRED);
        for visit in looked.belief.open_visits() {
            let conference = &visit.conference_id;
            if visit.joined > sure || !looked.sees_inside(conference) || !sweep.meetings.contains(conference)
            {
                continue;
            }
            let stands = |id: &str| {
                let seats = sweep.participants.get(id);
                seats.and_then(|seats| seats.get(conference)) == Some(&AttendStatus::Active)
            };
            let lesson = self.ids.record_poll(person, union_id, stands);
            if lesson != IdEvidence::Nothing {
                return lesson;
            }
        }
        IdEvidence::Nothing
    }

    fn finding(&self, person: UserKey, union_id: &str, sweep: &Sweep, looked: &Looked<'_>) -> Comparison {
        if !is_compared(sweep, looked) {
            return Comparison::Nothing;
        }
        // While it is not known by which ids a sweep names people, it neither agrees nor contradicts.
        let told = self.ids.kind().and(self.seats(person, union_id, sweep));
        let may_be_told = match self.ids.kind() {
            Some(_) => told.is_none() && self.ids.may_ask(person),
            None => self.ids.may_learn(person) && self.strangers < STRANGERS,
        };
        let sure = sweep.started_at.minus(BLURRED);
        let status = |conference: &ConferenceId| told.and_then(|seats| seats.get(conference)).copied();
        let mut found = Comparison::Nothing;
        for visit in looked.belief.open_visits() {
            let conference = &visit.conference_id;
            if visit.joined > sure || !looked.sees_inside(conference) {
                continue;
            }
            let listed = self.listed.contains_key(conference);
            match status(conference) {
                Some(AttendStatus::Active) => found = Comparison::Agrees,
                Some(AttendStatus::Unrecognized(_)) => {}
                _ if told.is_some() && listed => return Comparison::Contradicts,
                _ if listed && may_be_told => {}
                _ if found == Comparison::Nothing => found = Comparison::Unlisted,
                _ => {}
            }
        }
        let claims = told.into_iter().flatten().filter(|(_, status)| **status == AttendStatus::Active);
        for (conference, _) in claims {
            if looked.was_gone(conference, sure) {
                return Comparison::Contradicts;
            }
        }
        found
    }
}

impl Sweeping {
    /// The meetings in which a sweep has somebody of which a look right after it knows nothing.
    fn suspicions(
        &self,
        person: UserKey,
        union_id: &str,
        sweep: &Sweep,
        looked: &Looked<'_>,
    ) -> Vec<ConferenceId> {
        let soon = looked.at.since(sweep.started_at) <= NOBODY_IS_SO_QUICK;
        let told = self.ids.kind().and(self.seats(person, union_id, sweep));
        let claims = told.filter(|_| soon && is_compared(sweep, looked)).into_iter().flatten();
        claims
            .filter(|(_, status)| **status == AttendStatus::Active)
            .map(|(conference, _)| conference)
            .filter(|conference| looked.knows_nothing_of(conference))
            .cloned()
            .collect()
    }
}

/// A look is compared with a sweep shortly before it.
fn is_compared(sweep: &Sweep, looked: &Looked<'_>) -> bool {
    looked.at >= sweep.observed_at && looked.at.since(sweep.observed_at) <= COMPARED_FOR
}
