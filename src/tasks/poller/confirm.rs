//! Queries a meeting about a user whose entry vanished from it (`confirm_calls`).
//!
//! Guards: each absence is queried once, with two calls under the same limits as polls, and only while the month has
//! calls to spare; after a failure, which is logged once, polls decide. An answer waits for a poll or a commit of the
//! user in flight. Not here: what the answer means (`presence::confirm`), when a query is worth it (`policy::confirm`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{BTreeMap, VecDeque};

use super::effects::{MeetingCall, Work};
use super::org::OrgPoller;
use super::settings::earliest;
use crate::dingtalk::error::{CallError, Verdict};
use crate::dingtalk::meetings::MeetingInfo;
use crate::ids::ConferenceId;
use crate::policy::confirm::{self as rules, AskedAbsences};
use crate::policy::quota::{Refusal, Ticket};
use crate::presence::confirm::{MeetingAnswer, confirm};
use crate::store::MeetingSource;
use crate::time::Timestamp;

/// Pending and answered queries.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: VecDeque<Question>,
    asked: AskedAbsences,
    /// Meetings cannot be queried.
    trouble: Option<Trouble>,
    /// Answers about users who are polled or recorded at the moment.
    answered: BTreeMap<UserKey, Vec<(ConferenceId, MeetingAnswer)>>,
}

/// A query that waits for its calls.
#[derive(Debug)]
struct Question {
    user: UserKey,
    conference_id: ConferenceId,
    since: Timestamp,
    /// The calls reserved so far.
    tickets: Vec<Ticket>,
}

/// The last logged failure, and until when there are no queries.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    class: &'static str,
    until: Timestamp,
}

/// What happens to a query now.
enum Turn {
    Asked,
    Dropped,
    /// It waits until then, or until something in flight ends.
    Waits(Option<Timestamp>),
}

impl Questions {
    /// Removes a user who left the list.
    pub(super) fn forget(&mut self, user: UserKey) {
        self.answered.remove(&user);
    }
}

impl OrgPoller {
    /// Queues queries for the user's vanished entries; called after a commit.
    pub(super) fn queue_confirmations(&mut self, user: UserKey) {
        if !self.settings.confirm_calls || self.stopping {
            return;
        }
        let now = self.now;
        let questions = &mut self.questions;
        let watched = &self.users[user];
        for absence in watched.state.vanished_visits() {
            if questions.asked.is_new(&absence.visit, absence.since, now) {
                let (conference_id, since) = (absence.conference_id, absence.since);
                let tickets = Vec::new();
                questions.waiting.push_back(Question { user, conference_id, since, tickets });
            }
        }
    }

    /// Starts queries that may be made; returns when to call it again.
    pub(super) fn ask_meetings(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mut wake = None;
        for _ in 0..self.questions.waiting.len() {
            let Some(mut question) = self.questions.waiting.pop_front() else { break };
            match self.next_step(&mut question, now) {
                Turn::Asked => self.ask_meeting(question),
                Turn::Dropped => self.give_back(question),
                Turn::Waits(until) => {
                    wake = earliest(wake, until);
                    self.questions.waiting.push_back(question);
                }
            }
        }
        wake
    }

    /// Drops all queries and returns their calls.
    pub(super) fn drop_confirmations(&mut self) {
        while let Some(question) = self.questions.waiting.pop_front() {
            self.give_back(question);
        }
    }

    fn give_back(&mut self, question: Question) {
        for ticket in question.tickets {
            self.upstream.budget.settle(ticket, 0);
        }
    }

