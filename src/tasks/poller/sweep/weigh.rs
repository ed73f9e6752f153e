//! Sweeps against looks: who was right is what trust is made of.
//!
//! Guards: a look is compared only with a sweep shortly before it, and only in what cannot have changed between the two;
//! ids that match nobody are no contradiction, they are just not ours. Deliberately not here: the ledger
//! (`policy::sweep::trust`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Sweeping;
use crate::ids::ConferenceId;
use crate::policy::sweep::trust::Finding;
use crate::presence::attendance::{AttendStatus, Phase};
use crate::presence::belief::Belief;
use crate::presence::observation::Entry;
use crate::presence::sweep::{Seats, Sweep};
use crate::tasks::poller::Poller;
use crate::time::Timestamp;

/// A look so long after a sweep says nothing about it.
const COMPARED_FOR: Duration = Duration::from_mins(2);
/// Who came or went so shortly before a sweep may or may not stand in it.
const BLURRED: Duration = Duration::from_secs(30);
/// Who is inside in a sweep and so shortly after it nowhere to be seen never was.
const NOBODY_IS_SO_QUICK: Duration = Duration::from_mins(1);
/// So many looks that see somebody in a meeting in which sweeps show only strangers are worth a line.
const STRANGERS: u32 = 3;

/// What a look saw.
#[derive(Clone, Copy, Debug)]
pub(in crate::tasks::poller) struct Looked<'a> {
    pub(in crate::tasks::poller) at: Timestamp,
    /// `None`: the same as before.
    pub(in crate::tasks::poller) entries: Option<&'a BTreeMap<ConferenceId, Entry>>,
    /// What is believed since.
    pub(in crate::tasks::poller) belief: &'a Belief,
}

impl Looked<'_> {
    fn sees_inside(&self, conference: &ConferenceId) -> bool {
        match self.entries {
            Some(entries) => {
                matches!(entries.get(conference), Some(Entry::Record(record)) if record.phase() == Phase::Inside)
            }
            None => self.belief.inside().any(|inside| inside == conference),
        }
    }

    /// Told as gone since before `instant`, or not told at all.
    fn was_gone(&self, conference: &ConferenceId, instant: Timestamp, soon: bool) -> bool {
        match self.entries.and_then(|entries| entries.get(conference)) {
            Some(Entry::Record(record)) => {
                record.phase() == Phase::Outside && record.left.is_some_and(|left| left <= instant)
            }
            Some(Entry::ListedOnly) => false,
            None => soon,
        }
    }
}

impl Poller {
    /// A good look at somebody.
    pub(in crate::tasks::poller) fn weigh(
        &mut self,
        person: u32,
        at: Timestamp,
        seen: Option<(&BTreeMap<ConferenceId, Entry>, &Belief)>,
    ) {
        let watched = &self.people[person as usize];
        let index = watched.upstream;
        let Some(sweeping) = self.sweeps.0.get_mut(&index) else { return };
        let (entries, belief) = seen.map_or((None, &watched.belief), |(e, belief)| (Some(e), belief));
        let looked = Looked { at, entries, belief };
        sweeping.weigh_held(person, &looked);
        let Some(last) = sweeping.last.clone() else { return };
        let seats = last.seats.get(watched.who.identity.union_id.as_str());
        let finding = sweeping.finding(&last, seats, &looked);
        if finding == Finding::Nothing {
            return;
        }
        let (org, person_id) = (&self.upstreams[index].name, watched.person_id);
        tracing::debug!(%org, person = person_id, ?finding, "a look after a sweep");
        let before = sweeping.trust.is_earned();
        if sweeping.trust.note(person, finding) {
            (sweeping.held, sweeping.again) = (None, None);
            let missing = sweeping.trust.missing();
            tracing::warn!(%org, person = person_id, missing, "a look contradicts the sweep before it; sweeps are only hints until looks agree with them again");
        }
        if sweeping.trust.is_earned() != before {
            sweeping.due = None;
            if !before {
                tracing::info!(%org, "sweeps agree with looks and are believed from now on");
            }
        }
        if finding == Finding::Unseen && !sweeping.matched && !last.seats.is_empty() {
            sweeping.strangers += 1;
            if sweeping.strangers == STRANGERS {
                tracing::info!(%org, "nobody of the watch list stands in the organisation's meetings: the ids there are others, or so are the meetings; sweeps are never believed");
            }
        }
    }
}

impl Sweeping {
    /// Whether this is the look that a sweep's word waits for, and grants it.
    fn weigh_held(&mut self, person: u32, looked: &Looked<'_>) {
        let Some(held) = self.held.as_mut().filter(|held| held.person == person) else { return };
        if looked.at < held.sweep.asked_at {
            return;
        }
        if held.left.iter().any(|conference| looked.sees_inside(conference)) {
            self.held = None;
        } else {
            held.granted = true;
        }
    }

    fn finding(&self, sweep: &Sweep, seats: Option<&Seats>, looked: &Looked<'_>) -> Finding {
        if looked.at < sweep.observed_at || looked.at.since(sweep.observed_at) > COMPARED_FOR {
            return Finding::Nothing;
        }
        let sure = sweep.asked_at.minus(BLURRED);
        let soon = looked.at.since(sweep.asked_at) <= NOBODY_IS_SO_QUICK;
        let status = |conference: &ConferenceId| seats.and_then(|seats| seats.get(conference)).copied();
        let mut found = Finding::Nothing;
        for visit in looked.belief.open_visits() {
            let conference = &visit.conference_id;
            if visit.joined > sure || !looked.sees_inside(conference) {
                continue;
            }
            match status(conference) {
                Some(AttendStatus::Active) => found = Finding::Agrees,
                Some(AttendStatus::Unrecognized(_)) => {}
                _ if self.matched && self.listed.contains_key(conference) => return Finding::Contradicts,
                _ if found == Finding::Nothing => found = Finding::Unseen,
                _ => {}
            }
        }
        let claims = seats.into_iter().flatten().filter(|(_, status)| **status == AttendStatus::Active);
        for (conference, _) in claims {
            if !looked.sees_inside(conference) && looked.was_gone(conference, sure, soon) {
                return Finding::Contradicts;
            }
        }
        found
    }
}
