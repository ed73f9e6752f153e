//! The store alone: recordings a second when many are ready at once, beside bare statements that write the same rows.
//!
//! Guards: a recording is what one changed poll writes: belief, snapshot, event, delivery, each of the usual size; the
//! bare part writes the same snapshots, events and deliveries into the same tables with the same settings, one
//! `jsonb_each` statement a table, and nothing else. Deliberately not here: how the store groups recordings.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use presenced::clock::{Clock, SystemClock};
use presenced::ids::{ConferenceId, EventId, Identity, OrgName, UnionId, VisitId, WebhookName};
use presenced::presence::attendance::Role;
use presenced::presence::event::{Envelope, EventType, NewEvent};
use presenced::presence::system::{AlertName, system_alert};
use presenced::presence::user_state::UserState;
use presenced::presence::visit::{Basis, Visit};
use presenced::store::{Enrolled, Enrolment, NewSnapshot, Outgoing, Recording, Store};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::task::{JoinSet, LocalSet};

use crate::machine::{self, Usage};

const SNAPSHOTS: &str = "\
INSERT INTO snapshots (person_id, org, first_ms, last_ms, polls, meetings, digest, body) \
SELECT value ->> 'person', value ->> 'org', value ->> 'at', value ->> 'at', 1, 1, value ->> 'digest', value ->> 'body' \
FROM jsonb_each(?1)";
const EVENTS: &str = "\
INSERT INTO events (sequence, id, org, type, person_id, conference_id, time_ms, recorded_ms, body) \
SELECT value ->> 'sequence', value ->> 'id', value ->> 'org', value ->> 'type', value ->> 'person', \
    value ->> 'conference', value ->> 'time', value ->> 'time', value ->> 'body' \
FROM jsonb_each(?1)";
const DELIVERIES: &str = "\
INSERT INTO deliveries (webhook, org, person_id, sequence, next_ms) \
SELECT value ->> 'webhook', value ->> 'org', value ->> 'person', value ->> 'sequence', value ->> 'next' \
FROM jsonb_each(?1)";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Writer {
    /// Statements without a store.
    Bare,
    /// The store, as a changed poll uses it.
    Store,
    /// The same with a visit in each recording.
    StoreWithVisit,
}

/// How it is measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) writer: Writer,
    /// Recordings ready at the same time.
    pub(crate) in_flight: usize,
    pub(crate) window: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Paced {
    /// Recordings a second.
    pub(crate) a_second: f64,
    /// CPU time of each.
    pub(crate) cpu_us: f64,
}

/// Runs the role `records` on the measured core and gives what it prints.
pub(crate) fn measure(job: Job) -> Result<Paced> {
    machine::settle();
    let output = machine::pinned(machine::CLIENT_CORE, &std::env::current_exe()?)
        .args(["--role", "records", &serde_json::to_string(&job)?])
        .stderr(Stdio::piped())
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Records for the job's window, after a second of warming up, and prints the pace.
pub(crate) fn run(job: Job) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("presence.db");
        let store = Store::open(&path, chrono_tz::UTC, Arc::new(SystemClock)).await?;
        let people = enroll(&store, job.in_flight).await?;
        let written = Rc::new(Cell::new(0_u64));
        let mut workers = JoinSet::<Result<()>>::new();
        if job.writer == Writer::Bare {
            store.close().await?;
            workers.spawn_local(statements(connect(&path).await?, people, Rc::clone(&written)));
        } else {
            for person in people {
                let with_visit = job.writer == Writer::StoreWithVisit;
                workers.spawn_local(recordings(store.clone(), person, with_visit, Rc::clone(&written)));
            }
        }
        let me = std::process::id();
        let measured = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (before, began, from) = (written.get(), Instant::now(), Usage::of(me)?);
            tokio::time::sleep(job.window).await;
            let cpu_seconds = Usage::of(me)?.cpu_seconds_since(&from);
            let recordings = (written.get() - before) as f64;
            anyhow::Ok(Paced {
                a_second: recordings / began.elapsed().as_secs_f64(),
                cpu_us: 1e6 * cpu_seconds / recordings,
            })
        };
        let paced = tokio::select! {
            measured = measured => measured?,
            Some(ended) = workers.join_next() => bail!("a worker ended: {:?}", ended?),
        };
        println!("{}", serde_json::to_string(&paced)?);
        Ok(())
    })
}

async fn enroll(store: &Store, people: usize) -> Result<Vec<Enrolled>> {
    let list = (0..people)
        .map(|user| {
            let union_id = UnionId::parse(&crate::daemon::union_id(user))?;
            let identity = Identity { org: OrgName::default_name(), union_id };
            Ok(Enrolment { identity, name: format!("Person {user}"), groups: Vec::new() })
        })
        .collect::<Result<Vec<_>>>()?;
    let (people, _) = store.watch_list().enroll(list).await.context("the store")?;
    Ok(people)
}

