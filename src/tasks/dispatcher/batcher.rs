//! Which deliveries of a webhook share a request, and when that request may start.
//!
//! Guards: only the heads of different lanes are leased, so each user's order holds; all deliveries of a request end as it
//! ends; a request without an answer is sent again with the same events, so that it has the same id; a refused one is
//! split, so that one bad event does not cost the others. Not here: the pace of a robot (`policy::robot`), the message that
//! several events become (`webhook::format`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::leased::Leased;
use super::target::Target;
use crate::policy::delivery::{self, Attempt, Decision, DeliveryStep, Health, Outcome, Rules, WebhookState};
use crate::policy::robot::{RobotPace, SILENCE};
use crate::time::Timestamp;
use crate::webhook::answer::Answer;
use crate::webhook::format::Batching;
use crate::webhook::send::Sender;

/// The most unanswered requests that are remembered: more fail at once only when everything fails.
const MOST_GROUPS: usize = 64;

/// One robot's pace, shared by all webhooks that send to it.
pub(super) type SharedPace = Arc<Mutex<RobotPace>>;

/// Puts the deliveries of one webhook together.
#[derive(Debug)]
pub(super) struct Batcher {
    kind: Kind,
    /// Deliveries that were in one request without an answer.
    groups: Vec<Vec<i64>>,
}

#[derive(Debug)]
enum Kind {
    Single,
    Collected { window: Duration, most: usize, since: Option<Timestamp> },
    Paced { most: usize, pace: SharedPace },
}

/// The paces of all robots, for as long as the dispatcher runs: another config does not make a robot take more.
#[derive(Debug, Default)]
pub(super) struct Paces(Vec<(Sender, SharedPace)>);

impl Paces {
    /// The pace of a webhook that needs one; the same for all that send to the same robot.
    pub(super) fn of(&mut self, target: &Target, now: Timestamp) -> Option<SharedPace> {
        if !matches!(target.sender.batching(), Batching::Paced { .. }) {
            return None;
        }
        if let Some((_, pace)) = self.0.iter().find(|(sender, _)| sender.is_same_place(&target.sender)) {
            return Some(Arc::clone(pace));
        }
        let pace = Arc::new(Mutex::new(RobotPace::after_start(now)));
        self.0.push((target.sender.clone(), Arc::clone(&pace)));
        Some(pace)
    }
}

impl Kind {
    fn new(batching: Batching, pace: Option<SharedPace>) -> Self {
        match (batching, pace) {
            (Batching::Collected { window, most }, _) => Self::Collected { window, most, since: None },
            (Batching::Paced { most }, Some(pace)) => Self::Paced { most, pace },
            (Batching::Single | Batching::Paced { .. }, _) => Self::Single,
        }
    }
}

impl Batcher {
    /// For a webhook; `pace` where its format has one.
    pub(super) fn new(batching: Batching, pace: Option<SharedPace>) -> Self {
        Self { kind: Kind::new(batching, pace), groups: Vec::new() }
    }

    /// Another config: what was in one request stays known.
    pub(super) fn replace(&mut self, batching: Batching, pace: Option<SharedPace>) {
        self.kind = Kind::new(batching, pace);
    }

    /// Whether more leases are useful than requests can be in flight.
    pub(super) fn collects(&self) -> bool {
        !matches!(self.kind, Kind::Single)
    }

    /// How long a leased delivery may wait for others.
    pub(super) fn longest_wait(&self) -> Duration {
        match &self.kind {
            Kind::Single => Duration::ZERO,
            Kind::Collected { window, .. } => *window,
            Kind::Paced { .. } => SILENCE,
        }
    }

    /// Nothing was leased; what comes now is the first.
    pub(super) fn begin(&mut self) {
        if let Kind::Collected { since, .. } = &mut self.kind {
            *since = None;
        }
    }

    /// When the next request may start, if that is not now. Some delivery is waiting.
    pub(super) fn free_at(&mut self, now: Timestamp, waiting: &VecDeque<Leased>) -> Option<Timestamp> {
        match &mut self.kind {
            Kind::Single => None,
            Kind::Collected { window, most, since } => {
                if waiting.len() >= *most || waiting.front().is_some_and(|one| one.probe) {
                    return None;
                }
                // A clock set back must not stretch the window.
                let began = since.filter(|&since| since <= now).unwrap_or(now);
                *since = Some(began);
                Some(began.plus(*window)).filter(|&closes| closes > now)
            }
            Kind::Paced { pace, .. } => locked(pace, |pace| pace.free_at(now)),
        }
    }

    /// Takes what goes into the request that starts now: at least one, unless nothing is waiting.
    pub(super) fn take(&mut self, now: Timestamp, waiting: &mut VecDeque<Leased>) -> Vec<Leased> {
        let leased = waiting.len();
        let Some(first) = waiting.pop_front() else { return Vec::new() };
        let (most, roomy) = match &self.kind {
            Kind::Single => return vec![first],
            Kind::Collected { most, .. } => (*most, false),
            Kind::Paced { most, pace } => {
                let roomy = locked(pace, |pace| {
                    let roomy = pace.has_room_for(now, leased);
                    pace.start(now);
                    roomy
                });
                (*most, roomy)
            }
        };
        let group = self.groups.iter().find(|group| group.contains(&first.id()));
        let mut taken = vec![first];
        if let Some(group) = group {
            join(&mut taken, waiting, most, |one| group.contains(&one.id()));
        } else if !roomy && may_share(&taken[0]) {
            let groups = &self.groups;
            let grouped = |id: i64| groups.iter().any(|group| group.contains(&id));
            join(&mut taken, waiting, most, |one| may_share(one) && !grouped(one.id()));
        }
        // Oldest first, and the same events always in the same order: the request's id is made of them.
        taken.sort_by_key(Leased::id);
        if waiting.is_empty() {
            self.begin();
        }
        taken
    }

