//! The bare loop: what reqwest and the signature cost when nothing else is done. The measure of the ratios.
//!
//! Guards: the same bytes, key and headers as the dispatcher's requests, at the same concurrency. Deliberately not
//! here: a store, outcomes, time-outs.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use reqwest::Client;
use sha2::Sha256;
use tokio::task::{JoinSet, LocalSet};

/// Posts until killed.
pub(crate) fn run(url: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Making one of the project's clients installs the TLS provider that reqwest asks for, even for plain http.
    let _installed = presenced::net::http_client(&presenced::net::ClientOptions {
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(15),
        idle_per_host: crate::CONCURRENCY,
        proxy: None,
        extra_roots_pem: None,
    })?;
    let client = Client::builder().no_proxy().build()?;
    let body = Rc::new(crate::backlog::body());
    LocalSet::new().block_on(&runtime, async move {
        let mut workers = JoinSet::<Result<()>>::new();
        for worker in 0..crate::CONCURRENCY {
            let (client, url, body) = (client.clone(), url.to_owned(), Rc::clone(&body));
            workers.spawn_local(async move {
                for n in 0_u64.. {
                    post(&client, &url, &format!("evt_{worker:0>6}{n:0>20}"), &body).await?;
                }
                Ok(())
            });
        }
        match workers.join_next().await {
            Some(ended) => ended?,
            None => Ok(()),
        }
    })
}

async fn post(client: &Client, url: &str, id: &str, body: &str) -> Result<()> {
    let timestamp = SystemTime::UNIX_EPOCH.elapsed()?.as_secs().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("HMAC takes a key of any length");
    for part in [id, ".", &timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let post = client.post(url).header("content-type", "application/json").header("webhook-id", id);
    let post = post.header("webhook-timestamp", timestamp).header("webhook-signature", signature);
    post.body(body.to_owned()).send().await?.error_for_status()?;
    Ok(())
}
