//! One webhook at the dispatcher: what it may do now, what it has in hand.
//!
//! Guards: never more than `concurrency` requests in flight and `rate` starts a second; nothing but a probe goes to a
//! webhook that is down; what was taken and will not be sent is given back. Deliberately not here: IO; a desk only says
//! what should be done.

use std::collections::VecDeque;
use std::time::Duration;

use super::batch::{self, Batches, SharedPace};
use super::request::Changed;
use super::target::Target;
use crate::policy::by_hand::{self, Change};
use crate::policy::delivery::{Attempt, Health, Next, Outcome, Rules, Standing, Trigger, Verdict};
use crate::policy::send_rate::SendRate;
use crate::store::outbox::{Ask, Attempted, Claimed, Ending, Finished, Granted, Ticket};
use crate::time::Timestamp;
use crate::webhook::answer::Answer;

/// The most deliveries one webhook has in hand, sent or waiting for their turn: enough to keep a fast receiver busy
/// while the database writes a thousand looks in one transaction, few enough to be given back quickly.
const MOST_IN_HAND: u32 = 1024;

/// How many of one lane are taken together, where there is room for enough lanes: what waits in a lane is read, leased and
/// written back in one go, and sent one after the other.
const LONGEST_RUN: u32 = 8;

/// How much longer than a request a lease lasts: the answer has to be written back.
const LEASE_MARGIN: Duration = Duration::from_mins(1);

/// A taken delivery that waits for its request.
#[derive(Debug)]
pub(super) struct InHand {
    pub(super) claimed: Claimed,
    pub(super) probe: bool,
}

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) target: Target,
    pub(super) health: Health,
    /// `health` is not written down yet.
    pub(super) changed: bool,
    pub(super) in_flight: u32,
    /// Not in the config any more: nothing is sent, what waits in the database stays there.
    pub(super) retired: bool,
    waiting: VecDeque<InHand>,
    rate: SendRate,
    batches: Batches,
    /// Lanes that wait after a failed attempt become ready with the next turn: what they failed for may be put right.
    pub(super) hurries: bool,
    /// Requests in flight that began before the webhook was changed: what they fail for may be put right as well.
    outdated: u32,
    /// There may be work nobody has looked at.
    look: bool,
    /// When the next free lane is ready, as of the last look.
    next_ready: Option<Timestamp>,
    /// An ask is on its way: whether for a probe.
    asked: Option<bool>,
    /// The clock jumped forward lately: nothing is given up for its age.
    pub(super) doubts_ages: bool,
}

impl Desk {
    pub(super) fn new(target: Target, health: Health, pace: Option<SharedPace>) -> Self {
        let rate = SendRate::new(target.rate);
        let batches = Batches::new(target.sender.batching(), pace);
        Self {
            target,
            health,
            changed: false,
            in_flight: 0,
            retired: false,
            waiting: VecDeque::new(),
            rate,
            batches,
            hurries: false,
            outdated: 0,
            look: true,
            next_ready: None,
            asked: None,
            doubts_ages: false,
        }
    }

