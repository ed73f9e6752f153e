//! Stores what sweeps have learned, and reports their state.
//!
//! Guards: a change of trust or ids is written at once, everything else every few minutes and at the end; a refusal is
//! not stored, so a restart tries again; trust older than a week expires. Not here: the tables (`store`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::state::MAX_UNMATCHED;
use crate::policy::sweep::budget_split::BudgetSplit;
use crate::policy::sweep::confidence::{STALE_AFTER, StoredConfidence, SweepConfidence};
use crate::policy::sweep::why_off;
use crate::store::StoreError;
use crate::store::sweep_state::{SweepRow, SweptPerson};
use crate::tasks::poller::effects::Work;
use crate::tasks::poller::roster::UserKey;
use crate::tasks::poller::state::OrgState;
use crate::telemetry::health::{SweepState, Sweeps as Shown};
use crate::time::Timestamp;

/// How often changes that are not urgent are written.
const EVERY: Duration = Duration::from_mins(5);

/// Restores what an earlier process stored; called when the list is filled and before anything is planned.
pub(in crate::tasks::poller) fn restore_sweeps(
    org: &mut OrgState,
    rows: &[SweepRow],
    people: &[SweptPerson],
    now: Timestamp,
) {
    let keys: BTreeMap<i64, UserKey> =
        org.users.iter().map(|(user, watched)| (watched.person_id, user)).collect();
    let mut counts: BTreeMap<UserKey, (f64, f64)> = BTreeMap::new();
    for SweptPerson { person_id, userid, seen, unseen } in people {
        let Some(&user) = keys.get(person_id) else { continue };
        if seen + unseen > 0.0 {
            counts.insert(user, (*seen, *unseen));
        }
        if userid.is_some() {
            org.sweeps.ids.set_userid(user, userid.clone());
        }
    }
    let Some(row) = rows.iter().find(|row| row.org == org.name) else { return };
    let month = org.limits.budget().month(now);
    let sweeping = &mut org.sweeps;
    let stale = row.compared.is_none_or(|at| now.since(at) > STALE_AFTER) || row.ids.is_none();
    let kept = StoredConfidence { agreed: row.agreed, needed: row.needed, all: (row.seen, row.unseen) };
    sweeping.trust = SweepConfidence::restore(kept, counts, stale);
    sweeping.plan.spending = BudgetSplit::new(1.0 - sweeping.trust.coverage_of_all());
    sweeping.ids.restore_kind(row.ids);
    sweeping.calls.compared = row.compared;
    sweeping.calls.swept = row.swept;
    sweeping.calls.spent = (row.month == month.to_string()).then_some((month, row.calls));
}

/// Reports and writes what changed; returns when to call it again.
pub(super) fn persist_sweeps(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    if std::mem::take(&mut org.sweeps.persist.touched) {
        org.health.sweeps(shown(org, now));
    }
    let persist = &mut org.sweeps.persist;
    if !persist.dirty || persist.writing {
        return None;
    }
    if !persist.urgent && persist.after > now {
        return Some(persist.after);
    }
    (persist.urgent, persist.writing, persist.after) = (false, true, now.plus(EVERY));
    let (row, people, users) = unsaved_sweeps(org, now)?;
    org.start_work(Work::SaveSweeps { row: Box::new(row), people, users });
    None
}

pub(in crate::tasks::poller) fn sweeps_persisted(
    org: &mut OrgState,
    users: BTreeSet<UserKey>,
    result: Result<(), StoreError>,
) {
    let persist = &mut org.sweeps.persist;
    persist.writing = false;
    if let Err(error) = result {
        persist.dirty = true;
        persist.people.extend(users);
        org.database_failed(&error);
    }
}

/// Takes what is not written yet.
pub(in crate::tasks::poller) fn unsaved_sweeps(
    org: &mut OrgState,
    now: Timestamp,
) -> Option<(SweepRow, Vec<SweptPerson>, BTreeSet<UserKey>)> {
    let persist = &mut org.sweeps.persist;
    if !std::mem::take(&mut persist.dirty) {
        return None;
    }
    let users = std::mem::take(&mut persist.people);
    let (row, people) = kept(org, &users, now);
    Some((row, people, users))
}

fn kept(org: &mut OrgState, people: &BTreeSet<UserKey>, now: Timestamp) -> (SweepRow, Vec<SweptPerson>) {
    let sweeping = &mut org.sweeps;
    let StoredConfidence { agreed, needed, all } = sweeping.trust.stored();
    let (month, calls) = sweeping.calls.spent.unwrap_or((org.limits.budget().month(now), 0));
    let row = SweepRow {
        org: org.name.clone(),
        agreed,
        needed,
        compared: sweeping.calls.compared,
        ids: sweeping.ids.kind(),
        seen: all.0,
        unseen: all.1,
        cost: sweeping.plan.timetable.cost(),
        swept: sweeping.calls.swept,
        month: month.to_string(),
        calls,
    };
    let known = people.iter().filter_map(|&user| Some((user, org.users.get(user)?)));
    let known = known.filter(|(_, watched)| !watched.gone && !org.tools.is_erased(watched.person_id));
    let rows = known.map(|(user, watched)| {
        let (seen, unseen) = sweeping.trust.counts(user).unwrap_or_default();
        let userid = sweeping.ids.userid(user).map(str::to_owned);
        SweptPerson { person_id: watched.person_id, userid, seen, unseen }
    });
    (row, rows.collect())
}

/// The state that status and metrics show.
fn shown(org: &OrgState, now: Timestamp) -> Shown {
    let sweeping = &org.sweeps;
    let StoredConfidence { agreed, needed, .. } = sweeping.trust.stored();
    let limited = org.limits.budget().limit().is_some();
    let off = why_off(org.settings.sweep, limited, org.pacer.share.paced_people());
    let (state, why) = if sweeping.trust.is_refused() {
        (SweepState::Refused, sweeping.calls.refusal.clone())
    } else if let Some(why) = off {
        (SweepState::Off, Some(why.to_owned()))
    } else if sweeping.trust.is_trusted() {
        (SweepState::Trusted, None)
    } else if sweeping.ids.is_refused() {
        let why = "DingTalk refuses to read the contacts, so sweeps cannot be matched with users";
        (SweepState::Learning, Some(why.to_owned()))
    } else if sweeping.unmatched_ids >= MAX_UNMATCHED {
        let why = "sweeps list no watched user in their meetings";
        (SweepState::Learning, Some(why.to_owned()))
    } else {
        (SweepState::Learning, None)
    };
    let month = org.limits.budget().month(now);
    Shown {
        state,
        why,
        agreed: agreed.min(needed),
        needed,
        ids: sweeping.ids.kind().map(crate::policy::sweep::ids::IdKind::name),
        calls: sweeping.calls.spent.filter(|(of, _)| *of == month).map_or(0, |(_, calls)| calls),
        last: sweeping.calls.swept,
    }
}
