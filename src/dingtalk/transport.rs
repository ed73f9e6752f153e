//! One HTTP exchange: sends a request and reads the whole body within a limit, or returns why it failed.
//!
//! Guards: a body is read to its end also on errors, because the connection could not be used again otherwise, and never
//! past its limit. An error text holds neither the URL nor what the answer repeats of the request (token, secret, id).
//! Not here: what the answer means (`classify`).

use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::Value;

use super::classify::Reply;
use super::error::{CallError, Verdict, class};
use crate::confidential::{Confidential, SharedConfidential, redacted};
use crate::net;
use crate::time::Timestamp;

/// The header that carries the token of a call.
pub(super) static TOKEN_HEADER: HeaderName = HeaderName::from_static("x-acs-dingtalk-access-token");

static REQUEST_ID: HeaderName = HeaderName::from_static("x-acs-request-id");

/// A complete answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Values of the request that must not appear in an error.
    sent: Vec<String>,
}

impl Exchange {
    /// The error without what is confidential: the values of the request, and what the config holds.
    pub(super) fn redacted(&self, mut error: CallError, known: &SharedConfidential) -> CallError {
        let mut sent = Confidential::default();
        for value in &self.sent {
            sent.add_escaped(value);
        }
        let known = known.get();
        let sets = [&sent, &*known];
        if let Some(text) = redacted(&error.text, &sets) {
            error.text = text;
        }
        error.code = error.code.filter(|code| redacted(code, &sets).is_none());
        error.request_id = error.request_id.filter(|id| redacted(id, &sets).is_none());
        error
    }

    /// The answer in the form that `classify` reads.
    pub(super) fn reply(&self, now: Timestamp) -> Reply<'_> {
        let text = |name: &HeaderName| self.headers.get(name).and_then(|value| value.to_str().ok());
        Reply {
            status: self.status,
            request_id: text(&REQUEST_ID),
            retry_after: text(&RETRY_AFTER),
            body: &self.body,
            now,
        }
    }
}

/// Sends a request and reads at most `most` bytes of body. A larger body is an error and closes the connection.
pub(super) async fn exchange(
    http: &reqwest::Client,
    request: reqwest::Request,
    most: usize,
) -> Result<Exchange, CallError> {
    let sent = values(&request);
    let mut response = http.execute(request).await.map_err(|error| transport_error(error, None))?;
    let status = response.status().as_u16();
    let announced = response.content_length().unwrap_or(0);
    // A wrong length must not allocate that much memory.
    if announced > most as u64 {
        return Err(oversized(status, most));
    }
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(16 * 1024));
    while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(error, Some(status)))? {
        if body.len() + chunk.len() > most {
            return Err(oversized(status, most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Exchange { status, headers: std::mem::take(response.headers_mut()), body, sent })
}

/// Tokens, secrets and ids of a request: the values of its query, of the token header and of its JSON body.
fn values(request: &reqwest::Request) -> Vec<String> {
    let query = request.url().query_pairs().map(|(_, value)| value.into_owned());
    let token = request.headers().get(&TOKEN_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut all: Vec<String> = query.chain(token).collect();
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    texts(serde_json::from_slice(body).unwrap_or_default(), &mut all);
    all
}

/// All texts in a JSON value.
fn texts(value: Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text),
        Value::Array(values) => values.into_iter().for_each(|value| texts(value, all)),
        Value::Object(values) => values.into_iter().for_each(|(_, value)| texts(value, all)),
        _ => {}
    }
}

fn oversized(status: u16, most: usize) -> CallError {
    let text = format!("the body is over {most} bytes");
    client_error(class::OVERSIZED, text, Verdict::Outage, true, Some(status))
}

/// The error for a failed exchange. The call counts against the month unless the request was certainly not sent.
fn transport_error(error: reqwest::Error, status: Option<u16>) -> CallError {
    let unsent = error.is_connect() || error.is_builder();
    let class = match (unsent, error.is_timeout()) {
        (true, false) => class::UNREACHABLE,
        (_, true) => class::TIMEOUT,
        (false, false) => class::BROKEN,
    };
    client_error(class, net::describe(error), Verdict::Unreachable, !unsent, status)
}

/// An error without an answer from DingTalk.
pub(super) fn client_error(
    class: &'static str,
    text: String,
    verdict: Verdict,
    charged: bool,
    status: Option<u16>,
) -> CallError {
    CallError {
        class,
        text,
        code: None,
        request_id: None,
        status,
        retry_after: None,
        charged,
        calls: u32::from(charged),
        verdict,
    }
}