    /// Another config for the same webhook: what it has in hand and what is known of it stays.
    /// `differs`: its config does.
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
        // What was wrong with it may be put right: a webhook that is down is probed at once.
        by_hand::apply(&mut self.health, Change::Answered, now);
        self.batches.replace(target.sender.batching(), pace);
        if self.target.rate != target.rate {
            self.rate = SendRate::new(target.rate);
        }
        self.target = target;
        self.retired = false;
        self.look_again();
    }

    /// There may be new work.
    pub(super) fn look_again(&mut self) {
        self.look = true;
    }

    /// The operator's say. To be written down even where nothing changes: whoever waits for that waits for a write.
    pub(super) fn change(&mut self, change: Change, now: Timestamp) -> Changed {
        let was = self.health.standing.clone();
        by_hand::apply(&mut self.health, change, now);
        self.changed = true;
        self.hurries |= change != Change::Pause;
        self.look = true;
        let standing = &self.health.standing;
        if was.name() != standing.name() {
            tracing::info!(webhook = %self.target.name, was = was.name(), state = standing.name(), "webhook state changed by hand");
        }
        Changed { was, now: standing.clone() }
    }

    /// What should be asked for at `now`, if anything. Counts as asked.
    pub(super) fn ask(&mut self, now: Timestamp) -> Option<Ask> {
        let (max, probe) = self.wanted(now)?;
        self.look = false;
        self.asked = Some(probe);
        // Everything in hand may have to wait for a slow request in front of it.
        let turns = MOST_IN_HAND.div_ceil(self.target.concurrency.max(1)).saturating_add(1);
        let requests = self.target.timeout.saturating_mul(turns);
        let lease_until = now.plus(requests).plus(self.batches.longest_wait()).plus(LEASE_MARGIN);
        Some(Ask { webhook: self.target.name.clone(), max, run: self.run(), lease_until, probe })
    }

    /// Has nothing in hand to start, and should ask.
    pub(super) fn is_hungry(&self, now: Timestamp) -> bool {
        self.waiting.is_empty() && self.wanted(now).is_some()
    }

    /// How many are wanted, and whether as a probe.
    fn wanted(&self, now: Timestamp) -> Option<(u32, bool)> {
        if self.asked.is_some() || self.retired {
            return None;
        }
        match self.health.standing {
            Standing::Up if self.look || self.next_ready.is_some_and(|ready| ready <= now) => {
                Some((self.room(), false)).filter(|&(max, _)| max > 0)
            }
            Standing::Down { probe_at, .. } if self.is_empty() && self.has_lanes() && probe_at <= now => {
                Some((1, true))
            }
            _ => None,
        }
    }

    /// An ask was answered.
    pub(super) fn granted(&mut self, granted: Granted) {
        let probe = self.asked.take().unwrap_or(false);
        self.next_ready = granted.next_ready;
        if self.waiting.is_empty() {
            self.batches.begin();
        }
        self.waiting.extend(granted.claimed.into_iter().map(|claimed| InHand { claimed, probe }));
    }

    /// An ask was lost.
    pub(super) fn ask_failed(&mut self) {
        self.asked = None;
        self.look = true;
    }

    /// What goes into the next request, if one may start at `now`. Counts as in flight.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<Vec<InHand>> {
        if self.in_flight >= self.target.concurrency.max(1) || self.waiting.is_empty() || !self.may_send() {
            return None;
        }
        if self.batches.free_at(now, &self.waiting).is_some() {
            return None;
        }
        self.rate.start(now).ok()?;
        self.in_flight += 1;
        Some(self.batches.take(now, &mut self.waiting))
    }

    /// A request came back: what is to be written down, and which deliveries get a strike back.
    pub(super) fn answered(
        &mut self,
        tickets: Vec<(Ticket, VecDeque<Claimed>)>,
        probe: bool,
        answer: &Answer,
        at: Timestamp,
    ) -> (Vec<Finished>, Vec<i64>) {
        self.in_flight -= 1;
        self.hurries |= self.outdated > 0;
        self.outdated = self.outdated.saturating_sub(1);
        // Its lanes move on.
        self.look = true;
        let (tickets, behind): (Vec<Ticket>, Vec<VecDeque<Claimed>>) = tickets.into_iter().unzip();
        let deliveries: Vec<i64> = tickets.iter().map(|ticket| ticket.delivery_id).collect();
        self.batches.answered(&deliveries, answer, at);
        let verdicts = self.judge(&tickets, probe, answer, at);
        let (webhook, why) = (&self.target.name, answer.error.as_deref().unwrap_or("accepted"));
        let (mut finished, mut forgiven) = (Vec::with_capacity(tickets.len()), Vec::new());
        let mut following = Vec::new();
        for ((ticket, behind), verdict) in tickets.into_iter().zip(behind).zip(verdicts) {
            let ending = match verdict.next {
                Next::Delivered => Ending::Delivered,
                Next::Retry(at) => Ending::Retry(at),
                Next::Dead => Ending::Dead,
            };
            if ending == Ending::Dead {
                tracing::warn!(%webhook, delivery = ticket.delivery_id, why, "delivery given up");
            }
            let attempt = Some(Attempted { status: answer.status, error: answer.error.clone() });
            // After anything else what is behind it stays in the database, for whoever takes the lane next.
            let next = if ending == Ending::Delivered { next_of(behind) } else { None };
            let keeps_lane = next.is_some();
            following.extend(next);
            finished.push(Finished { ticket, ending, attempt, strikes: verdict.strikes, at, keeps_lane });
            forgiven.extend(verdict.forgiven);
        }
        // Behind the lanes that wait.
        self.waiting.extend(following);
        (finished, forgiven)
    }

    /// What the answer means for each delivery of the request, and for the webhook.
    fn judge(&mut self, tickets: &[Ticket], probe: bool, answer: &Answer, at: Timestamp) -> Vec<Verdict> {
        // Only a wait needs something to hash.
        let accepted = answer.outcome == Outcome::Accepted;
        let key = |ticket: &Ticket| format!("{}/{}", ticket.webhook, ticket.delivery_id);
        let keys: Vec<String> =
            tickets.iter().map(|ticket| if accepted { String::new() } else { key(ticket) }).collect();
        let attempts: Vec<Attempt<'_>> = tickets
            .iter()
            .zip(&keys)
            .map(|(ticket, key)| Attempt {
                delivery_id: ticket.delivery_id,
                key,
                strikes: ticket.strikes,
                probe,
                outcome: answer.outcome,
                retry_after: answer.retry_after,
                at,
            })
            .collect();
        let (standing, failures) = (self.health.standing.clone(), self.health.failures);
        let silent = answer.silence.is_some();
        let rules = self.rules();
        let verdicts = batch::decide(&mut self.health, &attempts, silent, &rules);
        let trouble = self.health.trouble.clone();
        self.health.note(answer.trouble());
        self.changed |= self.health.standing != standing
            || self.health.failures != failures
            || self.health.trouble != trouble;
        if self.health.is_refusing() && trouble.is_none() {
            let why = self.health.trouble.as_deref();
            tracing::warn!(webhook = %self.target.name, why, "webhook refuses every event");
        }
        let (webhook, why) = (&self.target.name, answer.error.as_deref().unwrap_or("accepted"));
        if self.health.standing.name() != standing.name() {
            tracing::warn!(%webhook, state = self.health.standing.name(), why, "webhook state changed");
        }
        verdicts
    }

    /// The rules in force; while ages are doubted, without those that give up for an age.
    fn rules(&self) -> Rules {
        let rules = self.target.rules;
        if self.doubts_ages { Rules { max_age: None, give_up_after: Duration::MAX, ..rules } } else { rules }
    }

    /// What was taken and will not be sent: everything when the webhook is not up any more, and what is too old.
    pub(super) fn put_down(&mut self, now: Timestamp) -> Vec<Finished> {
        let (may_send, rules) = (self.may_send(), self.rules());
        // What the operator wants sent again is wanted however old it is.
        let too_old =
            |one: &InHand| one.claimed.trigger == Trigger::Event && rules.expired(one.claimed.recorded, now);
        if may_send && (rules.max_age.is_none() || !self.waiting.iter().any(too_old)) {
            return Vec::new();
        }
        let (mut kept, mut down) = (VecDeque::new(), Vec::new());
        for one in self.waiting.drain(..) {
            if too_old(&one) {
                down.push(unsent(one.claimed, Ending::Expired, now));
            } else if may_send || (one.probe && self.health.standing.is_down() && !self.retired) {
                kept.push_back(one);
            } else {
                down.push(unsent(one.claimed, Ending::Released, now));
            }
        }
        self.waiting = kept;
        down
    }

    /// Everything that was taken and not sent, given back: the dispatcher stops.
    pub(super) fn release(&mut self, now: Timestamp) -> Vec<Finished> {
        self.waiting.drain(..).map(|one| unsent(one.claimed, Ending::Released, now)).collect()
    }

    /// Disabled, and everything that waits is to be buried now.
    pub(super) fn bury_reason(&mut self) -> Option<String> {
        match &self.health.standing {
            Standing::Disabled { reason }
                if self.look && !self.retired && self.is_empty() && self.asked.is_none() && !self.changed =>
            {
                self.look = false;
                Some(reason.clone())
            }
            _ => None,
        }
    }

    /// When something is to be done without anybody's wake-up.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timestamp> {
        if !self.waiting.is_empty() {
            // Without a free place the next answer is the wake-up.
            let free = self.in_flight < self.target.concurrency.max(1);
            if !free {
                return None;
            }
            let free = [self.rate.free_at(now), self.batches.free_at(now, &self.waiting)];
            return free.into_iter().flatten().max();
        }
        match self.health.standing {
            _ if self.retired => None,
            Standing::Up if self.asked.is_none() && self.room() > 0 => self.next_ready,
            Standing::Down { probe_at, .. }
                if self.asked.is_none() && self.is_empty() && self.has_lanes() =>
            {
                Some(probe_at)
            }
            _ => None,
        }
    }

    fn room(&self) -> u32 {
        let waiting: usize = self.waiting.iter().map(|one| 1 + one.claimed.behind.len()).sum();
        let in_hand = self.in_flight.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX));
        self.most().saturating_sub(in_hand)
    }

    /// A slow rate needs no more in hand than it sends in a second beside what is in flight.
    fn most(&self) -> u32 {
        if self.batches.collects() {
            return MOST_IN_HAND;
        }
        let concurrency = self.target.concurrency.max(1);
        concurrency.saturating_add(self.target.rate).min(MOST_IN_HAND).max(concurrency)
    }

    /// Lanes side by side matter more than long runs: four times as many lanes as requests in flight come first.
    fn run(&self) -> u32 {
        if self.batches.collects() {
            return 1;
        }
        (self.most() / self.target.concurrency.max(1).saturating_mul(4)).clamp(1, LONGEST_RUN)
    }

    /// Up; or down with the probe, and nothing else, at the front.
    fn may_send(&self) -> bool {
        match self.health.standing {
            _ if self.retired => false,
            Standing::Up => true,
            Standing::Down { .. } => self.in_flight == 0 && self.waiting.front().is_some_and(|one| one.probe),
            Standing::Disabled { .. } | Standing::Paused { .. } => false,
        }
    }

    fn has_lanes(&self) -> bool {
        self.look || self.next_ready.is_some()
    }

    fn is_empty(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty()
    }
}

/// The next of a run, with the rest of it.
fn next_of(mut behind: VecDeque<Claimed>) -> Option<InHand> {
    let mut claimed = behind.pop_front()?;
    claimed.behind = behind;
    Some(InHand { claimed, probe: false })
}

fn unsent(claimed: Claimed, ending: Ending, at: Timestamp) -> Finished {
    let strikes = claimed.ticket.strikes;
    Finished { ticket: claimed.ticket, ending, attempt: None, strikes, at, keeps_lane: false }
}
