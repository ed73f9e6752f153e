//! Keeps the push connections, one for each app, and takes what they bring.
//!
//! Guards: an event is counted in the database, and a suite ticket is on the disk, before the event is acknowledged. A
//! connection that is down has its reason in health, and an alert after five minutes. Not here: the connection (`stream`),
//! the use of a ticket (`dingtalk::token`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::alerts::{AlertState, SystemEvent, emit};
use crate::clock::SharedClock;
use crate::config::Org;
use crate::dingtalk::client::Client;
use crate::policy::quota::Month;
use crate::presence::system::AlertName;
use crate::secret::Secret;
use crate::store::{Store, StoreError};
use crate::stream::connection::{Connection, Delivery, Inbox};
use crate::stream::dial::App;
use crate::stream::event::{self, Event};
use crate::stream::frame::{Ack, Envelope};
use crate::stream::machine::Reason;
use crate::stream::ticket_file;
use crate::telemetry::health::Health;
use crate::telemetry::push::PushHealth;
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

/// A connection that is down for this long fires the alert; a refusal of the app's secret fires it at once.
const ALERT_AFTER: Duration = Duration::from_mins(5);
/// DingTalk pushes a suite ticket about every five hours; without one for this long something else takes them.
const SILENT_AFTER: Duration = Duration::from_hours(12);
/// How often an alert that could not be written is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// An organisation whose app has a push connection.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its settings.
    pub org: Org,
    /// `corp_id`.
    pub corp_id: Option<String>,
    /// The app.
    pub app: App,
    /// The client that uses the suite ticket.
    pub client: Client,
    /// Where the suite ticket is kept, if it is pushed.
    pub ticket_file: Option<PathBuf>,
}

impl Member {
    /// Whether both share a connection: there is one for each app, whatever its organisations.
    fn shares_with(&self, other: &Self) -> bool {
        let (own, other) = (&self.app, &other.app);
        (&own.api_base, &own.key) == (&other.api_base, &other.key) && own.secret == other.secret
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.org == other.org && self.app.secret == other.app.secret
    }
}

/// What every taker needs.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The database.
    pub store: Store,
    /// The clock.
    pub clock: SharedClock,
    /// What is wrong, for status and metrics.
    pub health: Arc<Health>,
    /// Wakes the dispatcher after an alert.
    pub outbox_wake: Arc<Notify>,
    /// The webhooks that receive alerts.
    pub subscriptions: watch::Receiver<Arc<[Subscription]>>,
}

