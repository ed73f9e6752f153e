//! Queries a meeting about a user whose entry vanished from it (`confirm_calls`).
//!
//! Guards: each absence is queried once, with two calls under the same limits as polls, and only while the month has
//! calls to spare; after a failure, which is logged once, polls decide. An answer waits for a poll or a commit of the
//! user in flight. Not here: what the answer means (`presence::confirm`), when a query is worth it (`policy::confirm`).

use super::confirmations::Question;
use super::effects::{MeetingCall, Work};
use super::roster::UserKey;
use super::settings::earliest;
use super::state::OrgState;
use super::{meeting_facts, queue, spending};
use crate::dingtalk::error::{CallError, Verdict};
use crate::dingtalk::meetings::MeetingInfo;
use crate::policy::confirm as rules;
use crate::policy::quota::Refusal;
use crate::presence::confirm::MeetingAnswer;
use crate::store::MeetingSource;
use crate::time::Timestamp;

/// What happens to a query now.
enum Turn {
    Asked,
    Dropped,
    /// It waits until then, or until something in flight ends.
    Waits(Option<Timestamp>),
}

/// Queues queries for the user's vanished entries; called after a commit.
pub(super) fn queue_confirmations(org: &mut OrgState, user: UserKey) {
    if !org.settings.confirm_calls || org.stopping {
        return;
    }
    let now = org.now;
    for absence in org.users[user].state.vanished_visits() {
        org.confirmations.add(user, absence, now);
    }
}

/// Starts queries that may be made; returns when to call it again.
pub(super) fn ask_meetings(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    let mut wake = None;
    for mut question in org.confirmations.take() {
        match next_step(org, &mut question, now) {
            Turn::Asked => ask_meeting(org, question),
            Turn::Dropped => give_back(org, question),
            Turn::Waits(until) => {
                wake = earliest(wake, until);
                org.confirmations.put_back(question);
            }
        }
    }
    wake
}

/// Drops all queries and returns their calls.
pub(super) fn drop_confirmations(org: &mut OrgState) {
    for question in org.confirmations.take() {
        give_back(org, question);
    }
}

fn give_back(org: &mut OrgState, question: Question) {
    for ticket in question.tickets {
        org.limits.give_back(ticket);
    }
}

fn next_step(org: &mut OrgState, question: &mut Question, now: Timestamp) -> Turn {
    let Some(watched) = org.users.get(question.user) else { return Turn::Dropped };
    let muted = org.confirmations.is_muted(now);
    let people = org.users.values().filter(|one| !one.gone).count();
    let left = org.limits.budget().left(now).map(|left| left + question.tickets.len() as u64);
    if watched.gone
        || muted
        || org.breaker.is_open()
        || !rules::is_fresh(question.since, now)
        || !rules::permits(left, people)
        || org.tools.is_erased(watched.person_id)
    {
        return Turn::Dropped;
    }
    if org.is_full() {
        return Turn::Waits(None);
    }
    if let Some(until) = org.limits.closed_until(now) {
        return Turn::Waits(Some(until));
    }
    while question.tickets.len() < rules::CALLS {
        match org.limits.take(now) {
            Ok(ticket) => question.tickets.push(ticket),
            Err(Refusal::ReserveFirst) => {
                spending::reserve(org, now);
                return Turn::Waits(None);
            }
            Err(Refusal::SpentUntil(_)) => return Turn::Dropped,
        }
    }
    Turn::Asked
}

fn ask_meeting(org: &mut OrgState, question: Question) {
    let Question { user, conference_id, tickets, .. } = question;
    let watched = &org.users[user];
    // The second call may exceed the rate by one; DingTalk limits each of the two separately from polls.
    org.limits.begin(tickets.len());
    let union_id = watched.info.identity.union_id.clone();
    let question = MeetingCall { user, conference_id, tickets };
    org.start_work(Work::AskMeeting { question, union_id });
}

pub(super) fn confirm_finished(
    org: &mut OrgState,
    question: MeetingCall,
    calls: u32,
    result: Result<MeetingAnswer, CallError>,
    info: Option<MeetingInfo>,
) {
    let now = org.now;
    let MeetingCall { user, conference_id, tickets } = question;
    org.limits.end(tickets, calls, now);
    org.tools.metrics.calls_made(&org.name, calls);
    if let Some(info) = info {
        meeting_facts::learn_from_info(org, conference_id.clone(), info, MeetingSource::Confirmation);
    }
    match result {
        Ok(testimony) => {
            org.confirmations.unmute();
            if org.users.contains_key(user) {
                org.confirmations.keep_answer(user, conference_id, testimony);
                queue::apply_meeting_answer(org, user);
            }
        }
        Err(error) => confirm_failed(org, &error, now),
    }
}

/// The absence stays; one log line for each kind of failure.
fn confirm_failed(org: &mut OrgState, error: &CallError, now: Timestamp) {
    if matches!(error.verdict, Verdict::Throttled { .. } | Verdict::ThrottledThisMinute) {
        org.limits.count_refused(false);
        org.limits.halve_rate(now);
    }
    let forbidden = error.verdict == Verdict::Forbidden;
    let until = if forbidden { now.plus(rules::FORBIDDEN_FOR) } else { now };
    let (org_name, class, text) = (&org.name, error.class, &error.text);
    let is_new = org.confirmations.mute(class, until);
    let (code, request_id) = (error.code.as_deref(), error.request_id.as_deref());
    if is_new {
        tracing::warn!(org = %org_name, class, text, code, request_id, "a meeting could not be queried about a vanished user; the leave is emitted as vanished");
    } else {
        tracing::debug!(org = %org_name, class, text, code, request_id, "a meeting could not be queried about a vanished user");
    }
}
