//! All webhooks' queues: the whole decision of the dispatcher, without IO and without a clock.
//!
//! Guards: what was not written is written with the next transaction; answers are gathered only while no queue waits for a
//! lane; a key that is in flight finds its own queue, or none. Not here: one webhook (`queue`), carrying out what is decided
//! (the driver above).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use slotmap::SlotMap;

use super::batcher::Paces;
use super::leased::{Leased, Sending};
use super::operator::Changed;
use super::queue::{Outcomes, WebhookQueue};
use super::reload::Reload;
use super::target::Target;
use crate::ids::WebhookName;
use crate::policy::delivery::Health;
use crate::policy::operator_action::OperatorAction;
use crate::store::outbox::{Turn, Turned};
use crate::time::Timestamp;
use crate::webhook::answer::Answer;
use crate::webhook::send::Sender;

/// While receivers have enough to do, answers are gathered for this long or to this number before they are written: one
/// transaction (and its `fsync`) for some hundred answers costs hardly more than one for ten. A crash in between sends them
/// again.
const GATHER: Duration = Duration::from_millis(20);
const GATHERED: usize = 512;

slotmap::new_key_type! {
    /// A webhook's queue, for as long as anything of it is in this process.
    pub(super) struct QueueKey;
}

/// A request to be made.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) queue: QueueKey,
    pub(super) sender: Sender,
    pub(super) deliveries: Vec<Leased>,
}

/// Every queue, and what is to be written about them.
#[derive(Debug, Default)]
pub(super) struct Queues {
    all: SlotMap<QueueKey, WebhookQueue>,
    by_name: HashMap<WebhookName, QueueKey>,
    paces: Paces,
    unwritten: Outcomes,
    /// When the last transaction began.
    last_turn: Timestamp,
}

impl Queues {
    pub(super) fn new(targets: Vec<Target>, now: Timestamp) -> Self {
        let mut queues = Self::default();
        for target in targets {
            queues.add(target, Health::default(), now);
        }
        queues
    }

    fn add(&mut self, target: Target, state: Health, now: Timestamp) -> QueueKey {
        let (name, pace) = (target.name.clone(), self.paces.of(&target, now));
        let key = self.all.insert(WebhookQueue::new(target, state, pace));
        self.by_name.insert(name, key);
        key
    }

    fn named(&mut self, webhook: &WebhookName) -> Option<&mut WebhookQueue> {
        self.all.get_mut(*self.by_name.get(webhook)?)
    }

    /// Takes over the states that an earlier process stored.
    pub(super) fn restore(&mut self, states: Vec<(WebhookName, Health)>) {
        for (webhook, state) in states {
            if let Some(queue) = self.named(&webhook) {
                queue.restore(state);
            }
        }
    }

    /// Other targets from now on. A queue without a target ends when nothing of it is in flight any more.
    pub(super) fn reload(&mut self, reload: Reload, now: Timestamp) {
        let Reload { targets, states, changed } = reload;
        let stays: HashSet<&WebhookName> = targets.iter().map(|target| &target.name).collect();
        self.all.values_mut().filter(|queue| !stays.contains(queue.name())).for_each(WebhookQueue::retire);
        for target in targets {
            let pace = self.paces.of(&target, now);
            let differs = changed.contains(&target.name);
            if let Some(queue) = self.named(&target.name) {
                queue.replace(target, differs, pace, now);
            } else {
                let known = states.iter().find(|(webhook, _)| *webhook == target.name);
                let key = self.add(target, known.map(|(_, state)| state.clone()).unwrap_or_default(), now);
                // It may have been in the config before: what waits for it since is tried at once.
                self.all[key].hurry();
            }
        }
        self.all.retain(|_, queue| !queue.is_over());
        self.by_name.retain(|_, key| self.all.contains_key(*key));
    }

    /// An operator's change; `None`: no webhook has this name.
    pub(super) fn change(
        &mut self,
        webhook: &WebhookName,
        change: OperatorAction,
        now: Timestamp,
    ) -> Option<Changed> {
        self.named(webhook)?.change(change, now)
    }

    /// A webhook's target and state; `None`: no webhook has this name.
    pub(super) fn show(&mut self, webhook: &WebhookName) -> Option<(Target, Health)> {
        self.named(webhook)?.shown()
    }

