//! The bare loop: what reqwest and serde cost when nothing else is done. The measure of all ratios.
//!
//! Guards: it makes the same calls as the daemon, at the same concurrency, and parses every answer. Deliberately not
//! here: time-outs, classification, a memory of what was seen, a store.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use reqwest::Client;
use serde::Deserialize;
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::{Answers, Load};

/// The answer, as far as the daemon reads it too.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lists {
    on_going_conf_id_list: Vec<String>,
    member_model_map: HashMap<String, Member>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
struct Member {
    union_id: String,
    conference_id: String,
    user_nick: String,
    join_time: i64,
    leave_time: i64,
    attend_status: i64,
    host: bool,
    co_host: bool,
    outer_org_member: bool,
    pstn_join: bool,
    device_type: String,
}

/// Runs until killed.
pub(crate) fn run(base_url: &str, load: &Load) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let caller = Rc::new(Caller::new(base_url, load)?);
    let load = load.clone();
    LocalSet::new().block_on(&runtime, async move {
        match load.rate {
            None => flat_out(&caller, load.concurrency).await,
            Some(rate) => paced(&caller, load.concurrency, rate).await,
        }
    })
}

/// Each of `concurrency` workers asks again as soon as it has its answer.
async fn flat_out(caller: &Rc<Caller>, concurrency: usize) -> Result<()> {
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        let caller = Rc::clone(caller);
        workers.spawn_local(async move {
            loop {
                caller.call().await?;
            }
        });
    }
    match workers.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

/// Calls start at an even rate.
async fn paced(caller: &Rc<Caller>, concurrency: usize, rate: u32) -> Result<()> {
    let permits = Arc::new(Semaphore::new(concurrency));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut calls = JoinSet::<Result<()>>::new();
    loop {
        ticks.tick().await;
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let caller = Rc::clone(caller);
        calls.spawn_local(async move {
            let _held_until_answered = permit;
            caller.call().await
        });
        while let Some(ended) = calls.try_join_next() {
            ended??;
        }
    }
}

struct Caller {
    client: Client,
    urls: Vec<String>,
    hook: Option<String>,
    next: Cell<usize>,
    body: String,
}

impl Caller {
    fn new(base_url: &str, load: &Load) -> Result<Self> {
        // Making one of the project's clients installs the TLS provider that reqwest asks for, even for plain http.
        let _installed = presenced::net::http_client(&presenced::net::ClientOptions {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            idle_per_host: load.concurrency,
            proxy: None,
            extra_roots_pem: None,
        })?;
        let client = Client::builder().no_proxy().build()?;
        let urls = (0..load.users)
            .map(|user| {
                format!("{base_url}/v1.0/conference/users/lists?unionId={}", crate::daemon::union_id(user))
            })
            .collect();
        let hook = (load.answers == Answers::Changing).then(|| format!("{base_url}/hook"));
        // As long as an event's body.
        Ok(Self { client, urls, hook, next: Cell::new(0), body: "x".repeat(1_161) })
    }

    /// One poll, and one signed post where answers change.
    async fn call(&self) -> Result<()> {
        let turn = self.next.get();
        self.next.set((turn + 1) % self.urls.len());
        let request = self.client.get(&self.urls[turn]).header("x-acs-dingtalk-access-token", "bench-token");
        let bytes = request.send().await?.bytes().await?;
        let lists: Lists = serde_json::from_slice(&bytes)?;
        std::hint::black_box(lists);
        if let Some(hook) = &self.hook {
            let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("HMAC takes a key of any length");
            mac.update(b"evt_4q7m2x9c1v8b3n6k0w5z2t7y1r.1699347312.");
            mac.update(self.body.as_bytes());
            let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
            let post = self.client.post(hook).header("webhook-id", "evt_4q7m2x9c1v8b3n6k0w5z2t7y1r");
            let post = post.header("webhook-timestamp", "1699347312").header("webhook-signature", signature);
            post.body(self.body.clone()).send().await?.error_for_status()?;
        }
        Ok(())
    }
}
