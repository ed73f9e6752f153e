//! A database in a folder that is thrown away, a clock that stands still, and short ways to say "she joined".
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::ManualClock;
use presenced::ids::{ConferenceId, EventId, Identity, OrgName, UnionId, VisitId, WebhookName};
use presenced::presence::attendance::Role;
use presenced::presence::event::EventType;
use presenced::presence::system::webhook_test;
use presenced::presence::user_state::{Presence, UserState};
use presenced::presence::visit::{Basis, LeftReason, Visit, VisitEnd};
use presenced::store::{Enrolled, Enrolment, NewSnapshot, Outgoing, Recording, Store};
use presenced::time::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;

/// The seed page's join time.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_699_347_295_876);

/// A folder for one test.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) clock: ManualClock,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), clock: ManualClock::at(START) }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("presence.db")
    }

    pub(crate) async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    pub(crate) async fn try_open(&self) -> Result<Store, presenced::store::StoreError> {
        Store::open(&self.file(), chrono_tz::Asia::Shanghai, Arc::new(self.clock.clone())).await
    }

    /// A look at the tables from outside.
    pub(crate) async fn look(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.file()).read_only(true).connect().await.unwrap()
    }

    /// A hand that does what the daemon never would.
    pub(crate) async fn meddle(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.file()).connect().await.unwrap()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.look().await).await.unwrap()
    }
}

pub(crate) fn org() -> OrgName {
    OrgName::default_name()
}

pub(crate) fn later(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(crate) fn enrolment(union_id: &str) -> Enrolment {
    Enrolment { identity: identity(union_id), name: format!("Name {union_id}"), groups: Vec::new() }
}

pub(crate) fn identity(union_id: &str) -> Identity {
    Identity { org: org(), union_id: UnionId::parse(union_id).unwrap() }
}

pub(crate) async fn enroll_one(store: &Store) -> Enrolled {
    store.watch_list().enroll(vec![enrolment("li")]).await.unwrap().0.remove(0)
}

/// One person with fifty joins, and the store that is open on them.
pub(crate) async fn filled() -> (Place, Store) {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    for n in 0..50 {
        store.recorder().record(joined(person, "li", &format!("n{n}"))).await.unwrap();
    }
    (place, store)
}

/// A look without consequences.
pub(crate) fn look(person_id: i64) -> Recording {
    Recording {
        person_id,
        org: org(),
        snapshot: None,
        belief: believing(Presence::Outside),
        visits: Vec::new(),
        meetings: Vec::new(),
        events: Vec::new(),
        watched: true,
        polled_at: Some(START),
        next_poll: Some(later(60)),
    }
}

/// A look that saw somebody join: a snapshot, a visit, an event to `crm`.
pub(crate) fn joined(person_id: i64, union_id: &str, key: &str) -> Recording {
    Recording {
        snapshot: Some(snapshot(START, 1)),
        belief: believing(Presence::Inside),
        visits: vec![visit(&format!("vis_{key}"))],
        events: vec![outgoing(&format!("evt_{key}"), union_id, &["crm"])],
        ..look(person_id)
    }
}

/// What else a belief holds is not the store's affair.
fn believing(presence: Presence) -> UserState {
    serde_json::from_value(serde_json::json!({ "presence": presence })).unwrap()
}

pub(crate) fn snapshot(at: Timestamp, digest: i64) -> NewSnapshot {
    NewSnapshot { at, digest, meetings: 1, body: r#"{"entries":{}}"#.to_owned() }
}

pub(crate) fn visit(id: &str) -> Visit {
    Visit {
        id: VisitId::parse(id).unwrap(),
        conference_id: conference(),
        ordinal: 1,
        anchor: START,
        joined: START,
        join_basis: Basis::Reported,
        end: None,
        role: Role::Host,
        external: false,
        by_phone: true,
        device: Some("Win".to_owned()),
        nick: Some("李\"微\"\u{1F600}".to_owned()),
    }
}

pub(crate) fn ended(visit: Visit, at: Timestamp) -> Visit {
    let end =
        VisitEnd { at, reason: LeftReason::Vanished, basis: Basis::Inferred, earliest: START, latest: at };
    Visit { end: Some(end), ..visit }
}

pub(crate) fn conference() -> ConferenceId {
    ConferenceId::parse("654058f2411fe90147e68780").unwrap()
}

pub(crate) fn outgoing(id: &str, union_id: &str, webhooks: &[&str]) -> Outgoing {
    let webhook = WebhookName::parse("crm").unwrap();
    let mut draft = webhook_test("urn:presenced:00000000", &webhook, START, 0);
    draft.id = EventId::parse(id).unwrap();
    draft.event_type = EventType::ParticipantJoined;
    draft.identity = Some(identity(union_id));
    draft.conference_id = Some(conference());
    draft.data.cause = Some("李\"微\"\u{1F600}\n\\ \u{0}".to_owned());
    Outgoing { draft, webhooks: webhooks.iter().map(|name| WebhookName::parse(name).unwrap()).collect() }
}

pub(crate) fn system(id: &str, webhooks: &[&str]) -> Outgoing {
    let mut outgoing = outgoing(id, "nobody", webhooks);
    outgoing.draft.event_type = EventType::SystemAlert;
    outgoing.draft.identity = None;
    outgoing.draft.conference_id = None;
    outgoing
}
