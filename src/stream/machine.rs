//! Decides when a push connection is dialled, answered, pinged, dropped and dialled again.
//!
//! Guards: pure; the time is an argument and jitter is a hash. There is always a connection, an attempt, or an instant for
//! the next one. A connection that is silent for 75 s is dead. After a disconnect frame the new connection is made before
//! the old one is dropped. Not here: sockets (`connection`), the content of events (`event`).

use std::time::Duration;

use super::frame::{self, Ack, Envelope, Frame};
use crate::policy::backoff;
use crate::time::Timestamp;

/// A connection without any frame or pong for this long is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(75);
/// How often a connection is pinged, so that a sound one is heard at least twice before it counts as dead.
const PING_EVERY: Duration = Duration::from_secs(25);
/// The first and the longest wait before another attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The wait after the gateway refused the app's key or secret: only the operator can help.
const PROBE_AFTER: Duration = Duration::from_mins(10);
/// A connection that lived this long worked, so the waits start again from the first.
const PROVEN_AFTER: Duration = Duration::from_mins(1);
/// A clock that goes back by more was set.
const SET_BACK: Duration = Duration::from_secs(1);
/// How long a connection may go on after its disconnect frame. The gateway closes it after 10 s.
const DRAIN: Duration = Duration::from_secs(15);

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The first attempt is under way.
    Starting,
    /// The gateway refuses the app's key or secret.
    Auth,
    /// The gateway cannot be reached, or refuses for another reason.
    Unreachable,
    /// The gateway or the network ended it.
    Closed,
    /// It was silent for [`DEAD_AFTER`].
    Dead,
    /// The machine's clock jumped, or the machine slept.
    Clock,
}

impl Reason {
    /// The word for status and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Auth => "auth",
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
            Self::Dead => "dead",
            Self::Clock => "clock",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Wake,
    /// An attempt ended; `Err` is [`Reason::Auth`] or [`Reason::Unreachable`].
    Dialed(u64, Result<(), Reason>),
    /// A frame came; `None` if it is not understood.
    Heard(u64, Option<Frame>),
    /// A pong came.
    Pong(u64),
    /// A connection ended.
    Closed(u64),
    /// The taker of an event has finished.
    Taken(u64, String, Ack),
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection under this number.
    Dial(u64),
    /// Send this text.
    Send(u64, String),
    /// Send a WebSocket ping.
    Ping(u64),
    /// Hand an event to its taker.
    Deliver(u64, Envelope),
    /// Close a connection, or stop an attempt.
    Drop(u64),
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were made.
    pub connected: u64,
    /// Events that came, repeats included.
    pub events: u64,
    /// Frames that were not understood.
    pub not_understood: u64,
}

/// The state of the connection, for people and for decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// `None` while it is connected.
    pub down: Option<Reason>,
    /// Since when.
    pub since: Timestamp,
    /// When the next attempt is made, if none is under way.
    pub next_attempt: Option<Timestamp>,
    /// What happened since the start.
    pub counts: Counts,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    number: u64,
    since: Timestamp,
    heard: Timestamp,
    pinged: Timestamp,
}

/// The state machine of one connection.
#[derive(Debug)]
pub struct Machine {
    key: u64,
    current: Option<Link>,
    /// Connections after their disconnect frame, and until when they may go on.
    draining: Vec<(u64, Timestamp)>,
    dialing: Option<u64>,
    retry_at: Option<Timestamp>,
    failures: u32,
    down: Option<Reason>,
    since: Timestamp,
    seen: Timestamp,
    numbers: u64,
    counts: Counts,
}

impl Machine {
    /// A machine whose first attempt is due at once. `key` spreads its waits.
    pub fn new(key: u64, now: Timestamp) -> Self {
        Self {
            key,
            current: None,
            draining: Vec::new(),
            dialing: None,
            retry_at: Some(now),
            failures: 0,
            down: Some(Reason::Starting),
            since: now,
            seen: now,
            numbers: 0,
            counts: Counts::default(),
        }
    }

    /// The present state.
    pub fn state(&self) -> State {
        State { down: self.down, since: self.since, next_attempt: self.retry_at, counts: self.counts }
    }

    /// When [`Input::Wake`] is due, if nothing else happens.
    pub fn next_wake(&self) -> Timestamp {
        let of_link = self.current.map(|link| {
            let ping = link.heard.max(link.pinged).plus(PING_EVERY);
            ping.min(link.heard.plus(DEAD_AFTER))
        });
        let drained = self.draining.iter().map(|(_, until)| *until);
        let all = of_link.into_iter().chain(self.retry_at).chain(drained);
        all.fold(self.seen.plus(LONGEST_WAIT), Timestamp::min)
    }

