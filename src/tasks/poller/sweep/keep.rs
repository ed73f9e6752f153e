//! What outlives the process, and what others see of it: trust, ids, calls.
//!
//! Guards: written at once when trust or ids turn, else every few minutes, and at the end; a refusal is not kept, because a
//! restart is how one tries again; what is older than a week is no trust any more. Deliberately not here: the tables
//! (`store::sweep_state`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Sweeping;
use crate::policy::quota::Month;
use crate::policy::sweep::budget_split::BudgetSplit;
use crate::policy::sweep::confidence::{STALE_AFTER, StoredConfidence, SweepConfidence};
use crate::policy::sweep::why_off;
use crate::store::StoreError;
use crate::store::sweep_state::{SweepRow, SweptPerson};
use crate::tasks::poller::{Done, Poller, earliest};
use crate::telemetry::health::{SweepState, Sweeps as Shown};
use crate::time::Timestamp;

/// What is not urgent is written so often.
const EVERY: Duration = Duration::from_mins(5);

/// What is to be written down.
#[derive(Debug, Default)]
pub(super) struct Keep {
    /// Something moved: to be shown.
    pub(super) touched: bool,
    /// Something moved: to be written.
    dirty: bool,
    urgent: bool,
    writing: bool,
    /// Not before.
    after: Timestamp,
    people: BTreeSet<UserKey>,
}

impl Keep {
    /// Something moved, and what is known of a person.
    pub(super) fn note(&mut self, person: Option<UserKey>) {
        (self.touched, self.dirty) = (true, true);
        self.people.extend(person);
    }

    /// Something turned.
    pub(super) fn urgently(&mut self) {
        self.note(None);
        self.urgent = true;
    }
}

/// Rows that were written, or not.
#[derive(Debug)]
pub(in crate::tasks::poller) struct Written {
    upstream: usize,
    people: BTreeSet<UserKey>,
    result: Result<(), StoreError>,
}

impl Sweeping {
    /// Sweeps took so many calls of a month.
    pub(super) fn spend(&mut self, month: Month, calls: u32) {
        let spent = self.spent.filter(|(of, _)| *of == month).map_or(0, |(_, calls)| calls);
        self.spent = Some((month, spent.saturating_add(u64::from(calls))));
        self.spending.record_sweep(u64::from(calls));
        self.keep.note(None);
    }
}

impl Poller {
    /// Goes on from what an earlier process knew; to be called when the list is filled and before anything is planned.
    pub(in crate::tasks::poller) fn recall_sweeps(
        &mut self,
        rows: Vec<SweepRow>,
        people: Vec<SweptPerson>,
        now: Timestamp,
    ) {
        let places: BTreeMap<i64, (UserKey, usize)> = self
            .users
            .iter()
            .map(|(person, watched)| (watched.person_id, (person, watched.upstream)))
            .collect();
        let mut counts: BTreeMap<usize, BTreeMap<UserKey, (f64, f64)>> = BTreeMap::new();
        for SweptPerson { person_id, userid, seen, unseen } in people {
            let Some(&(person, index)) = places.get(&person_id) else { continue };
            if seen + unseen > 0.0 {
                counts.entry(index).or_default().insert(person, (seen, unseen));
            }
            if userid.is_some() {
                self.sweeps.of(index).ids.set_userid(person, userid);
            }
        }
        for row in rows {
            let Some(index) = self.upstreams.iter().position(|upstream| upstream.name == row.org) else {
                continue;
            };
            let month = self.upstreams[index].budget.month(now);
            let sweeping = self.sweeps.of(index);
            let stale = row.compared.is_none_or(|at| now.since(at) > STALE_AFTER) || row.ids.is_none();
            let kept =
                StoredConfidence { agreed: row.agreed, needed: row.needed, all: (row.seen, row.unseen) };
            sweeping.trust = SweepConfidence::restore(kept, counts.remove(&index).unwrap_or_default(), stale);
            sweeping.spending = BudgetSplit::new(1.0 - sweeping.trust.coverage_of_all());
            sweeping.ids.restore_kind(row.ids);
            sweeping.compared = row.compared;
            sweeping.swept = row.swept;
            sweeping.spent = (row.month == month.to_string()).then_some((month, row.calls));
        }
    }

