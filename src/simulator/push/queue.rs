//! What the push gateway decides: tickets, connections, pushes and their repeats, suite tickets.
//!
//! Guards: no IO and no clock. A ticket serves one connection for as long as it lives. A push goes to one connection of the
//! app, chosen at random; without a good answer it is repeated after 10 s and after 30 s more, and then given up. Not here:
//! sockets (`server`), the text of frames (`frames`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use tokio::sync::mpsc;

use super::announcements::{Event, SUITE_TICKET};
use super::frames;
use super::options::{PushOptions, TicketUse};
use crate::simulator::counters::month_in_shanghai;
use crate::simulator::faults::{Fault, FaultKind};
use crate::simulator::hash::stable_hash;
use crate::simulator::json::Object;
use crate::time::Timestamp;

/// The waits after an unanswered push.
const REPEAT_AFTER: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(30)];
/// How late a delayed event is, and how long a reordered one waits for the next at most.
const USUAL_DELAY: Duration = Duration::from_mins(1);

/// An order to the task of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Send this frame.
    Send(String),
    /// Send a disconnect frame, and close 10 s later.
    Disconnect,
    /// Close without a word.
    Abort,
}

/// How a connection behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Conduct {
    /// As documented.
    #[default]
    Sound,
    /// It answers pings and pushes nothing.
    Zombie,
    /// It neither reads nor writes.
    Frozen,
}

/// A connection whose ticket was accepted.
#[derive(Debug)]
pub(in crate::simulator) struct Accepted {
    pub(super) upgrade: OnUpgrade,
    pub(super) app: String,
    pub(super) conduct: Conduct,
}

#[derive(Debug)]
struct Connection {
    app: String,
    orders: mpsc::UnboundedSender<Order>,
    is_zombie: bool,
}

#[derive(Debug)]
struct Ticket {
    app: String,
    until: Timestamp,
}

#[derive(Clone, Debug)]
struct Push {
    due: Timestamp,
    app: String,
    event: Arc<Event>,
    message_id: String,
    sent: usize,
    /// A fault has been applied, so no other is.
    is_judged: bool,
    /// Goes out right after the next event.
    waits_for_next: bool,
}

/// The state of the push gateway.
#[derive(Debug, Default)]
pub(in crate::simulator) struct PushQueue {
    pub(super) options: Arc<PushOptions>,
    tickets: HashMap<String, Ticket>,
    connections: BTreeMap<u64, Connection>,
    /// Apps that ever opened a connection; events of others go nowhere.
    apps: BTreeSet<String>,
    /// When the first of them did.
    first: Option<Timestamp>,
    pushes: Vec<Push>,
    suite_tickets: HashMap<String, String>,
    messages: HashMap<String, ((i32, u32), u64)>,
    numbers: u64,
    counts: Vec<&'static str>,
}

impl PushQueue {
    pub(in crate::simulator) fn set_options(&mut self, options: PushOptions) {
        self.options = Arc::new(options);
    }

    /// What happened since the last call, each under its name.
    pub(super) fn take_counts(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.counts)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A ticket for one connection. It is URL-safe: not every client encodes it.
    pub(super) fn issue_ticket(&mut self, app: &str, now: Timestamp) -> String {
        self.counts.push("opened");
        self.tickets.retain(|_, ticket| ticket.until > now);
        let number = self.number();
        let half = |salt: &[u8]| stable_hash(&[app.as_bytes(), &number.to_be_bytes(), salt]);
        let ticket = format!("{:016x}{:016x}", half(b"ticket"), half(b"push"));
        let until = now.plus(self.options.ticket_life.0);
        self.tickets.insert(ticket.clone(), Ticket { app: app.to_owned(), until });
        ticket
    }

    /// The app whose ticket this is, if it may be used now.
    pub(super) fn use_ticket(&mut self, ticket: &str, now: Timestamp) -> Option<String> {
        let lives =
            self.tickets.get(ticket).filter(|ticket| ticket.until > now).map(|found| found.app.clone());
        if self.options.tickets == TicketUse::Once {
            self.tickets.remove(ticket);
        }
        if lives.is_none() {
            self.counts.push("ticket_refused");
        }
        lives
    }

