//! The store alone: recordings a second when many are ready at once.
//!
//! Guards: a recording is what one changed poll writes: snapshot, visit, event, delivery, each of the usual size.
//! Deliberately not here: how the store groups them.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use presenced::clock::{Clock, SystemClock};
use presenced::ids::{ConferenceId, EventId, Identity, OrgName, UnionId, VisitId, WebhookName};
use presenced::presence::attendance::Role;
use presenced::presence::belief::Belief;
use presenced::presence::event::{Draft, EventType};
use presenced::presence::system::{AlertName, system_alert};
use presenced::presence::visit::{Basis, Visit};
use presenced::store::{Enrolled, Enrolment, NewSnapshot, Outgoing, Recording, Store};
use tokio::task::{JoinSet, LocalSet};

use crate::machine::{self, Usage};

/// Recordings ready at the same time.
const IN_FLIGHT: usize = 256;

/// Runs the role `records` on the measured core and gives what it prints.
pub(crate) fn measure(window: Duration) -> Result<String> {
    machine::settle();
    let output = machine::pinned(machine::CLIENT_CORE, &std::env::current_exe()?)
        .args(["--role", "records", &window.as_secs().to_string()])
        .stderr(Stdio::piped())
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Records for `window`, after a second of warming up, and prints the pace.
pub(crate) fn run(window: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let folder = tempfile::tempdir()?;
        let store =
            Store::open(&folder.path().join("presence.db"), chrono_tz::UTC, Arc::new(SystemClock)).await?;
        let people = enroll(&store).await?;
        let webhooks: Arc<[WebhookName]> = Arc::new([WebhookName::parse("bench")?]);
        let counted = Rc::new(std::cell::Cell::new(0_u64));
        let mut workers = JoinSet::<Result<()>>::new();
        for person in people {
            let (store, webhooks, counted) = (store.clone(), Arc::clone(&webhooks), Rc::clone(&counted));
            workers.spawn_local(async move {
                for turn in 0_u32.. {
                    store.record(recording(&person, turn, &webhooks)?).await?;
                    counted.set(counted.get() + 1);
                }
                Ok(())
            });
        }
        let me = std::process::id();
        let measured = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (before, began, from) = (counted.get(), Instant::now(), Usage::of(me)?);
            tokio::time::sleep(window).await;
            anyhow::Ok((counted.get() - before, began.elapsed(), Usage::of(me)?.cpu_seconds_since(&from)))
        };
        let (recordings, wall, cpu) = tokio::select! {
            measured = measured => measured?,
            Some(ended) = workers.join_next() => bail!("a worker ended: {:?}", ended?),
        };
        let recordings = recordings as f64;
        let (pace, each) = (recordings / wall.as_secs_f64(), 1e6 * cpu / recordings);
        println!("{pace:.0} recordings/s, {each:.1} CPU us each");
        Ok(())
    })
}

async fn enroll(store: &Store) -> Result<Vec<Enrolled>> {
    let list = (0..IN_FLIGHT)
        .map(|user| {
            let union_id = UnionId::parse(&crate::daemon::union_id(user))?;
            let identity = Identity { org: OrgName::default_name(), union_id };
            Ok(Enrolment { identity, name: format!("Person {user}") })
        })
        .collect::<Result<Vec<_>>>()?;
    let (people, _) = store.enroll(list).await.context("the store")?;
    Ok(people)
}

/// What the n-th changed poll of a person writes.
fn recording(person: &Enrolled, turn: u32, webhooks: &Arc<[WebhookName]>) -> Result<Recording> {
    let now = SystemClock.now();
    let conference_id = ConferenceId::parse("654058f2411fe90147e68780")?;
    let number = format!("{:0>8}x{turn:0>12}", person.person_id);
    let visit = Visit {
        id: VisitId::parse(&format!("vis_{number}"))?,
        conference_id: conference_id.clone(),
        ordinal: turn + 1,
        anchor: now,
        joined: now,
        join_basis: Basis::Reported,
        end: None,
        role: Role::Attendee,
        external: false,
        by_phone: false,
        device: Some("Win".to_owned()),
        nick: Some("Test Name".to_owned()),
    };
    let summary = "x".repeat(800);
    let base = system_alert("urn:presenced:bench", None, AlertName::Upstream, true, &summary, now, 0);
    let draft = Draft {
        id: EventId::parse(&format!("evt_{number}"))?,
        event_type: EventType::ParticipantJoined,
        identity: Some(person.identity.clone()),
        conference_id: Some(conference_id),
        ..base
    };
    Ok(Recording {
        person_id: person.person_id,
        org: person.identity.org.clone(),
        snapshot: Some(NewSnapshot {
            at: now,
            digest: i64::from(turn),
            meetings: 1,
            body: serde_json::to_string(&BTreeMap::from([("filler", "x".repeat(480))]))?,
        }),
        belief: Belief::default(),
        visits: vec![visit],
        events: vec![Outgoing { draft, webhooks: Arc::clone(webhooks) }],
        watched: true,
        looked_at: Some(now),
        next_poll: Some(now),
    })
}
