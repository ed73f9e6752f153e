//! Asking a meeting about somebody whose entry vanished from it (`confirm_calls`).
//!
//! Guards: each absence is asked about once, by two calls under the same limits as looks, and only while the month has
//! calls to spare; a failure leaves the absence to the looks and is said once. The answer waits for a look or a commit
//! that is under way. Deliberately not here: what the answer means (`presence::confirm`), when it is worth asking
//! (`policy::confirm`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{BTreeMap, VecDeque};

use super::{Done, Poller, earliest};
use crate::dingtalk::client::Client;
use crate::dingtalk::error::{CallError, Verdict};
use crate::dingtalk::meetings::MeetingState;
use crate::ids::{ConferenceId, OrgName, UnionId};
use crate::policy::confirm::{self as rules, AskedAbsences};
use crate::policy::quota::{Refusal, Ticket};
use crate::presence::confirm::{MeetingAnswer, MeetingEnd, confirm};
use crate::time::Timestamp;

/// Everything about questions that are to be asked, or were.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: VecDeque<Question>,
    asked: AskedAbsences,
    /// Organisations whose meetings refuse to answer.
    trouble: BTreeMap<OrgName, Trouble>,
    /// Answers about people who are being asked or recorded.
    answered: BTreeMap<UserKey, Vec<(ConferenceId, MeetingAnswer)>>,
}

/// A question that waits for its place.
#[derive(Debug)]
struct Question {
    person: UserKey,
    upstream: usize,
    conference_id: ConferenceId,
    since: Timestamp,
    /// The calls it has been granted so far.
    tickets: Vec<Ticket>,
}

/// What was said about failures, and until when nothing is asked.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    class: &'static str,
    until: Timestamp,
}

/// A question that was asked.
#[derive(Debug)]
pub(super) struct Told {
    person: UserKey,
    upstream: usize,
    conference_id: ConferenceId,
    tickets: Vec<Ticket>,
    calls: u32,
    result: Result<MeetingAnswer, CallError>,
}

/// What becomes of a question now.
enum Turn {
    Asked,
    Dropped,
    /// It waits: until then, or until something under way is over.
    Waits(Option<Timestamp>),
}

impl Questions {
    /// The user is not watched any more.
    pub(super) fn forget(&mut self, person: UserKey) {
        self.answered.remove(&person);
    }
}

impl Poller {
    /// After a commit: whoever vanished is to be asked about.
    pub(super) fn note_vanished(&mut self, person: UserKey) {
        if !self.settings.confirm_calls || self.stopping {
            return;
        }
        let now = self.tools.clock.now();
        let questions = &mut self.questions;
        let watched = &self.users[person];
        for absence in watched.belief.vanished_visits() {
            if questions.asked.is_new(&absence.visit, absence.since, now) {
                let (conference_id, since) = (absence.conference_id, absence.since);
                let (upstream, tickets) = (watched.upstream, Vec::new());
                questions.waiting.push_back(Question { person, upstream, conference_id, since, tickets });
            }
        }
    }