/// Runs the connections of all apps, and follows reloads.
pub async fn run(
    tools: Tools,
    mut members: watch::Receiver<Arc<[Member]>>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut takers = JoinSet::new();
    let mut running: Vec<(Vec<Member>, CancellationToken)> = Vec::new();
    loop {
        let wanted = groups(&members.borrow_and_update());
        running.retain(|(group, end)| {
            let stays = wanted.iter().any(|new| is_same_group(new, group));
            if !stays {
                end.cancel();
            }
            stays
        });
        for group in wanted {
            if !running.iter().any(|(old, _)| is_same_group(&group, old)) {
                let end = stop.child_token();
                let taker = Taker::new(tools.clone(), group.clone()).await;
                takers.spawn(taker.run(end.clone()));
                running.push((group, end));
            }
        }
        if let Err(error) = resolve_stale(&tools, &running).await {
            tracing::error!(%error, "cannot resolve the alert about a push connection that was removed");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = members.changed() => if changed.is_err() { stop.cancelled().await },
            Some(ended) = takers.join_next() => {
                if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    while takers.join_next().await.is_some() {}
    Ok(())
}

/// Resolves the alert of organisations that have no push connection any more.
async fn resolve_stale(
    tools: &Tools,
    running: &[(Vec<Member>, CancellationToken)],
) -> Result<(), StoreError> {
    let mut alert_state = AlertState::load(&tools.store).await?;
    for org in alert_state.orgs(AlertName::Push) {
        if running.iter().flat_map(|(group, _)| group).any(|member| member.org.name == org) {
            continue;
        }
        let now = tools.clock.now();
        let why = "the organisation has no push connection any more";
        let Some(event) = alert_state.set(Some(&org), AlertName::Push, None, why, now) else { continue };
        let subscriptions = Arc::clone(&tools.subscriptions.borrow());
        emit(&tools.store, &subscriptions, &event).await?;
        tools.outbox_wake.notify_one();
    }
    Ok(())
}

/// The members of each connection.
fn groups(members: &[Member]) -> Vec<Vec<Member>> {
    let mut groups: Vec<Vec<Member>> = Vec::new();
    for member in members {
        match groups.iter_mut().find(|group| group[0].shares_with(member)) {
            Some(group) => group.push(member.clone()),
            None => groups.push(vec![member.clone()]),
        }
    }
    groups
}

fn is_same_group(one: &[Member], other: &[Member]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_same_as(other))
}

/// Takes what one connection brings.
#[derive(Debug)]
struct Taker {
    tools: Tools,
    members: Vec<Member>,
    inbox: Inbox,
    connection: Option<Connection>,
    alert_state: AlertState,
    unsent: VecDeque<SystemEvent>,
    not_understood: u64,
    /// The reason that was logged last.
    logged: Option<&'static str>,
    started: Timestamp,
    /// When the newest ticket was born, and when it came.
    ticket: Option<(Option<i64>, Timestamp)>,
}

impl Taker {
    async fn new(tools: Tools, members: Vec<Member>) -> Self {
        let (connection, inbox) = Connection::new(members[0].app.clone(), Arc::clone(&tools.clock));
        let started = tools.clock.now();
        let alert_state = AlertState::load(&tools.store).await.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read the alerts of the last run");
            AlertState::default()
        });
        Self {
            tools,
            members,
            inbox,
            connection: Some(connection),
            alert_state,
            unsent: VecDeque::new(),
            not_understood: 0,
            logged: Some(Reason::Starting.word()),
            started,
            ticket: None,
        }
    }

    async fn run(mut self, end: CancellationToken) {
        let mut driver = JoinSet::new();
        if let Some(connection) = self.connection.take() {
            driver.spawn(connection.run(end.clone()));
        }
        loop {
            self.publish().await;
            let wake = self.next_wake();
            tokio::select! {
                () = end.cancelled() => break,
                Some(delivery) = self.inbox.deliveries.recv() => self.take(delivery).await,
                Ok(()) = self.inbox.reports.changed() => {}
                () = self.tools.clock.sleep_until(wake) => {}
            }
        }
        for member in &self.members {
            self.tools.health.set_push(&member.org.name, None);
        }
        while driver.join_next().await.is_some() {}
    }

    fn next_wake(&self) -> Timestamp {
        let now = self.tools.clock.now();
        let state = &self.inbox.reports.borrow().state;
        if !self.unsent.is_empty() {
            return now.plus(TRY_AGAIN);
        }
        let alert_at = state.since.plus(ALERT_AFTER);
        if state.down.is_some() && alert_at > now { alert_at } else { now.plus(ALERT_AFTER) }
    }

    /// Takes an event, and answers it once everything that it needs is stored.
    async fn take(&mut self, delivery: Delivery) {
        let ack = match self.store(&delivery.envelope).await {
            Ok(()) => Ack::Success,
            Err(error) => {
                tracing::error!(%error, "cannot store a pushed event; DingTalk repeats it");
                Ack::Later
            }
        };
        delivery.answer(ack);
    }

    async fn store(&mut self, envelope: &Envelope) -> Result<(), String> {
        let now = self.tools.clock.now();
        let member = self.concerned(envelope);
        let month = Month::of(now, member.org.month_time_zone).to_string();
        let counted = self.tools.store.push_messages().add(member.org.name.clone(), month).await;
        counted.map_err(|error| error.to_string())?;
        match event::read(envelope) {
            Some(Event::SuiteTicket(ticket)) => self.keep(ticket, envelope.born_ms, now).await,
            Some(Event::Meeting(_) | Event::Members(_) | Event::Other) => Ok(()),
            None => {
                self.not_understood += 1;
                Ok(())
            }
        }
    }

    /// The organisation that an event is about; an unknown one counts for the first.
    fn concerned(&self, envelope: &Envelope) -> &Member {
        let is_about = |member: &&Member| member.corp_id.is_some() && member.corp_id == envelope.corp_id;
        self.members.iter().find(is_about).unwrap_or(&self.members[0])
    }

    /// Keeps and uses a ticket, unless a newer one has come: a repeat may be late.
    async fn keep(&mut self, ticket: Secret, born_ms: Option<i64>, now: Timestamp) -> Result<(), String> {
        let newest = self.ticket.and_then(|(born_ms, _)| born_ms);
        if born_ms.zip(newest).is_some_and(|(born_ms, newest)| born_ms < newest) {
            return Ok(());
        }
        for member in &self.members {
            let Some(file) = member.ticket_file.clone() else { continue };
            let kept = ticket.clone();
            let written = tokio::task::spawn_blocking(move || ticket_file::keep(&file, &kept)).await;
            written
                .map_err(|error| error.to_string())
                .and_then(|written| written.map_err(|error| format!("suite ticket: {error}")))?;
            member.client.set_suite_ticket(ticket.clone());
        }
        self.ticket = Some((born_ms, now));
        tracing::info!("DingTalk pushed a new suite ticket; using it");
        Ok(())
    }

    /// Logs each change between up and down, and each other reason.
    fn log(&mut self, health: &PushHealth) {
        if std::mem::replace(&mut self.logged, health.down) == health.down {
            return;
        }
        let org = self.members[0].org.name.as_str();
        match health.down {
            None => tracing::info!(org, "the push connection is up"),
            Some(reason) => {
                let why = health.why.as_deref().unwrap_or_default();
                tracing::warn!(org, reason, why, "the push connection is down; dialling again");
            }
        }
    }

    /// Shows the state, and emits the alert when it changes.
    async fn publish(&mut self) {
        let now = self.tools.clock.now();
        let report = self.inbox.reports.borrow().clone();
        let health = PushHealth {
            down: report.state.down.map(Reason::word),
            why: report.error.clone(),
            since: report.state.since,
            next: report.state.next_attempt,
            connections: report.state.counts.connected,
            events: report.state.counts.events,
            not_understood: report.state.counts.not_understood + self.not_understood,
            ticket: self.ticket.map(|(_, at)| at),
        };
        self.log(&health);
        let firing = alert(&health, self.started, now);
        for member in &self.members {
            let name = &member.org.name;
            self.tools.health.set_push(name, Some(health.clone()));
            // Between up and a lasting outage the alert stays as it is.
            if firing.is_some() || health.down.is_none() {
                let resolved = "the push connection is up";
                self.unsent.extend(self.alert_state.set(
                    Some(name),
                    AlertName::Push,
                    firing.clone(),
                    resolved,
                    now,
                ));
            }
        }
        while let Some(event) = self.unsent.front() {
            let subscriptions = Arc::clone(&self.tools.subscriptions.borrow());
            if let Err(error) = emit(&self.tools.store, &subscriptions, event).await {
                tracing::error!(%error, "cannot write the alert about the push connection");
                return;
            }
            self.unsent.pop_front();
            self.tools.outbox_wake.notify_one();
        }
    }
}