    /// Takes what happened, and returns what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        self.notice_jump(now, &mut actions);
        match input {
            Input::Wake => {}
            Input::Dialed(number, outcome) => self.dialed(number, outcome, now, &mut actions),
            Input::Heard(number, frame) => {
                self.heard(number, now);
                self.take(number, frame, now, &mut actions);
            }
            Input::Pong(number) => self.heard(number, now),
            Input::Closed(number) => self.closed(number, now),
            Input::Taken(number, message_id, ack) => {
                if self.is_open(number) {
                    actions.push(Action::Send(number, frame::acknowledgement(&message_id, ack)));
                }
            }
        }
        self.on_time(now, &mut actions);
        actions
    }

    fn is_open(&self, number: u64) -> bool {
        self.current.is_some_and(|link| link.number == number)
            || self.draining.iter().any(|(draining, _)| *draining == number)
    }

    /// Replaces the connection after the clock was set, or after the machine slept: nothing is known of its last minutes.
    fn notice_jump(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let jumped = self.seen.since(now) > SET_BACK || now.since(self.seen) > DEAD_AFTER;
        self.seen = now;
        if !jumped {
            return;
        }
        if let Some(link) = self.current.take() {
            actions.push(Action::Drop(link.number));
            self.set_down(Some(Reason::Clock), now);
        }
        for (number, _) in self.draining.drain(..) {
            actions.push(Action::Drop(number));
        }
        if self.dialing.is_none() {
            self.retry_at = Some(now);
        }
    }

    fn set_down(&mut self, down: Option<Reason>, now: Timestamp) {
        if self.down != down {
            (self.down, self.since) = (down, now);
        }
    }

    fn dialed(
        &mut self,
        number: u64,
        outcome: Result<(), Reason>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        if self.dialing != Some(number) {
            actions.push(Action::Drop(number));
            return;
        }
        self.dialing = None;
        match outcome {
            Ok(()) => {
                self.counts.connected += 1;
                self.current = Some(Link { number, since: now, heard: now, pinged: now });
                self.set_down(None, now);
            }
            Err(reason) => {
                self.set_down(Some(reason), now);
                self.wait(reason, now);
            }
        }
    }

    /// Sets the next attempt after one failed or a connection ended.
    fn wait(&mut self, reason: Reason, now: Timestamp) {
        let wait = if reason == Reason::Auth {
            backoff::delay(0, PROBE_AFTER, PROBE_AFTER.mul_f64(1.2), 1.0, self.key)
        } else {
            backoff::delay(self.failures, FIRST_WAIT, LONGEST_WAIT, 2.0, self.key)
        };
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now.plus(wait));
    }

    fn heard(&mut self, number: u64, now: Timestamp) {
        if let Some(link) = self.current.as_mut().filter(|link| link.number == number) {
            link.heard = now;
        }
    }

    fn take(&mut self, number: u64, frame: Option<Frame>, now: Timestamp, actions: &mut Vec<Action>) {
        if !self.is_open(number) {
            return;
        }
        match frame {
            None => self.counts.not_understood += 1,
            Some(Frame::Ping { message_id, data }) => {
                actions.push(Action::Send(number, frame::pong(&message_id, &data)));
            }
            Some(Frame::Event(envelope)) => {
                self.counts.events += 1;
                actions.push(Action::Deliver(number, envelope));
            }
            Some(Frame::Other { message_id }) => {
                self.counts.not_understood += 1;
                actions.push(Action::Send(number, frame::not_implemented(&message_id)));
            }
            Some(Frame::Disconnect) => {
                if let Some(link) = self.current.take_if(|link| link.number == number) {
                    self.draining.push((number, now.plus(DRAIN)));
                    self.set_down(Some(Reason::Closed), now);
                    self.ended(link, Reason::Closed, now);
                }
            }
        }
    }

    /// A connection has ended: dials at once if it worked, and else waits.
    fn ended(&mut self, link: Link, reason: Reason, now: Timestamp) {
        if now.since(link.since) >= PROVEN_AFTER {
            self.failures = 0;
            self.retry_at = Some(now);
        } else {
            self.wait(reason, now);
        }
    }

    fn closed(&mut self, number: u64, now: Timestamp) {
        self.draining.retain(|(draining, _)| *draining != number);
        if let Some(link) = self.current.take_if(|link| link.number == number) {
            self.set_down(Some(Reason::Closed), now);
            self.ended(link, Reason::Closed, now);
        }
    }

    /// Does what is due by now.
    fn on_time(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.draining.retain(|(number, until)| {
            let is_over = *until <= now;
            if is_over {
                actions.push(Action::Drop(*number));
            }
            !is_over
        });
        if let Some(link) = self.current.take_if(|link| now.since(link.heard) >= DEAD_AFTER) {
            actions.push(Action::Drop(link.number));
            self.set_down(Some(Reason::Dead), now);
            self.ended(link, Reason::Dead, now);
        }
        if let Some(link) = &mut self.current
            && now.since(link.heard.max(link.pinged)) >= PING_EVERY
        {
            link.pinged = now;
            actions.push(Action::Ping(link.number));
        }
        if self.current.is_none() && self.dialing.is_none() && self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.numbers += 1;
            self.dialing = Some(self.numbers);
            actions.push(Action::Dial(self.numbers));
        }
    }
}

#[cfg(test)]
mod tests;
