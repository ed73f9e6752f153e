//! Gaps of a single user: the user's polls failed while others succeeded, or came too late.
//!
//! Guards: time without polls is in the history, whatever the reason was; a gap of the whole organisation is not
//! written again for each of its users. Not here: gaps of organisations (`failures`), the effect of a gap on a state
//! (`presence::lifecycle`).

use super::effects::Work;
use super::roster::UserKey;
use super::schedule;
use super::state::OrgState;
use crate::store::gaps::Why;
use crate::time::Timestamp;

/// Records a gap before a good poll if the previous one is longer ago than it should be. `failed`: the polls in
/// between failed.
pub(super) fn record_user_gap(org: &mut OrgState, user: UserKey, failed: bool, now: Timestamp) {
    let watched = &org.users[user];
    let Some(last_ok) = schedule::last_seen(org, user) else { return };
    let bound = schedule::stale_after(org, user, now);
    if now.since(last_ok) <= bound {
        return;
    }
    let covered = org.gaps.covered_between(last_ok, now);
    if schedule::silent_for(org, user, last_ok, now).saturating_sub(covered) <= bound {
        return;
    }
    let why = if failed { Why::Failed } else { Why::Late };
    let person_id = watched.person_id;
    org.start_work(Work::NoteUserGap { person_id, from: last_ok, to: now, why });
}

/// At the start: marks the down time as covered.
pub(super) fn cover_downtime(org: &mut OrgState, from: Timestamp, now: Timestamp) {
    org.gaps.cover(from.min(now), now);
}
