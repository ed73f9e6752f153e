//! `WebhookQueue`: one webhook's deliveries from the lease to the answer, as a state machine without IO.
//!
//! Guards: at most `concurrency` requests in flight and `rate` starts a second; only a probe is sent to a webhook that is
//! down; what was leased and will not be sent is given back. Not here: requests and transactions (the driver above), which
//! deliveries share a request (`batcher`), what an answer means (`policy::delivery`).

use std::collections::VecDeque;
use std::time::Duration;

use super::batcher::{Batcher, SharedPace};
use super::health::WebhookHealth;
use super::lanes::Lanes;
use super::leased::{Leased, Sending};
use super::operator::Changed;
use super::target::Target;
use crate::ids::WebhookName;
use crate::policy::delivery::{Decision, DeliveryStep, Health, Rules, Trigger, WebhookState};
use crate::policy::operator_action::OperatorAction;
use crate::policy::send_rate::SendRate;
use crate::store::outbox::{Ask, Attempted, Ending, Finished, Granted, Ticket};
use crate::time::Timestamp;
use crate::webhook::answer::Answer;
use crate::webhook::send::Sender;

/// The most deliveries of one webhook that are leased, in flight or waiting: enough to keep a fast receiver busy while the
/// database writes a thousand polls in one transaction, few enough to be given back quickly.
const MOST_LEASED: u32 = 1024;

/// The most deliveries of one lane that are leased together, where there is room for enough lanes: they are read, leased
/// and written back together, and sent one after the other.
const LONGEST_RUN: u32 = 8;

/// A lease is longer than its request by this much: the answer has to be written back.
const LEASE_MARGIN: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct WebhookQueue {
    target: Target,
    health: WebhookHealth,
    /// Not in the config any more: nothing is sent, and what waits in the database stays there.
    retired: bool,
    /// The clock jumped forward recently: nothing is given up for its age.
    doubts_ages: bool,
    waiting: VecDeque<Leased>,
    in_flight: u32,
    /// Requests in flight that began before the webhook was changed; what they fail for may be repaired.
    outdated: u32,
    /// Lanes in back-off become ready with the next transaction: what they failed for may be repaired.
    hurries: bool,
    lanes: Lanes,
    rate: SendRate,
    batcher: Batcher,
}

/// What an answer leaves to be written.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) finished: Vec<Finished>,
    /// Deliveries that get a strike back.
    pub(super) forgiven: Vec<i64>,
}

impl WebhookQueue {
    pub(super) fn new(target: Target, health: Health, pace: Option<SharedPace>) -> Self {
        let rate = SendRate::new(target.rate);
        let batcher = Batcher::new(target.sender.batching(), pace);
        Self {
            target,
            health: WebhookHealth::stored(health),
            retired: false,
            doubts_ages: false,
            waiting: VecDeque::new(),
            in_flight: 0,
            outdated: 0,
            hurries: false,
            lanes: Lanes::default(),
            rate,
            batcher,
        }
    }

    pub(super) fn name(&self) -> &WebhookName {
        &self.target.name
    }

    pub(super) fn sender(&self) -> Sender {
        self.target.sender.clone()
    }

    /// For an operator. `None` once the webhook is retired.
    pub(super) fn shown(&self) -> Option<(Target, Health)> {
        (!self.retired).then(|| (self.target.clone(), self.health.get().clone()))
    }

    /// Takes over the state that an earlier process stored.
    pub(super) fn restore(&mut self, health: Health) {
        self.health = WebhookHealth::stored(health);
    }

    /// The webhook left the config.
    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    /// Another config for the same webhook; what is leased and what is known of it stays. `differs`: its config does.
    pub(super) fn replace(
        &mut self,
        target: Target,
        differs: bool,
        pace: Option<SharedPace>,
        now: Timestamp,
    ) {
        if differs || !self.target.sender.is_alike(&target.sender) {
            (self.hurries, self.outdated) = (true, self.in_flight);
        }
        self.health.probe_now(now);
        self.batcher.replace(target.sender.batching(), pace);
        if self.target.rate != target.rate {
            self.rate = SendRate::new(target.rate);
        }
        self.target = target;
        self.retired = false;
        self.lanes.recheck();
    }

    /// There may be new work in the database.
    pub(super) fn recheck(&mut self) {
        self.lanes.recheck();
    }