    /// Adds a connection, and returns its number and its orders.
    pub(super) fn attach(
        &mut self,
        app: &str,
        conduct: Conduct,
        now: Timestamp,
    ) -> (u64, mpsc::UnboundedReceiver<Order>) {
        self.counts.push("connected");
        let (orders, taken) = mpsc::unbounded_channel();
        let number = self.number();
        let is_zombie = conduct != Conduct::Sound;
        self.connections.insert(number, Connection { app: app.to_owned(), orders, is_zombie });
        self.apps.insert(app.to_owned());
        self.first.get_or_insert(now);
        (number, taken)
    }

    /// When the first connection was made. Events from before go nowhere.
    pub(super) fn first_connection(&self) -> Option<Timestamp> {
        self.first
    }

    /// From now on no event goes to this connection.
    pub(super) fn detach(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    /// Orders something of every connection.
    pub(super) fn order_all(&mut self, order: &Order) -> usize {
        self.connections.values().filter(|one| one.orders.send(order.clone()).is_ok()).count()
    }

    /// Adds an event for every app that ever was connected.
    pub(super) fn announce(&mut self, event: &Event, now: Timestamp) {
        let event = Arc::new(event.clone());
        for app in self.apps.clone() {
            self.add(&app, &event, now);
        }
    }

    fn add(&mut self, app: &str, event: &Arc<Event>, now: Timestamp) {
        let (month, used) = self.messages.entry(app.to_owned()).or_default();
        if *month != month_in_shanghai(now) {
            (*month, *used) = (month_in_shanghai(now), 0);
        }
        if self.options.messages_per_month > 0 && *used >= self.options.messages_per_month {
            self.counts.push("silenced");
            return;
        }
        *used += 1;
        self.counts.push("messages");
        let push = self.push(app, event, now);
        self.pushes.push(push);
    }

    fn push(&mut self, app: &str, event: &Arc<Event>, due: Timestamp) -> Push {
        let number = self.number();
        let message_id =
            format!("{:016x}_{number}", stable_hash(&[event.id.as_bytes(), &number.to_be_bytes()]));
        let event = Arc::clone(event);
        Push { due, app: app.to_owned(), event, message_id, sent: 0, is_judged: false, waits_for_next: false }
    }

    /// Gives each of these apps a new suite ticket, which voids the old one.
    pub(super) fn renew_suite_tickets(&mut self, has_tickets: impl Fn(&str) -> bool, now: Timestamp) {
        for app in self.apps.clone().into_iter().filter(|app| has_tickets(app)) {
            let number = self.number();
            let ticket = format!("suite{:016x}", stable_hash(&[app.as_bytes(), &number.to_be_bytes()]));
            let data = Object::new().text("suiteTicket", &ticket).text("syncAction", "suite_ticket").end();
            self.suite_tickets.insert(app.clone(), ticket);
            let event = Event { kind: SUITE_TICKET, id: format!("{app}-{number}"), born: now, data };
            self.add(&app, &Arc::new(event), now);
        }
    }

    /// The suite ticket that is valid for this app, if one was ever pushed.
    pub(in crate::simulator) fn suite_ticket(&self, app: &str) -> Option<&str> {
        self.suite_tickets.get(app).map(String::as_str)
    }

    /// When the next push is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.pushes.iter().map(|push| push.due).min()
    }

    /// Takes an answer of a client. A push with a good answer is not repeated.
    pub(super) fn answered(&mut self, reply: &frames::Reply) {
        if reply.is_success {
            self.counts.push("acked");
            self.pushes.retain(|push| push.message_id != reply.message_id || push.sent == 0);
        } else {
            self.counts.push(if reply.is_later { "later" } else { "refused" });
        }
    }

