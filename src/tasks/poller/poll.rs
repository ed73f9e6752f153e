//! Starts polls of due users under the limits, and schedules the next poll after a failed one.
//!
//! Guards: a poll begins only under `limits`. A failure is recorded and changes no user's presence. Not here: good answers
//! (`answers`), backoff and outages (`failures`).

use super::effects::{Effect, PollCall, Work};
use super::gaps::HeldAnswer;
use super::pacing::MAX_REPLANS;
use super::report::{Found, PollNow, PollResult};
use super::roster::UserKey;
use super::settings::{FLUSH_EVERY, TICK};
use super::state::OrgState;
use super::{answers, failures, pacing, queue, record, schedule, spending};
use crate::dingtalk::client::Answer;
use crate::dingtalk::error::{CallError, Verdict};
use crate::policy::circuit::Cause;
use crate::presence::lifecycle;
use crate::store::PollFailure;
use crate::time::Timestamp;

/// Starts polls of one organisation while its limits allow; returns when the next one may start.
pub(super) fn start_due(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    if org.disk_full_since.is_some() {
        // An observation could not be written: no polls until there is room again.
        org.gaps.cover_on(now);
        let text = "disk full: polling is paused until there is room".to_owned();
        org.effects.push(Effect::DatabaseAnswered(Err(text)));
        return Some(now.plus(FLUSH_EVERY));
    }
    let mut questions = 0;
    loop {
        let ticket = match may_start(org, now).and_then(|()| spending::affordable(org, now)) {
            Ok(ticket) => ticket,
            Err(until) => return until,
        };
        // A user is due: `next_due` said so with the same `room_for_failing`.
        let (user, failing) = org.due.pop_due(now, org.limits.room_for_failing())?;
        let (user, failing) = choose_probe(org, user, failing);
        if org.tools.is_erased(org.users[user].person_id) {
            // Erased by the operator: never polled again.
            let watched = &mut org.users[user];
            (watched.gone, watched.busy) = (true, true);
            org.limits.give_back(ticket);
            continue;
        }
        if pacing::is_replan(org, user) {
            org.limits.give_back(ticket);
            let next = schedule::next_regular(org, user, now);
            queue::requeue(org, user, next);
            org.pending.add_replanned(user);
            pacing::expect_planned(org, now);
            questions += 1;
            if questions == MAX_REPLANS {
                return Some(now.plus(TICK));
            }
            continue;
        }
        if !schedule::may_poll(org, user) {
            // Due, but delayed until the window had closed.
            org.limits.give_back(ticket);
            queue::requeue(org, user, now.plus(FLUSH_EVERY));
            continue;
        }
        org.tools.metrics.poll_began(now.since(org.users[user].due));
        ask(org, PollCall { user, failing, ticket, manual: None, began: now }, now);
    }
}

/// While users are refused one after the other, the probe polls the user with the newest good answer: that answer
/// says most. The due user stays in the queue.
fn choose_probe(org: &mut OrgState, user: UserKey, failing: bool) -> (UserKey, bool) {
    if !org.breaker.is_open_for(Cause::Refused) {
        return (user, failing);
    }
    let best = org
        .users
        .iter()
        .filter(|(_, watched)| !watched.busy && !watched.gone)
        .filter(|(user, _)| !pacing::is_replan(org, *user) && schedule::may_poll(org, *user))
        .max_by_key(|(_, watched)| watched.last_ok);
    let Some((probe, _)) = best.filter(|(probe, _)| *probe != user) else { return (user, failing) };
    let (due, failed) = (org.users[probe].due, org.users[probe].failures > 0);
    let queue = &mut org.due;
    queue.remove(due, probe);
    queue.insert(org.users[user].due, user, failing);
    (probe, failed)
}

/// Whether a due poll may start; `Err`: not before then, or not before something else has happened.
fn may_start(org: &mut OrgState, now: Timestamp) -> Result<(), Option<Timestamp>> {
    // A completion wakes the loop and must not wait for a tick then.
    org.limits.set_users_wait(org.is_full());
    if org.limits.users_wait() {
        return Err(None);
    }
    let due = org.due.next_due(org.limits.room_for_failing()).ok_or(None)?;
    if due > now {
        return Err(Some(due));
    }
    org.limits.closed_until(now).map_or(Ok(()), |until| Err(Some(until)))
}

/// Starts one poll.
pub(super) fn ask(org: &mut OrgState, poll: PollCall, now: Timestamp) {
    let user = poll.user;
    // Identical bytes may be skipped only for a settled state, and only without a gap since the last good poll.
    let fresh =
        org.users[user].last_ok.is_some_and(|last| now.since(last) <= schedule::stale_after(org, user, now));
    let watched = &mut org.users[user];
    watched.busy = true;
    // A manual poll may exceed the rate by one call; it counts all the same.
    org.limits.begin_poll(poll.failing);
    let union_id = watched.info.identity.union_id.clone();
    let same_as =
        watched.bytes_digest.filter(|_| fresh && watched.state.is_settled() && poll.manual.is_none());
    org.start_work(Work::Poll { poll, union_id, same_as });
}

pub(super) fn asked(org: &mut OrgState, poll: PollCall, result: Result<Answer, CallError>) {
    let now = org.now;
    let cost = match &result {
        Ok(answer) => answer.calls(),
        Err(error) => error.calls,
    };
    let outcome = result.as_ref().map_or_else(|error| error.class, |_| "ok");
    org.tools.metrics.poll_ended(&org.name, outcome, cost, now.since(poll.began));
    let PollCall { user, failing, ticket, manual, .. } = poll;
    org.limits.end_poll(failing, ticket, cost, now);
    match result {
        Ok(answer) => {
            let held = HeldAnswer { user, manual, answer };
            if let Some(HeldAnswer { user, manual, answer }) = failures::answered_again(org, held, now) {
                answers::answered(org, user, answer, manual);
            }
        }
        Err(error) => failed(org, user, error, manual),
    }
}

fn failed(org: &mut OrgState, user: UserKey, error: CallError, manual: Option<PollNow>) {
    let now = org.now;
    org.totals.failed += 1;
    let next = failures::after_failure(org, user, &error, manual.is_some(), now);
    let watched = &mut org.users[user];
    org.pending.add_failure(PollFailure {
        person_id: watched.person_id,
        org: watched.info.identity.org.clone(),
        at: now,
        class: error.class,
        text: error.text.clone(),
        next_poll: next,
    });
    // One unclear answer about a user who was answered before proves nothing yet.
    let certain = watched.last_ok.is_none() || watched.refusals > 1;
    let alone = !org.breaker.is_open();
    let rejected = error.verdict == Verdict::UnknownUser && certain && alone && !watched.state.is_rejected();
    let report = manual.as_ref().map(|_| PollResult {
        identity: watched.info.identity.clone(),
        name: watched.info.name().to_owned(),
        recorded: false,
        found: Found::Failure(error),
    });
    record::reply(org, manual.zip(report), None);
    if rejected {
        let watched = &org.users[user];
        let outcome = lifecycle::rejected(&watched.state, now, &watched.info.card(), &org.tools.source);
        record::record_outcome(org, user, outcome, next);
    } else {
        queue::requeue(org, user, next);
    }
}
