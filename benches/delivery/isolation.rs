//! Ten webhooks that get the same events at an even pace: how old an event is when the eight good receivers have it.
//!
//! Guards: the age begins before the event is written down. Deliberately not here: what the receivers do.

use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use presenced::clock::{Clock, SystemClock};
use presenced::ids::{EventId, Identity, OrgName, UnionId, WebhookName};
use presenced::presence::event::{EventType, NewEvent};
use presenced::presence::system::{AlertName, system_alert};
use presenced::presence::user_state::UserState;
use presenced::store::{Enrolled, Enrolment, Outgoing, Recording, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{machine, measure, outbox, receivers};

/// Events a second.
pub(crate) const PACE: u64 = 100;

const PEOPLE: usize = 100;

/// What the good receivers saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Lets it run for `window`, with good or with bad neighbours.
pub(crate) fn measure(disturbed: bool, window: Duration) -> Result<Latency> {
    machine::settle();
    let kind = if disturbed { "disturbed" } else { "calm" };
    let (_receivers, addresses) = measure::start(machine::SERVER_CORE, &["receivers", kind])?;
    let address = addresses.split(',').next().context("an address")?;
    let _daemon = measure::spawn(machine::CLIENT_CORE, &["events", &addresses], Stdio::inherit())?;
    // Until the bad ones are down, which is what they are then for good.
    sleep(Duration::from_secs(2));
    measure::ask(address, "/ages")?;
    sleep(window);
    let text = measure::ask(address, "/ages")?;
    let figures: Vec<f64> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [count, p50_us, p99_us] = figures[..] else { bail!("not three figures: {text}") };
    let expected = window.as_secs_f64() * (PACE * receivers::GOOD as u64) as f64;
    ensure!(count > 0.8 * expected, "{count} of {expected} deliveries arrived");
    Ok(Latency { p50_ms: p50_us / 1e3, p99_ms: p99_us / 1e3 })
}

/// Records and delivers until killed.
pub(crate) fn run(addresses: &str) -> Result<()> {
    outbox::runtime()?.block_on(async {
        let folder = tempfile::tempdir()?;
        let store =
            Store::open(&folder.path().join("presence.db"), chrono_tz::UTC, Arc::new(SystemClock)).await?;
        let (people, _) = store.watch_list().enroll(people()?).await.context("the people")?;
        let targets = addresses
            .split(',')
            .skip(1)
            .enumerate()
            .map(|(n, address)| outbox::target(&format!("hook{n}"), &format!("http://{address}/hook"), 8))
            .collect::<Result<Vec<_>>>()?;
        let webhooks: Arc<[WebhookName]> = targets.iter().map(|target| target.name.clone()).collect();
        let wake = Arc::new(Notify::new());
        let dispatcher = outbox::dispatcher(&store, targets, &wake);
        tokio::select! {
            ended = dispatcher.run(CancellationToken::new()) => Ok(ended?),
            ended = record(&store, &people, &webhooks, &wake) => ended,
        }
    })
}

async fn record(
    store: &Store,
    people: &[Enrolled],
    webhooks: &Arc<[WebhookName]>,
    wake: &Notify,
) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(PACE)?);
    for (n, person) in people.iter().cycle().enumerate() {
        ticks.tick().await;
        store.recorder().record(recording(person, n, webhooks)?).await?;
        wake.notify_one();
    }
    Ok(())
}

fn recording(person: &Enrolled, n: usize, webhooks: &Arc<[WebhookName]>) -> Result<Recording> {
    let made_us = SystemTime::UNIX_EPOCH.elapsed()?.as_micros();
    let summary = "x".repeat(800);
    let base =
        system_alert("urn:presenced:bench", None, AlertName::Upstream, true, &summary, SystemClock.now(), 0);
    let draft = NewEvent {
        id: EventId::parse(&format!("evt_{made_us:020}x{n}"))?,
        event_type: EventType::ParticipantJoined,
        identity: Some(person.identity.clone()),
        ..base
    };
    Ok(Recording {
        person_id: person.person_id,
        org: person.identity.org.clone(),
        snapshot: None,
        belief: UserState::default(),
        visits: Vec::new(),
        meetings: Vec::new(),
        events: vec![Outgoing { draft, webhooks: Arc::clone(webhooks) }],
        watched: true,
        polled_at: None,
        next_poll: None,
    })
}

fn people() -> Result<Vec<Enrolment>> {
    (0..PEOPLE)
        .map(|n| {
            let union_id = UnionId::parse(&format!("bench{n:0>20}iEiE"))?;
            let identity = Identity { org: OrgName::default_name(), union_id };
            Ok(Enrolment { identity, name: format!("Person {n}"), groups: Vec::new() })
        })
        .collect()
}