    /// A request came back.
    pub(super) fn answered(&mut self, deliveries: &[i64], answer: &Answer, now: Timestamp) {
        if let (Kind::Paced { pace, .. }, Some(_)) = (&self.kind, answer.silence) {
            locked(pace, |pace| pace.silence(now));
        }
        for group in &mut self.groups {
            group.retain(|id| !deliveries.contains(id));
        }
        self.groups.retain(|group| group.len() > 1);
        if answer.outcome == Outcome::Unavailable && deliveries.len() > 1 {
            if self.groups.len() >= MOST_GROUPS {
                self.groups.remove(0);
            }
            self.groups.push(deliveries.to_vec());
        }
    }
}

/// What follows for each delivery of one request, which counts once for the webhook.
pub(super) fn decide(
    health: &mut Health,
    attempts: &[Attempt<'_>],
    silent: bool,
    rules: &Rules,
) -> Vec<Decision> {
    let mut verdicts: Vec<Decision> = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        let unavailable = attempt.outcome == Outcome::Unavailable;
        if unavailable && !verdicts.is_empty() && health.state == WebhookState::Up {
            health.failures = health.failures.saturating_sub(1);
        }
        let mut verdict = delivery::decide(health, attempt, rules);
        if silent {
            // Too many messages are no fault of one event.
            verdict.strikes = attempt.strikes;
            health.counted_deliveries.retain(|&id| id != attempt.delivery_id);
        }
        if verdict.next == DeliveryStep::Dead
            && (silent || attempts.len() > 1)
            && attempt.outcome != Outcome::Gone
        {
            // Not before it was tried alone.
            verdict.next = DeliveryStep::Retry(attempt.at.plus(rules.initial));
        }
        if let (true, Some(DeliveryStep::Retry(together))) =
            (unavailable, verdicts.first().map(|first| first.next))
        {
            verdict.next = DeliveryStep::Retry(together);
        }
        verdicts.push(verdict);
    }
    verdicts
}

fn join(
    taken: &mut Vec<Leased>,
    waiting: &mut VecDeque<Leased>,
    most: usize,
    wanted: impl Fn(&Leased) -> bool,
) {
    let (mut left, rest) = (VecDeque::with_capacity(waiting.len()), std::mem::take(waiting));
    for one in rest {
        if taken.len() < most && wanted(&one) {
            taken.push(one);
        } else {
            left.push_back(one);
        }
    }
    *waiting = left;
}

/// A delivery that was refused before is sent alone; so is a probe.
fn may_share(one: &Leased) -> bool {
    !one.probe && one.claimed.ticket.strikes == 0
}

fn locked<T>(pace: &SharedPace, with: impl FnOnce(&mut RobotPace) -> T) -> T {
    // A pace is consistent at every moment, also after a panic.
    with(&mut pace.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn attempts(outcome: Outcome, count: i64) -> Vec<Attempt<'static>> {
        let one = |delivery_id| Attempt {
            delivery_id,
            key: "crm/1",
            strikes: 0,
            probe: false,
            outcome,
            retry_after: None,
            at: T0,
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_request_without_an_answer_counts_once_and_its_events_come_back_together() {
        let (mut health, rules) = (Health::default(), Rules::default());
        for failures in 1..5 {
            let verdicts = decide(&mut health, &attempts(Outcome::Unavailable, 30), false, &rules);
            assert_eq!(health.failures, failures);
            assert!(verdicts.iter().all(|verdict| verdict.next == verdicts[0].next && verdict.strikes == 1));
        }
        decide(&mut health, &attempts(Outcome::Unavailable, 30), false, &rules);
        assert!(health.state.is_down());
    }

    #[test]
    fn a_refused_request_gives_no_event_up_before_a_try_alone() {
        let (mut health, rules) = (Health::default(), Rules { attempts: 1, ..Rules::default() });
        let verdicts = decide(&mut health, &attempts(Outcome::Refused, 3), false, &rules);
        assert!(
            verdicts
                .iter()
                .all(|verdict| matches!(verdict.next, DeliveryStep::Retry(_)) && verdict.strikes == 1)
        );
        let verdicts = decide(&mut health, &attempts(Outcome::Refused, 1), false, &rules);
        assert_eq!(verdicts[0].next, DeliveryStep::Dead);
    }

    #[test]
    fn too_many_messages_are_no_events_fault() {
        let (mut health, rules) = (Health::default(), Rules { attempts: 1, ..Rules::default() });
        for count in [1, 5] {
            let verdicts = decide(&mut health, &attempts(Outcome::Unavailable, count), true, &rules);
            assert!(
                verdicts
                    .iter()
                    .all(|verdict| matches!(verdict.next, DeliveryStep::Retry(_)) && verdict.strikes == 0)
            );
            assert!(health.counted_deliveries.is_empty());
        }
        assert_eq!(health.failures, 2, "an alert follows if it goes on");
    }

    #[test]
    fn gone_and_accepted_hold_for_all() {
        let rules = Rules::default();
        let verdicts = decide(&mut Health::default(), &attempts(Outcome::Accepted, 3), false, &rules);
        assert!(verdicts.iter().all(|verdict| verdict.next == DeliveryStep::Delivered));
        let mut health = Health::default();
        let verdicts = decide(&mut health, &attempts(Outcome::Gone, 3), false, &rules);
        assert!(verdicts.iter().all(|verdict| verdict.next == DeliveryStep::Dead));
        assert!(matches!(health.state, WebhookState::Disabled { .. }));
    }
}