    /// There may be new work for any webhook.
    pub(super) fn recheck(&mut self) {
        self.all.values_mut().for_each(WebhookQueue::recheck);
    }

    /// The requests that may start now. Gives back first what is leased and will not be sent.
    pub(super) fn start(&mut self, now: Timestamp, doubts_ages: bool) -> Vec<Start> {
        let mut starts = Vec::new();
        for (key, queue) in &mut self.all {
            queue.doubt_ages(doubts_ages);
            self.unwritten.finished.extend(queue.give_back(now));
            while let Some(deliveries) = queue.start(now) {
                starts.push(Start { queue: key, sender: queue.sender(), deliveries });
            }
        }
        starts
    }

    /// A request came back.
    pub(super) fn answered(
        &mut self,
        key: QueueKey,
        sendings: Vec<Sending>,
        probe: bool,
        answer: &Answer,
        now: Timestamp,
    ) {
        // A queue stays while anything of it is in flight.
        let Some(queue) = self.all.get_mut(key) else { return };
        let Outcomes { finished, forgiven } = queue.answered(sendings, probe, answer, now);
        self.unwritten.finished.extend(finished);
        self.unwritten.forgiven.extend(forgiven);
    }

    /// Until when answers are gathered rather than written. `in_flight`: whether requests are.
    pub(super) fn gathering(&self, now: Timestamp, in_flight: bool) -> Option<Timestamp> {
        let until = self.last_turn.plus(GATHER);
        let few = !self.unwritten.finished.is_empty() && self.unwritten.finished.len() < GATHERED;
        let waits = |queue: &WebhookQueue| queue.is_hungry(now) || queue.has_state_to_write();
        // A clock set back must not stretch this.
        let is_fresh = now < until && now >= self.last_turn;
        (few && in_flight && is_fresh && !self.all.values().any(waits)).then_some(until)
    }

    /// Everything that is to be written and asked at this moment, as one transaction. Empty: nothing is.
    pub(super) fn turn(&mut self, now: Timestamp) -> Turn {
        self.last_turn = now;
        let Outcomes { finished, forgiven } = std::mem::take(&mut self.unwritten);
        for done in &finished {
            // A lane moves on in this very transaction; its next delivery may be leased in it, too.
            if let Some(queue) = self.named(&done.ticket.webhook) {
                queue.recheck();
            }
        }
        let mut turn = Turn { at: now, finished, forgiven, ..Turn::default() };
        for queue in self.all.values_mut() {
            turn.states.extend(queue.take_state());
            if queue.take_hurry() {
                turn.hurried.push(queue.name().clone());
            }
            turn.asks.extend(queue.ask(now));
        }
        turn
    }

    /// The last transaction: what is left to be written, and no question.
    pub(super) fn last_turn(&mut self, now: Timestamp) -> Turn {
        let Outcomes { mut finished, forgiven } = std::mem::take(&mut self.unwritten);
        finished.extend(self.all.values_mut().flat_map(|queue| queue.release(now)));
        let states = self.all.values_mut().filter_map(WebhookQueue::take_state).collect();
        Turn { at: now, finished, forgiven, states, ..Turn::default() }
    }

    /// A transaction was written.
    pub(super) fn turned(&mut self, turned: Turned) {
        self.hurry(turned.unfinished);
        for granted in turned.granted {
            if let Some(queue) = self.named(&granted.webhook) {
                queue.granted(granted);
            }
        }
    }

    /// Lanes of these webhooks still wait out their back-off.
    fn hurry(&mut self, webhooks: Vec<WebhookName>) {
        for webhook in webhooks {
            if let Some(queue) = self.named(&webhook) {
                queue.hurry();
            }
        }
    }

    /// A transaction was not written: all of it goes into the next one.
    pub(super) fn turn_failed(&mut self, turn: Option<Turn>) {
        self.all.values_mut().for_each(WebhookQueue::ask_failed);
        let Some(turn) = turn else {
            // No code keeps a turn after its failure; if some did, the leases would be freed at the next start.
            tracing::error!("answers could not be kept for another try");
            return;
        };
        self.unwritten.finished.extend(turn.finished);
        self.unwritten.forgiven.extend(turn.forgiven);
        self.hurry(turn.hurried);
        for (webhook, _) in turn.states {
            if let Some(queue) = self.named(&webhook) {
                queue.keep_state();
            }
        }
    }