/// One person's changed polls, one after the other.
async fn recordings(store: Store, person: Enrolled, with_visit: bool, written: Rc<Cell<u64>>) -> Result<()> {
    let webhooks: Arc<[WebhookName]> = Arc::new([WebhookName::parse("bench")?]);
    for turn in 0_u32.. {
        let facts = Facts::new(&person, turn)?;
        let recording = Recording {
            person_id: person.person_id,
            org: person.identity.org.clone(),
            snapshot: Some(NewSnapshot {
                at: facts.draft.time,
                digest: i64::from(turn),
                meetings: 1,
                body: facts.answer,
            }),
            belief: UserState::default(),
            visits: if with_visit { vec![visit(&facts.draft, turn)?] } else { Vec::new() },
            meetings: Vec::new(),
            watched: true,
            polled_at: Some(facts.draft.time),
            next_poll: Some(facts.draft.time),
            events: vec![Outgoing { draft: facts.draft, webhooks: Arc::clone(&webhooks) }],
        };
        store.recorder().record(recording).await?;
        written.set(written.get() + 1);
    }
    Ok(())
}

/// The settings of the store's own connection.
async fn connect(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let options = options.foreign_keys(true).disable_statement_logging().pragma("cache_size", "-16000");
    Ok(options.pragma("temp_store", "memory").pragma("wal_autocheckpoint", "4000").connect().await?)
}

/// The same rows by three statements a transaction.
async fn statements(
    mut connection: SqliteConnection,
    people: Vec<Enrolled>,
    written: Rc<Cell<u64>>,
) -> Result<()> {
    let mut sequence = 0_u64;
    for turn in 0_u32.. {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let (mut snapshots, mut events, mut deliveries) = (Vec::new(), Vec::new(), Vec::new());
        for person in &people {
            sequence += 1;
            let Facts { answer, draft } = Facts::new(person, turn)?;
            let (org, at) = (person.identity.org.clone(), draft.time);
            let envelope =
                Envelope { source: "urn:presenced:bench", sequence, recorded_at: at, meeting: None };
            deliveries.push(Delivery {
                webhook: "bench",
                org: org.clone(),
                person: person.person_id,
                sequence,
                next: at,
            });
            snapshots.push(Snapshot {
                person: person.person_id,
                org: org.clone(),
                at,
                digest: turn,
                body: answer,
            });
            events.push(Event {
                sequence,
                org,
                r#type: draft.event_type.name(),
                person: person.person_id,
                time: at,
                body: String::from_utf8(draft.body(&envelope))?,
                id: draft.id,
                conference: draft.conference_id,
            });
        }
        sqlx::query(SNAPSHOTS).bind(serde_json::to_string(&snapshots)?).execute(&mut *transaction).await?;
        sqlx::query(EVENTS).bind(serde_json::to_string(&events)?).execute(&mut *transaction).await?;
        sqlx::query(DELIVERIES).bind(serde_json::to_string(&deliveries)?).execute(&mut *transaction).await?;
        transaction.commit().await?;
        written.set(written.get() + people.len() as u64);
    }
    Ok(())
}

#[derive(Serialize)]
struct Snapshot {
    person: i64,
    org: OrgName,
    at: presenced::time::Timestamp,
    digest: u32,
    body: String,
}

#[derive(Serialize)]
struct Event {
    sequence: u64,
    id: EventId,
    org: OrgName,
    r#type: &'static str,
    person: i64,
    conference: Option<ConferenceId>,
    time: presenced::time::Timestamp,
    body: String,
}

#[derive(Serialize)]
struct Delivery {
    webhook: &'static str,
    org: OrgName,
    person: i64,
    sequence: u64,
    next: presenced::time::Timestamp,
}

/// What both writers are given.
struct Facts {
    /// Of some 500 bytes.
    answer: String,
    /// With a body of some 1,200 bytes.
    draft: NewEvent,
}

impl Facts {
    fn new(person: &Enrolled, turn: u32) -> Result<Self> {
        let summary = "x".repeat(800);
        let base = system_alert(
            "urn:presenced:bench",
            None,
            AlertName::Upstream,
            true,
            &summary,
            SystemClock.now(),
            0,
        );
        let draft = NewEvent {
            id: EventId::parse(&format!("evt_{}", number(person.person_id, turn)))?,
            event_type: EventType::ParticipantJoined,
            identity: Some(person.identity.clone()),
            conference_id: Some(ConferenceId::parse("654058f2411fe90147e68780")?),
            ..base
        };
        let answer = serde_json::to_string(&BTreeMap::from([("filler", "x".repeat(480))]))?;
        Ok(Self { answer, draft })
    }
}

fn visit(draft: &NewEvent, turn: u32) -> Result<Visit> {
    Ok(Visit {
        id: VisitId::parse(&draft.id.as_str().replace("evt_", "vis_"))?,
        conference_id: draft.conference_id.clone().context("it has one")?,
        ordinal: turn + 1,
        anchor: draft.time,
        joined: draft.time,
        join_basis: Basis::Reported,
        end: None,
        role: Role::Attendee,
        external: false,
        by_phone: false,
        device: Some("Win".to_owned()),
        nick: Some("Test Name".to_owned()),
    })
}

/// As long as a real id, and as little in order.
fn number(person_id: i64, turn: u32) -> String {
    let mixed = u64::from(turn).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ person_id.unsigned_abs();
    format!("{mixed:016x}{person_id:06}{turn:07}")
}