    /// Asks what may be asked; returns when to be called again.
    pub(super) fn ask_meetings(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mut wake = None;
        for _ in 0..self.questions.waiting.len() {
            let Some(mut question) = self.questions.waiting.pop_front() else { break };
            match self.turn_of(&mut question, now) {
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

    /// Nothing more is asked; what was granted is given back.
    pub(super) fn drop_questions(&mut self) {
        while let Some(question) = self.questions.waiting.pop_front() {
            self.give_back(question);
        }
    }

    fn give_back(&mut self, question: Question) {
        for ticket in question.tickets {
            self.upstreams[question.upstream].budget.settle(ticket, 0);
        }
    }

    fn turn_of(&mut self, question: &mut Question, now: Timestamp) -> Turn {
        let Some(watched) = self.users.get(question.person) else { return Turn::Dropped };
        let index = watched.upstream;
        let upstream = &self.upstreams[index];
        let muted = self.questions.trouble.get(&upstream.name).is_some_and(|trouble| now < trouble.until);
        let people = self.users.values().filter(|one| one.upstream == index && !one.gone).count();
        let left = upstream.budget.left(now).map(|left| left + question.tickets.len() as u64);
        if watched.gone
            || muted
            || upstream.standing.open.is_some()
            || !rules::is_fresh(question.since, now)
            || !rules::permits(left, people)
            || self.tools.store.erasures().is_erased(watched.person_id)
        {
            return Turn::Dropped;
        }
        if upstream.in_flight >= upstream.places() || upstream.reserving || upstream.gap_untold {
            return Turn::Waits(None);
        }
        let free = upstream.limiter.next_free(now);
        if let Some(until) = upstream.paused(now).or(Some(free).filter(|free| *free > now)) {
            return Turn::Waits(Some(until));
        }
        while question.tickets.len() < rules::CALLS {
            match self.upstreams[index].budget.try_take(now) {
                Ok(ticket) => question.tickets.push(ticket),
                Err(Refusal::ReserveFirst) => {
                    self.reserve(index, now);
                    return Turn::Waits(None);
                }
                Err(Refusal::SpentUntil(_)) => return Turn::Dropped,
            }
        }
        Turn::Asked
    }

    fn ask_meeting(&mut self, question: Question) {
        let Question { person, upstream: index, conference_id, tickets, .. } = question;
        let watched = &self.users[person];
        let upstream = &mut self.upstreams[index];
        // The second may be one too many for our second; DingTalk counts each of the two apart from the looks.
        for _ in &tickets {
            upstream.limiter.begin();
        }
        upstream.in_flight += 1;
        let (client, union_id) = (upstream.client.clone(), watched.who.identity.union_id.clone());
        self.running.start(async move {
            let mut calls = 0;
            let result = testimony(&client, &conference_id, &union_id, &mut calls).await;
            Done::Confirmed(Box::new(Told { person, upstream: index, conference_id, tickets, calls, result }))
        });
    }

    pub(super) fn meeting_told(&mut self, told: Told) {
        let now = self.tools.clock.now();
        let Told { person, upstream: index, conference_id, tickets, calls, result } = told;
        let upstream = &mut self.upstreams[index];
        upstream.in_flight -= 1;
        let mut cost = calls;
        for ticket in tickets {
            upstream.limiter.done(now);
            upstream.budget.settle(ticket, std::mem::take(&mut cost));
        }
        self.tools.metrics.calls_made(&upstream.name, calls);
        match result {
            Ok(testimony) => {
                self.questions.trouble.remove(&upstream.name);
                if self.users.contains_key(person) {
                    self.questions.answered.entry(person).or_default().push((conference_id, testimony));
                    self.take_testimony(person);
                }
            }
            Err(error) => self.meeting_silent(index, &error, now),
        }
    }

    /// The absence stays as it is; one line for each kind of trouble.
    fn meeting_silent(&mut self, index: usize, error: &CallError, now: Timestamp) {
        let upstream = &mut self.upstreams[index];
        if matches!(error.verdict, Verdict::Throttled { .. } | Verdict::ThrottledThisMinute) {
            upstream.throttled += 1;
            upstream.limiter.throttled(now);
        }
        let forbidden = error.verdict == Verdict::Forbidden;
        let until = if forbidden { now.plus(rules::FORBIDDEN_FOR) } else { now };
        let (org, class, text) = (&upstream.name, error.class, &error.text);
        let before = self.questions.trouble.insert(org.clone(), Trouble { class, until });
        let (code, request_id) = (error.code.as_deref(), error.request_id.as_deref());
        if before.is_some_and(|before| before.class == class) {
            tracing::debug!(%org, class, text, code, request_id, "a meeting does not tell how somebody left");
        } else {
            tracing::warn!(%org, class, text, code, request_id, "a meeting does not tell how somebody left; who vanished is told as vanished");
        }
    }

    /// Draws the conclusion from an answer, unless the person is being asked or recorded: then it is drawn afterwards.
    pub(super) fn take_testimony(&mut self, person: UserKey) {
        let watched = &mut self.users[person];
        if watched.busy {
            return;
        }
        let Some(answered) = self.questions.answered.get_mut(&person) else { return };
        while let Some((conference_id, testimony)) = answered.pop() {
            let (card, source) = (watched.who.card(), self.tools.store.source());
            let outcome = confirm(&watched.belief, &conference_id, &testimony, &card, source);
            if let Some(outcome) = outcome.filter(|_| !watched.gone) {
                let due = watched.due;
                self.upstreams[watched.upstream].due.remove(due, person);
                return self.record_outcome(person, outcome, due);
            }
        }
        self.questions.answered.remove(&person);
    }
}

/// Asks: first the meeting, then for its members. A meeting that is over may keep those to itself.
async fn testimony(
    client: &Client,
    conference_id: &ConferenceId,
    union_id: &UnionId,
    calls: &mut u32,
) -> Result<MeetingAnswer, CallError> {
    let info = client.meeting(conference_id).await.inspect_err(|error| *calls += error.calls)?;
    *calls += info.calls;
    let over = match info.state {
        MeetingState::Ended => MeetingEnd::Ended(info.ended),
        MeetingState::Initialized | MeetingState::Started | MeetingState::Unrecognized => MeetingEnd::Ongoing,
    };
    let members = client.meeting_members(conference_id, 1).await.inspect_err(|error| *calls += error.calls);
    let (at, record) = match members {
        Ok(members) => {
            *calls += members.calls;
            (members.observed_at, members.of(union_id).cloned())
        }
        // About this meeting, and about nothing else.
        Err(error) if error.verdict.is_refusal() && over != MeetingEnd::Ongoing => (info.observed_at, None),
        Err(error) => return Err(error),
    };
    Ok(MeetingAnswer { at, end: over, record })
}