    /// Sends what is due; `take_fault` gives the fault of an event.
    pub(super) fn send_due(
        &mut self,
        now: Timestamp,
        corp_of: impl Fn(&str) -> Option<String>,
        mut take_fault: impl FnMut() -> Option<Fault>,
    ) {
        while let Some(index) =
            (0..self.pushes.len()).filter(|&i| self.pushes[i].due <= now).min_by_key(|&i| self.pushes[i].due)
        {
            let mut push = self.pushes.remove(index);
            if !push.is_judged {
                push.is_judged = true;
                if let Some(fault) = take_fault() {
                    let Some(kept) = self.apply(push, &fault, now) else { continue };
                    push = kept;
                }
            }
            let corp_id = corp_of(&push.app).unwrap_or_else(|| self.options.corp_id.clone());
            self.send(push, &corp_id, now);
        }
    }

    /// Applies a fault; returns the push if it goes out now.
    fn apply(&mut self, mut push: Push, fault: &Fault, now: Timestamp) -> Option<Push> {
        self.counts.push(fault.kind.name());
        let pause = fault.pause;
        match fault.kind {
            FaultKind::Lost => return None,
            FaultKind::Thief => {
                let coin = stable_hash(&[push.message_id.as_bytes(), b"coin"]).is_multiple_of(2);
                return coin.then_some(push);
            }
            FaultKind::Delayed | FaultKind::Reordered => {
                push.due = now.plus(pause.unwrap_or(USUAL_DELAY));
                push.waits_for_next = fault.kind == FaultKind::Reordered;
                self.pushes.push(push);
                return None;
            }
            FaultKind::Twice | FaultKind::TwiceNewId => {
                let mut second = push.clone();
                if fault.kind == FaultKind::TwiceNewId {
                    second.message_id = self.push(&push.app, &push.event, now).message_id;
                }
                second.due = now.plus(pause.unwrap_or_default());
                self.pushes.push(second);
            }
            FaultKind::Disconnect => self.cut(&push.app, &Order::Disconnect),
            FaultKind::Abort => self.cut(&push.app, &Order::Abort),
            _ => {}
        }
        Some(push)
    }

    /// Ends all connections of an app.
    fn cut(&mut self, app: &str, order: &Order) {
        self.connections.retain(|_, one| {
            let is_kept = one.app != app;
            if !is_kept {
                // One that has just ended takes no orders.
                let _ = one.orders.send(order.clone());
            }
            is_kept
        });
    }

