//! Sends one test request and returns what was sent and what was answered.
//!
//! Guards: the request is the same as for a delivery, sent with the same client to the same checked address. The result
//! shows no secret and no URL. Not here: what follows from it (`tasks`).

use reqwest::Request;
use reqwest::header::HeaderMap;

use super::{Message, Sender, Sent};
use crate::webhook::answer::{self, Answer};

/// Replaces a header's value that may be a secret.
const HIDDEN: &str = "(hidden)";

/// A request and its answer.
#[derive(Debug)]
pub struct Trial {
    /// The headers that were sent; empty if nothing could be sent.
    pub headers: Vec<(String, String)>,
    /// The body that was sent.
    pub body: Vec<u8>,
    /// The answer. Here `excerpt` holds the start of the body also if the request was accepted.
    pub answer: Answer,
}

impl Sender {
    /// Sends once, as for a delivery, and reads the answer's body in every case.
    pub async fn try_out(&self, message: Message) -> Trial {
        let inner = &*self.inner;
        let body = message.body.clone();
        let bodies = [body.clone()];
        if let Some(forbidden) = inner.forbidden {
            return Trial { headers: Vec::new(), body, answer: Answer::missing(forbidden.to_string()) };
        }
        let request = match inner.request(vec![message]) {
            Ok(request) => request,
            Err(answer) => return Trial { headers: Vec::new(), body, answer },
        };
        let (headers, body) = shown(&request);
        let exchange = async {
            let Sent { mut answer, unread_body } = inner.exchange(request, &bodies).await;
            if let Some(mut unread_body) = unread_body {
                let (bytes, whole) = answer::read_body(&mut unread_body.response).await;
                let redacted = inner.redacted(&String::from_utf8_lossy(&bytes), &inner.url, &bodies);
                answer.excerpt = answer::printable(redacted.as_bytes());
                if whole {
                    unread_body.release_connection();
                }
            }
            answer
        };
        let answer = tokio::time::timeout(inner.timeout, exchange).await;
        let answer = answer.unwrap_or_else(|_| Answer::late(inner.timeout));
        Trial { headers, body, answer }
    }
}

fn shown(request: &Request) -> (Vec<(String, String)>, Vec<u8>) {
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec();
    (listed(request.headers()), body)
}

fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    let value = |value: &reqwest::header::HeaderValue| match value.to_str() {
        Ok(text) if !value.is_sensitive() => text.to_owned(),
        _ => HIDDEN.to_owned(),
    };
    headers.iter().map(|(name, text)| (name.to_string(), value(text))).collect()
}
