//! The store and the dispatcher as the daemon has them, working off what waits.
//!
//! Guards: nothing of the path is replaced: claim, sign, POST, finish. Deliberately not here: polling, recording.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use presenced::clock::SystemClock;
use presenced::ids::WebhookName;
use presenced::policy::delivery::Rules;
use presenced::secret::Secret;
use presenced::signature::SigningKey;
use presenced::store::Store;
use presenced::tasks::dispatcher::{Dispatcher, Target};
use presenced::webhook::address::NetworkPolicy;
use presenced::webhook::format::BodyFormat;
use presenced::webhook::send::{Destination, Sender};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backlog;
use crate::machine::Usage;

/// High enough never to be the limit.
const NO_LIMIT: u32 = 1_000_000;

/// A webhook with the daemon's defaults but for its speed.
pub(crate) fn target(name: &str, url: &str, concurrency: usize) -> Result<Target> {
    let timeout = Duration::from_secs(15);
    let destination = Destination {
        webhook: WebhookName::parse(name)?,
        url: Secret::new(url),
        format: BodyFormat::Standard,
        keys: vec![SigningKey::parse("whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")?],
        headers: Vec::new(),
        timeout,
        connect_timeout: Duration::from_secs(5),
        concurrency,
        network: NetworkPolicy::default(),
        proxy: None,
        ca_file: None,
        confidential: presenced::confidential::SharedConfidential::default(),
    };
    Ok(Target {
        name: destination.webhook.clone(),
        sender: Sender::new(destination, Arc::new(SystemClock))?,
        rules: Rules { max_age: Some(Duration::from_hours(7 * 24)), ..Rules::default() },
        concurrency: u32::try_from(concurrency)?,
        rate: NO_LIMIT,
        timeout,
    })
}

/// The daemon's: one thread beside SQLite's.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

pub(crate) fn dispatcher(store: &Store, targets: Vec<Target>, wake: &Arc<Notify>) -> Dispatcher {
    Dispatcher::new(store.clone(), targets, Arc::new(SystemClock), Arc::clone(wake))
}

/// Delivers until killed.
pub(crate) fn work_off(folder: &Path, url: &str) -> Result<()> {
    runtime()?.block_on(async {
        let store = Store::open(&backlog::file(folder), chrono_tz::UTC, Arc::new(SystemClock)).await?;
        let targets = vec![target(backlog::WEBHOOK, url, crate::CONCURRENCY)?];
        let dispatcher = dispatcher(&store, targets, &Arc::new(Notify::new()));
        Ok(dispatcher.run(CancellationToken::new()).await?)
    })
}

/// Delivers what is there, makes it wait again, and so on; prints deliveries, seconds and CPU seconds of the delivering.
pub(crate) fn refill(folder: &Path, url: &str, window: Duration) -> Result<()> {
    runtime()?.block_on(async {
        let store = Store::open(&backlog::file(folder), chrono_tz::UTC, Arc::new(SystemClock)).await?;
        let targets = vec![target(backlog::WEBHOOK, url, crate::CONCURRENCY)?];
        let mut dispatcher = dispatcher(&store, targets, &Arc::new(Notify::new()));
        let mut hand = backlog::connect(folder).await?;
        let me = std::process::id();
        // Opens connections and fills caches; not counted.
        dispatcher.settle().await;
        let (mut deliveries, mut wall, mut cpu) = (0, Duration::ZERO, 0.0);
        while wall < window {
            let rows = backlog::again(&mut hand).await?;
            let (began, from) = (std::time::Instant::now(), Usage::of(me)?);
            if dispatcher.settle().await.is_some() {
                bail!("the receiver did not take everything");
            }
            cpu += Usage::of(me)?.cpu_seconds_since(&from);
            wall += began.elapsed();
            deliveries += rows;
        }
        let rss_bytes = Usage::of(me)?.rss_bytes;
        println!("{deliveries} {} {cpu} {rss_bytes}", wall.as_secs_f64());
        store.close().await?;
        Ok(())
    })
}
