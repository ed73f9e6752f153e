//! One request that somebody watches: what went out, what came back.
//!
//! Guards: it is the very request that a delivery would be, sent over the same client to the same checked address; no
//! secret and no URL is in what is shown. Deliberately not here: what follows from it (`tasks`).

use reqwest::Request;
use reqwest::header::HeaderMap;

use super::{Message, Sender, Sent};
use crate::webhook::answer::{self, Answer};

/// What stands for a header's value that may be a secret.
const HIDDEN: &str = "(hidden)";

/// A request and its answer.
#[derive(Debug)]
pub struct Trial {
    /// The headers that went out, by name; empty when nothing could be sent.
    pub headers: Vec<(String, String)>,
    /// The bytes of the body that went out.
    pub body: Vec<u8>,
    /// What came back. `excerpt` holds the start of the body here also when it was accepted.
    pub answer: Answer,
}

impl Sender {
    /// Sends once, as a delivery is sent, and reads the answer's body whatever it says.
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
            let Sent { mut answer, leftover } = inner.exchange(request, &bodies).await;
            if let Some(mut leftover) = leftover {
                let (bytes, whole) = answer::read_body(&mut leftover.response).await;
                let told = inner.redacted(&String::from_utf8_lossy(&bytes), &inner.url, &bodies);
                answer.excerpt = answer::printable(told.as_bytes());
                if whole {
                    leftover.give_back();
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