/// The text of the alert, if it is to fire.
fn alert(health: &PushHealth, started: Timestamp, now: Timestamp) -> Option<String> {
    let Some(reason) = health.down else {
        let silent = now.since(health.ticket.unwrap_or(started)) >= SILENT_AFTER;
        return silent.then(|| {
            format!(
                "the push connection is up, and no suite ticket came for {} hours: another program may be connected to the same app",
                SILENT_AFTER.as_secs() / 3600
            )
        });
    };
    let is_refused = reason == Reason::Auth.word();
    (is_refused || now.since(health.since) >= ALERT_AFTER).then(|| {
        let why = health.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("the push connection is down ({reason}){why}; no new suite ticket arrives, polling goes on")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000).plus(Duration::from_mins(minutes))
    }

    #[test]
    fn the_alert_fires_after_five_minutes_or_at_once_for_a_refusal_or_after_hours_without_a_ticket() {
        let mut health = PushHealth {
            down: Some(Reason::Closed.word()),
            why: None,
            since: at(0),
            next: None,
            connections: 1,
            events: 0,
            not_understood: 0,
            ticket: None,
        };
        let fires = |health: &PushHealth, minutes| alert(health, at(0), at(minutes)).is_some();
        assert!(!fires(&health, 4) && fires(&health, 5));
        health.down = Some(Reason::Auth.word());
        assert!(fires(&health, 0));
        health.down = None;
        assert!(!fires(&health, 11 * 60) && fires(&health, 12 * 60));
        health.ticket = Some(at(60));
        assert!(!fires(&health, 12 * 60) && fires(&health, 13 * 60));
    }
}