    fn next_step(&mut self, question: &mut Question, now: Timestamp) -> Turn {
        let Some(watched) = self.users.get(question.user) else { return Turn::Dropped };
        let upstream = &self.upstream;
        let muted = self.questions.trouble.is_some_and(|trouble| now < trouble.until);
        let people = self.users.values().filter(|one| !one.gone).count();
        let left = upstream.budget.left(now).map(|left| left + question.tickets.len() as u64);
        if watched.gone
            || muted
            || upstream.standing.open.is_some()
            || !rules::is_fresh(question.since, now)
            || !rules::permits(left, people)
            || self.tools.is_erased(watched.person_id)
        {
            return Turn::Dropped;
        }
        if upstream.in_flight >= upstream.places() || upstream.reserving || upstream.gap_pending {
            return Turn::Waits(None);
        }
        let free = upstream.limiter.next_free(now);
        if let Some(until) = upstream.paused(now).or(Some(free).filter(|free| *free > now)) {
            return Turn::Waits(Some(until));
        }
        while question.tickets.len() < rules::CALLS {
            match self.upstream.budget.try_take(now) {
                Ok(ticket) => question.tickets.push(ticket),
                Err(Refusal::ReserveFirst) => {
                    self.reserve(now);
                    return Turn::Waits(None);
                }
                Err(Refusal::SpentUntil(_)) => return Turn::Dropped,
            }
        }
        Turn::Asked
    }

    fn ask_meeting(&mut self, question: Question) {
        let Question { user, conference_id, tickets, .. } = question;
        let watched = &self.users[user];
        let upstream = &mut self.upstream;
        // The second call may exceed the rate by one; DingTalk limits each of the two separately from polls.
        for _ in &tickets {
            upstream.limiter.begin();
        }
        upstream.in_flight += 1;
        let union_id = watched.info.identity.union_id.clone();
        let question = MeetingCall { user, conference_id, tickets };
        self.start_work(Work::AskMeeting { question, union_id });
    }

    pub(super) fn confirm_finished(
        &mut self,
        question: MeetingCall,
        calls: u32,
        result: Result<MeetingAnswer, CallError>,
        info: Option<MeetingInfo>,
    ) {
        let now = self.now;
        let MeetingCall { user, conference_id, tickets } = question;
        let upstream = &mut self.upstream;
        upstream.in_flight -= 1;
        let mut cost = calls;
        for ticket in tickets {
            upstream.limiter.done(now);
            upstream.budget.settle(ticket, std::mem::take(&mut cost));
        }
        self.tools.metrics.calls_made(&upstream.name, calls);
        if let Some(info) = info {
            self.learn_from_info(conference_id.clone(), info, MeetingSource::Confirmation);
        }
        match result {
            Ok(testimony) => {
                self.questions.trouble = None;
                if self.users.contains_key(user) {
                    self.questions.answered.entry(user).or_default().push((conference_id, testimony));
                    self.apply_meeting_answer(user);
                }
            }
            Err(error) => self.confirm_failed(&error, now),
        }
    }

    /// The absence stays; one log line for each kind of failure.
    fn confirm_failed(&mut self, error: &CallError, now: Timestamp) {
        let upstream = &mut self.upstream;
        if matches!(error.verdict, Verdict::Throttled { .. } | Verdict::ThrottledThisMinute) {
            upstream.throttled += 1;
            upstream.limiter.throttled(now);
        }
        let forbidden = error.verdict == Verdict::Forbidden;
        let until = if forbidden { now.plus(rules::FORBIDDEN_FOR) } else { now };
        let (org, class, text) = (&upstream.name, error.class, &error.text);
        let before = self.questions.trouble.replace(Trouble { class, until });
        let (code, request_id) = (error.code.as_deref(), error.request_id.as_deref());
        if before.is_some_and(|before| before.class == class) {
            tracing::debug!(%org, class, text, code, request_id, "a meeting could not be queried about a vanished user");
        } else {
            tracing::warn!(%org, class, text, code, request_id, "a meeting could not be queried about a vanished user; the leave is emitted as vanished");
        }
    }

    /// Applies an answer unless the user is polled or recorded at the moment; then it is applied afterwards.
    pub(super) fn apply_meeting_answer(&mut self, user: UserKey) {
        let watched = &mut self.users[user];
        if watched.busy {
            return;
        }
        let Some(answered) = self.questions.answered.get_mut(&user) else { return };
        while let Some((conference_id, testimony)) = answered.pop() {
            let (card, source) = (watched.info.card(), &self.tools.source);
            let outcome = confirm(&watched.state, &conference_id, &testimony, &card, source);
            if let Some(outcome) = outcome.filter(|_| !watched.gone) {
                let due = watched.due;
                self.upstream.due.remove(due, user);
                return self.record_outcome(user, outcome, due);
            }
        }
        self.questions.answered.remove(&user);
    }
}