    /// A disabled webhook for which deliveries may wait that are to become dead letters, and why.
    pub(super) fn disabled(&mut self) -> Option<(WebhookName, String)> {
        self.all.values_mut().find_map(|queue| {
            let reason = queue.take_disabled_reason()?;
            Some((queue.name().clone(), reason))
        })
    }

    /// Whether deliveries of a disabled webhook still wait is not known.
    pub(super) fn recheck_one(&mut self, webhook: &WebhookName) {
        if let Some(queue) = self.named(webhook) {
            queue.recheck();
        }
    }

    /// When something is to be done without a wake-up. `later`: not before now.
    pub(super) fn due(&mut self, now: Timestamp, later: bool) -> Option<Timestamp> {
        self.all.values_mut().filter_map(|queue| queue.due(now)).filter(|&due| due > now || !later).min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::policy::delivery::{Rules, WebhookState};
    use crate::secret::Secret;
    use crate::store::outbox::Granted;
    use crate::webhook::address::NetworkPolicy;
    use crate::webhook::format::BodyFormat;
    use crate::webhook::send::Destination;

    const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn name(text: &str) -> WebhookName {
        WebhookName::parse(text).unwrap()
    }

    fn target(webhook: &str) -> Target {
        let destination = Destination {
            webhook: name(webhook),
            url: Secret::new("http://127.0.0.1:9/"),
            format: BodyFormat::Standard,
            keys: Vec::new(),
            headers: Vec::new(),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            concurrency: 1,
            network: NetworkPolicy::default(),
            proxy: None,
            ca_file: None,
            confidential: crate::confidential::SharedConfidential::default(),
        };
        Target {
            name: name(webhook),
            sender: Sender::new(destination, Arc::new(ManualClock::at(NOW))).unwrap(),
            rules: Rules::default(),
            concurrency: 1,
            rate: 10,
            timeout: Duration::from_secs(1),
        }
    }

    fn reload(targets: Vec<Target>) -> Reload {
        Reload { targets, states: Vec::new(), changed: Vec::new() }
    }

    fn nothing_for(webhook: &str) -> Turned {
        let granted =
            Granted { webhook: name(webhook), claimed: Vec::new(), damaged: Vec::new(), next_ready: None };
        Turned { granted: vec![granted], ..Turned::default() }
    }

    #[test]
    fn without_webhooks_nothing_is_started_asked_or_due() {
        let mut queues = Queues::default();
        assert!(queues.start(NOW, false).is_empty());
        assert!(queues.turn(NOW).is_empty());
        assert_eq!(queues.due(NOW, false), None);
    }

    #[test]
    fn a_failed_transaction_is_written_with_the_next_one() {
        let mut queues = Queues::new(vec![target("crm")], NOW);
        assert_eq!(queues.change(&name("crm"), OperatorAction::Pause, NOW).unwrap().now.name(), "paused");
        let turn = queues.turn(NOW);
        assert_eq!((turn.states.len(), turn.asks.len()), (1, 0), "a paused webhook asks for nothing");
        assert!(queues.turn(NOW).is_empty(), "it is under way");
        queues.turn_failed(Some(turn));
        let again = queues.turn(NOW);
        assert!(matches!(again.states[..], [(_, Health { state: WebhookState::Paused { .. }, .. })]));
    }

    #[test]
    fn a_webhook_that_left_the_config_gives_its_place_up_and_is_tried_at_once_when_it_is_back() {
        let mut queues = Queues::new(vec![target("crm"), target("erp")], NOW);
        assert_eq!(queues.turn(NOW).asks.len(), 2);
        queues.reload(reload(vec![target("crm")]), NOW);
        assert_eq!(queues.all.len(), 2, "its question is still on its way");
        assert!(queues.change(&name("erp"), OperatorAction::Pause, NOW).is_none());
        queues.turned(nothing_for("erp"));
        queues.turned(nothing_for("crm"));
        queues.reload(reload(vec![target("crm")]), NOW);
        assert_eq!((queues.all.len(), queues.by_name.len()), (1, 1));
        queues.reload(reload(vec![target("crm"), target("erp")]), NOW);
        let turn = queues.turn(NOW);
        assert_eq!(turn.hurried, [name("erp")], "its lanes may wait out a back-off");
        assert_eq!(turn.asks.len(), 2, "a reload checks for work");
    }
}