    fn send(&mut self, mut push: Push, corp_id: &str, now: Timestamp) {
        let of_app: Vec<u64> =
            self.connections.iter().filter(|(_, one)| one.app == push.app).map(|(id, _)| *id).collect();
        let choice = stable_hash(&[push.message_id.as_bytes(), &push.sent.to_be_bytes()]);
        let chosen =
            usize::try_from(choice % (of_app.len().max(1) as u64)).ok().and_then(|at| of_app.get(at));
        match chosen.and_then(|id| self.connections.get(id)) {
            None => self.counts.push("without_connection"),
            Some(one) if one.is_zombie => self.counts.push("swallowed"),
            Some(one) => {
                let frame = frames::event(&push.event, &push.message_id, corp_id, now);
                // A connection that ends right now takes no orders; the repeat goes to another.
                let _ = one.orders.send(Order::Send(frame));
                self.counts.push(if push.sent == 0 { "sent" } else { "repeated" });
                let app = push.app.clone();
                for waiting in self.pushes.iter_mut().filter(|one| one.waits_for_next && one.app == app) {
                    (waiting.due, waiting.waits_for_next) = (now, false);
                }
            }
        }
        match REPEAT_AFTER.get(push.sent) {
            Some(wait) => {
                push.sent += 1;
                push.due = now.plus(*wait);
                self.pushes.push(push);
            }
            None => self.counts.push("given_up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::announcements::MEETING;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + seconds * 1000)
    }

    fn event(id: &str) -> Event {
        Event { kind: MEETING, id: id.into(), born: at(0), data: "{}".into() }
    }

    /// The event ids and message ids of the frames that a connection was ordered to send.
    fn sent(orders: &mut mpsc::UnboundedReceiver<Order>) -> Vec<(String, String)> {
        let mut all = Vec::new();
        while let Ok(order) = orders.try_recv() {
            let Order::Send(frame) = order else { continue };
            let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
            let header = |name: &str| frame["headers"][name].as_str().unwrap().to_owned();
            all.push((header("eventId"), header("messageId")));
        }
        all
    }

    fn ids(sent: &[(String, String)]) -> Vec<&str> {
        sent.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn a_ticket_serves_one_connection_for_ninety_seconds() {
        let mut queue = PushQueue::default();
        let ticket = queue.issue_ticket("a", at(0));
        assert_eq!(queue.use_ticket(&ticket, at(89)).as_deref(), Some("a"));
        assert_eq!(queue.use_ticket(&ticket, at(89)), None);
        let late = queue.issue_ticket("a", at(0));
        assert_eq!(queue.use_ticket(&late, at(90)), None);
        queue.set_options(PushOptions { tickets: TicketUse::Many, ..PushOptions::default() });
        let many = queue.issue_ticket("a", at(0));
        assert!(queue.use_ticket(&many, at(1)).is_some() && queue.use_ticket(&many, at(2)).is_some());
    }

    #[test]
    fn a_push_is_repeated_after_10_and_30_seconds_until_it_is_acked() {
        let mut queue = PushQueue::default();
        let (_, mut orders) = queue.attach("a", Conduct::Sound, at(0));
        queue.announce(&event("e"), at(0));
        for (seconds, frames) in [(0, 1), (9, 0), (10, 1), (39, 0), (40, 1), (1000, 0)] {
            queue.send_due(at(seconds), |_| None, || None);
            assert_eq!(sent(&mut orders).len(), frames, "{seconds}");
        }
        queue.announce(&event("f"), at(2000));
        queue.send_due(at(2000), |_| None, || None);
        let message_id = sent(&mut orders).remove(0).1;
        queue.answered(&frames::Reply { message_id, is_success: true, is_later: false });
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn each_fault_does_what_its_name_says() {
        let played = |kind: FaultKind| {
            let mut queue = PushQueue::default();
            let (_, mut orders) = queue.attach("a", Conduct::Sound, at(0));
            let mut fault = Some(Fault::new(kind));
            for (id, seconds) in [("e", 0), ("f", 5)] {
                queue.announce(&event(id), at(seconds));
                queue.send_due(at(seconds), |_| None, || fault.take());
            }
            sent(&mut orders)
        };
        assert_eq!(ids(&played(FaultKind::Lost)), ["f"]);
        assert_eq!(ids(&played(FaultKind::Reordered)), ["f", "e"]);
        assert_eq!(ids(&played(FaultKind::Delayed)), ["f"]);
        let same = played(FaultKind::Twice);
        assert!(ids(&same) == ["e", "e", "f"] && same[0].1 == same[1].1);
        let new = played(FaultKind::TwiceNewId);
        assert!(ids(&new) == ["e", "e", "f"] && new[0].1 != new[1].1);
        assert_eq!(ids(&played(FaultKind::Abort)), [""; 0]);
    }

    #[test]
    fn a_spent_quota_is_silence_until_the_next_month_and_a_zombie_swallows_all() {
        let mut queue = PushQueue::default();
        queue.set_options(PushOptions { messages_per_month: 2, ..PushOptions::default() });
        let (_, mut orders) = queue.attach("a", Conduct::Sound, at(0));
        for id in ["e", "f", "g"] {
            queue.announce(&event(id), at(0));
        }
        queue.send_due(at(0), |_| None, || None);
        assert_eq!(ids(&sent(&mut orders)), ["e", "f"]);
        let (_, mut of_zombie) = queue.attach("z", Conduct::Zombie, at(0));
        queue.announce(&event("h"), at(40 * 86_400));
        queue.send_due(at(40 * 86_400), |_| None, || None);
        assert!(ids(&sent(&mut orders)).ends_with(&["h"]));
        assert_eq!(sent(&mut of_zombie), []);
    }

    #[test]
    fn a_thief_takes_about_half() {
        let mut queue = PushQueue::default();
        let (_, mut orders) = queue.attach("a", Conduct::Sound, at(0));
        for number in 0..200 {
            queue.announce(&event(&number.to_string()), at(0));
        }
        queue.send_due(at(0), |_| None, || Some(Fault::new(FaultKind::Thief)));
        assert!((60..140).contains(&sent(&mut orders).len()));
    }
}