    /// Shows and writes down what moved; returns when to be called again.
    pub(super) fn keep_trust(&mut self, now: Timestamp) -> Option<Timestamp> {
        let moved = |sweeping: &Sweeping| sweeping.keep.touched || sweeping.keep.dirty;
        if !self.sweeps.0.values().any(moved) {
            return None;
        }
        let mut wake = None;
        for index in 0..self.upstreams.len() {
            if std::mem::take(&mut self.sweeps.of(index).keep.touched) {
                let shown = self.shown(index, now);
                self.upstreams[index].health.sweeps(shown);
            }
            let keep = &mut self.sweeps.of(index).keep;
            if !keep.dirty || keep.writing {
                continue;
            }
            if !keep.urgent && keep.after > now {
                wake = earliest(wake, Some(keep.after));
                continue;
            }
            (keep.dirty, keep.urgent, keep.writing) = (false, false, true);
            keep.after = now.plus(EVERY);
            let people = std::mem::take(&mut keep.people);
            let (row, rows) = self.kept(index, &people, now);
            let store = self.tools.store.clone();
            self.running.start(async move {
                let result = store.sweep_state().save(row, rows).await;
                Done::Kept(Box::new(Written { upstream: index, people, result }))
            });
        }
        wake
    }

    pub(in crate::tasks::poller) fn trust_kept(&mut self, written: Written) {
        let keep = &mut self.sweeps.of(written.upstream).keep;
        keep.writing = false;
        if let Err(error) = written.result {
            keep.dirty = true;
            keep.people.extend(written.people);
            self.database_failed(&error);
        }
    }

    /// At the end: what is not written yet.
    pub(in crate::tasks::poller) async fn keep_trust_at_last(&mut self) -> Result<(), StoreError> {
        let now = self.tools.clock.now();
        for index in 0..self.upstreams.len() {
            let keep = &mut self.sweeps.of(index).keep;
            if std::mem::take(&mut keep.dirty) {
                let people = std::mem::take(&mut keep.people);
                let (row, rows) = self.kept(index, &people, now);
                self.tools.store.sweep_state().save(row, rows).await?;
            }
        }
        Ok(())
    }

    fn kept(
        &mut self,
        index: usize,
        people: &BTreeSet<UserKey>,
        now: Timestamp,
    ) -> (SweepRow, Vec<SweptPerson>) {
        let upstream = &self.upstreams[index];
        let sweeping = self.sweeps.of(index);
        let StoredConfidence { agreed, needed, all } = sweeping.trust.stored();
        let (month, calls) = sweeping.spent.unwrap_or((upstream.budget.month(now), 0));
        let row = SweepRow {
            org: upstream.name.clone(),
            agreed,
            needed,
            compared: sweeping.compared,
            ids: sweeping.ids.kind(),
            seen: all.0,
            unseen: all.1,
            cost: sweeping.timetable.cost(),
            swept: sweeping.swept,
            month: month.to_string(),
            calls,
        };
        let known = people.iter().filter_map(|&person| Some((person, self.users.get(person)?)));
        let known = known.filter(|(_, watched)| {
            !watched.gone && !self.tools.store.erasures().is_erased(watched.person_id)
        });
        let rows = known.map(|(person, watched)| {
            let (seen, unseen) = sweeping.trust.counts(person).unwrap_or_default();
            let userid = sweeping.ids.userid(person).map(str::to_owned);
            SweptPerson { person_id: watched.person_id, userid, seen, unseen }
        });
        (row, rows.collect())
    }

    /// What others see.
    fn shown(&self, index: usize, now: Timestamp) -> Shown {
        let upstream = &self.upstreams[index];
        let nothing = Sweeping::default();
        let sweeping = self.sweeps.get(index).unwrap_or(&nothing);
        let StoredConfidence { agreed, needed, .. } = sweeping.trust.stored();
        let limited = upstream.budget.limit().is_some();
        let off = why_off(self.settings.sweep, limited, upstream.share.paced_people());
        let (state, why) = if sweeping.trust.is_refused() {
            (SweepState::Refused, sweeping.refusal.clone())
        } else if let Some(why) = off {
            (SweepState::Off, Some(why.to_owned()))
        } else if sweeping.trust.is_trusted() {
            (SweepState::Trusted, None)
        } else if sweeping.ids.is_refused() {
            let why = "the contacts may not be read, so it is not known whose ids sweeps show";
            (SweepState::Learning, Some(why.to_owned()))
        } else if sweeping.strangers >= super::names::STRANGERS {
            let why = "nobody of the watch list stands in the meetings that sweeps show";
            (SweepState::Learning, Some(why.to_owned()))
        } else {
            (SweepState::Learning, None)
        };
        let month = upstream.budget.month(now);
        Shown {
            state,
            why,
            agreed: agreed.min(needed),
            needed,
            ids: sweeping.ids.kind().map(crate::policy::sweep::ids::IdKind::name),
            calls: sweeping.spent.filter(|(of, _)| *of == month).map_or(0, |(_, calls)| calls),
            last: sweeping.swept,
        }
    }
}
