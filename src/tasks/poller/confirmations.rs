//! The queries of meetings about users who vanished from them: those that wait for calls, and answers that wait for users.
//!
//! Guards: each absence is queried once. Not here: when a query is made and what follows (`confirm`).

use std::collections::{BTreeMap, VecDeque};

use super::roster::UserKey;
use crate::ids::ConferenceId;
use crate::policy::confirm::AskedAbsences;
use crate::policy::quota::Ticket;
use crate::presence::confirm::{MeetingAnswer, VanishedVisit};
use crate::time::Timestamp;

/// Pending and answered queries.
#[derive(Debug, Default)]
pub(super) struct Confirmations {
    waiting: VecDeque<Question>,
    asked: AskedAbsences,
    /// Meetings cannot be queried.
    trouble: Option<Trouble>,
    /// Answers about users who are polled or recorded at the moment.
    answered: BTreeMap<UserKey, Vec<(ConferenceId, MeetingAnswer)>>,
}

/// A query that waits for its calls.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) user: UserKey,
    pub(super) conference_id: ConferenceId,
    pub(super) since: Timestamp,
    /// The calls reserved so far.
    pub(super) tickets: Vec<Ticket>,
}

/// The last logged failure, and until when there are no queries.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    class: &'static str,
    until: Timestamp,
}

impl Confirmations {
    /// Adds a query about an absence, unless it was queried before.
    pub(super) fn add(&mut self, user: UserKey, absence: VanishedVisit, now: Timestamp) {
        if self.asked.is_new(&absence.visit, absence.since, now) {
            let (conference_id, since) = (absence.conference_id, absence.since);
            self.waiting.push_back(Question { user, conference_id, since, tickets: Vec::new() });
        }
    }

    /// Takes all queries that wait.
    pub(super) fn take(&mut self) -> VecDeque<Question> {
        std::mem::take(&mut self.waiting)
    }

    /// A query goes on waiting.
    pub(super) fn put_back(&mut self, question: Question) {
        self.waiting.push_back(question);
    }

    /// Whether meetings cannot be queried now.
    pub(super) fn is_muted(&self, now: Timestamp) -> bool {
        self.trouble.is_some_and(|trouble| now < trouble.until)
    }

    /// Meetings cannot be queried until then; returns whether that is to be logged.
    pub(super) fn mute(&mut self, class: &'static str, until: Timestamp) -> bool {
        let before = self.trouble.replace(Trouble { class, until });
        before.is_none_or(|before| before.class != class)
    }

    /// Meetings can be queried.
    pub(super) fn unmute(&mut self) {
        self.trouble = None;
    }

    /// Keeps an answer until it can be applied.
    pub(super) fn keep_answer(&mut self, user: UserKey, meeting: ConferenceId, answer: MeetingAnswer) {
        self.answered.entry(user).or_default().push((meeting, answer));
    }

    /// Takes an answer about this user.
    pub(super) fn next_answer(&mut self, user: UserKey) -> Option<(ConferenceId, MeetingAnswer)> {
        let answer = self.answered.get_mut(&user)?.pop();
        if answer.is_none() {
            self.answered.remove(&user);
        }
        answer
    }

    /// Removes a user who left the list.
    pub(super) fn forget(&mut self, user: UserKey) {
        self.answered.remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_failure_is_logged_once_and_mutes_until_its_time() {
        let (mut confirmations, now) = (Confirmations::default(), Timestamp::from_ms(5_000));
        let later = Timestamp::from_ms(9_000);
        assert!(confirmations.mute("forbidden", later) && !confirmations.mute("forbidden", later));
        assert!(confirmations.is_muted(now) && !confirmations.is_muted(later));
        assert!(confirmations.mute("outage", now) && !confirmations.is_muted(now));
        confirmations.unmute();
        assert!(confirmations.mute("outage", now));
    }
}