    /// Some lanes in back-off are still to be readied.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
        self.lanes.recheck();
    }

    /// Whether lanes in back-off are to be readied with this transaction.
    pub(super) fn take_hurry(&mut self) -> bool {
        std::mem::take(&mut self.hurries)
    }

    /// The state, if it is to be written with this transaction.
    pub(super) fn take_state(&mut self) -> Option<(WebhookName, Health)> {
        self.health.take_changed().map(|health| (self.target.name.clone(), health))
    }

    pub(super) fn has_state_to_write(&self) -> bool {
        self.health.is_to_be_written()
    }

    /// The state was not written; it is written with the next transaction.
    pub(super) fn keep_state(&mut self) {
        self.health.write_again();
    }

    /// An operator's change; `None` once the webhook is retired.
    pub(super) fn change(&mut self, change: OperatorAction, now: Timestamp) -> Option<Changed> {
        if self.retired {
            return None;
        }
        self.hurries |= change != OperatorAction::Pause;
        self.lanes.recheck();
        Some(self.health.change(&self.target.name, change, now))
    }

    /// What to ask the database for at `now`, if anything. It counts as asked.
    pub(super) fn ask(&mut self, now: Timestamp) -> Option<Ask> {
        let (max, probe) = self.wanted(now)?;
        self.lanes.ask(probe);
        // Everything that is leased may have to wait for a slow request in front of it.
        let turns = MOST_LEASED.div_ceil(self.concurrency()).saturating_add(1);
        let requests = self.target.timeout.saturating_mul(turns);
        let lease_until = now.plus(requests).plus(self.batcher.longest_wait()).plus(LEASE_MARGIN);
        Some(Ask { webhook: self.target.name.clone(), max, run: self.run(), lease_until, probe })
    }

    /// Nothing waits for a request, and the database may have more.
    pub(super) fn is_hungry(&self, now: Timestamp) -> bool {
        self.waiting.is_empty() && self.wanted(now).is_some()
    }

    /// How many are wanted, and whether as a probe.
    fn wanted(&self, now: Timestamp) -> Option<(u32, bool)> {
        if self.lanes.is_asked() || self.retired {
            return None;
        }
        match *self.health.state() {
            WebhookState::Up if self.lanes.may_have_work(now) => {
                Some((self.room(), false)).filter(|&(max, _)| max > 0)
            }
            WebhookState::Down { probe_at, .. } if self.awaits_probe() && probe_at <= now => Some((1, true)),
            _ => None,
        }
    }

    /// The database answered.
    pub(super) fn granted(&mut self, granted: Granted) {
        let probe = self.lanes.answered(granted.next_ready);
        if self.waiting.is_empty() {
            self.batcher.begin();
        }
        self.waiting.extend(granted.claimed.into_iter().map(|claimed| Leased { claimed, probe }));
    }

    /// The question to the database was lost.
    pub(super) fn ask_failed(&mut self) {
        self.lanes.lost();
    }

    /// The deliveries of the next request, if one may start at `now`. It counts as in flight.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<Vec<Leased>> {
        let may_start = self.has_place() && !self.waiting.is_empty() && self.may_send();
        if !may_start || self.batcher.free_at(now, &self.waiting).is_some() {
            return None;
        }
        self.rate.start(now).ok()?;
        self.in_flight += 1;
        Some(self.batcher.take(now, &mut self.waiting))
    }

    /// A request came back.
    pub(super) fn answered(
        &mut self,
        sendings: Vec<Sending>,
        probe: bool,
        answer: &Answer,
        at: Timestamp,
    ) -> Outcomes {
        self.in_flight -= 1;
        self.hurries |= self.outdated > 0;
        self.outdated = self.outdated.saturating_sub(1);
        // Its lanes move on.
        self.lanes.recheck();
        let ids: Vec<i64> = sendings.iter().map(|(ticket, _)| ticket.delivery_id).collect();
        self.batcher.answered(&ids, answer, at);
        let tickets: Vec<&Ticket> = sendings.iter().map(|(ticket, _)| ticket).collect();
        let rules = self.rules();
        let verdicts = self.health.judge(&self.target.name, &tickets, (probe, &rules), answer, at);
        let mut outcomes = Outcomes::default();
        for (sending, verdict) in sendings.into_iter().zip(verdicts) {
            outcomes.forgiven.extend(&verdict.refunded);
            outcomes.finished.push(self.finish(sending, &verdict, answer, at));
        }
        outcomes
    }

    /// Ends one delivery of a request. What follows in its lane waits behind the other lanes.
    fn finish(
        &mut self,
        (ticket, behind): Sending,
        verdict: &Decision,
        answer: &Answer,
        at: Timestamp,
    ) -> Finished {
        let ending = match verdict.next {
            DeliveryStep::Delivered => Ending::Delivered,
            DeliveryStep::Retry(at) => Ending::Retry(at),
            DeliveryStep::Dead => Ending::Dead,
        };
        if ending == Ending::Dead {
            let why = answer.error.as_deref().unwrap_or("accepted");
            tracing::warn!(webhook = %self.target.name, delivery = ticket.delivery_id, why, "delivery given up");
        }
        let attempt = Some(Attempted::new(answer.status, answer.error.as_deref(), answer.took));
        // After anything but a delivery the rest of the run stays in the database, for the next lease of the lane.
        let next = if ending == Ending::Delivered { Leased::next_of(behind) } else { None };
        let keeps_lane = next.is_some();
        self.waiting.extend(next);
        Finished { ticket, ending, attempt, strikes: verdict.strikes, at, keeps_lane }
    }

    /// The rules in force; while ages are doubted, without those that give up for an age.
    fn rules(&self) -> Rules {
        let rules = self.target.rules;
        if self.doubts_ages { Rules { max_age: None, give_up_after: Duration::MAX, ..rules } } else { rules }
    }

    /// Whether ages are in doubt from now on, because the clock jumped.
    pub(super) fn doubt_ages(&mut self, doubts: bool) {
        self.doubts_ages = doubts;
    }

    /// Gives back what is leased and will not be sent: everything when the webhook is not up any more, and what is too old.
    pub(super) fn give_back(&mut self, now: Timestamp) -> Vec<Finished> {
        let (may_send, rules) = (self.may_send(), self.rules());
        // What an operator replays is wanted however old it is.
        let too_old =
            |one: &Leased| one.claimed.trigger == Trigger::Event && rules.expired(one.claimed.recorded, now);
        if may_send && (rules.max_age.is_none() || !self.waiting.iter().any(too_old)) {
            return Vec::new();
        }
        let keeps_probe = self.health.state().is_down() && !self.retired;
        let (mut kept, mut back) = (VecDeque::new(), Vec::new());
        for one in self.waiting.drain(..) {
            if too_old(&one) {
                back.push(one.unsent(Ending::Expired, now));
            } else if may_send || (one.probe && keeps_probe) {
                kept.push_back(one);
            } else {
                back.push(one.unsent(Ending::Released, now));
            }
        }
        self.waiting = kept;
        back
    }

    /// Gives back everything that is leased and not sent: the dispatcher stops.
    pub(super) fn release(&mut self, now: Timestamp) -> Vec<Finished> {
        self.waiting.drain(..).map(|one| one.unsent(Ending::Released, now)).collect()
    }

    /// The webhook is disabled, and everything that waits for it is to become dead letters now: why.
    pub(super) fn take_disabled_reason(&mut self) -> Option<String> {
        match self.health.state() {
            WebhookState::Disabled { reason }
                if self.lanes.is_unchecked() && !self.retired && self.is_settled() =>
            {
                self.lanes.checked();
                Some(reason.clone())
            }
            _ => None,
        }
    }

    /// Nothing of it is in this process any more, and it left the config.
    pub(super) fn is_over(&self) -> bool {
        self.retired && self.is_settled()
    }

    /// Nothing is leased, asked or to be written.
    fn is_settled(&self) -> bool {
        self.is_empty() && !self.lanes.is_asked() && !self.health.is_to_be_written()
    }

    /// When something is to be done without a wake-up. Without a free place the next answer is the wake-up.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timestamp> {
        if !self.waiting.is_empty() {
            if !self.has_place() {
                return None;
            }
            let free = [self.rate.free_at(now), self.batcher.free_at(now, &self.waiting)];
            return free.into_iter().flatten().max();
        }
        match *self.health.state() {
            _ if self.retired || self.lanes.is_asked() => None,
            WebhookState::Up if self.room() > 0 => self.lanes.next_ready(),
            WebhookState::Down { probe_at, .. } if self.awaits_probe() => Some(probe_at),
            _ => None,
        }
    }

    fn concurrency(&self) -> u32 {
        self.target.concurrency.max(1)
    }

    fn has_place(&self) -> bool {
        self.in_flight < self.concurrency()
    }

    fn room(&self) -> u32 {
        let waiting: usize = self.waiting.iter().map(Leased::len).sum();
        let leased = self.in_flight.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX));
        self.most().saturating_sub(leased)
    }

    /// A slow rate needs no more leases than it sends in a second, beside what is in flight.
    fn most(&self) -> u32 {
        if self.batcher.collects() {
            return MOST_LEASED;
        }
        let concurrency = self.concurrency();
        concurrency.saturating_add(self.target.rate).min(MOST_LEASED).max(concurrency)
    }

    /// Lanes side by side matter more than long runs: four times as many lanes as requests in flight come first.
    fn run(&self) -> u32 {
        if self.batcher.collects() {
            return 1;
        }
        (self.most() / self.concurrency().saturating_mul(4)).clamp(1, LONGEST_RUN)
    }

    /// Up; or down with the probe, and nothing else, at the front.
    fn may_send(&self) -> bool {
        match *self.health.state() {
            _ if self.retired => false,
            WebhookState::Up => true,
            WebhookState::Down { .. } => self.in_flight == 0 && self.waiting.front().is_some_and(|d| d.probe),
            WebhookState::Disabled { .. } | WebhookState::Paused { .. } => false,
        }
    }

    fn awaits_probe(&self) -> bool {
        self.is_empty() && self.lanes.may_hold_any()
    }

    fn is_empty(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty()
    }
}
