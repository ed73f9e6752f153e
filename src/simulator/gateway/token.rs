//! The three token calls: of an internal app, of a third-party app for one organisation, and the unified one.
//!
//! Guards: each refuses with the codes and in the order of the real host. The unified call answers an unknown organisation
//! as if the host had a failure of its own. Not here: how long a token is valid (`tokens`).

use axum::http::{HeaderMap, header};
use serde_json::Value;

use crate::simulator::calls::Call;
use crate::simulator::faults::Answer;
use crate::simulator::json::Object;
use crate::simulator::options::CorpToken;
use crate::simulator::state::Shared;
use crate::simulator::tokens::TokenKind;

/// One token call.
struct Request<'a> {
    shared: &'a Shared,
    sent: Value,
    id: &'a str,
}

/// Answers a token call.
pub(in crate::simulator) fn answer(
    shared: &Shared,
    call: &Call,
    headers: &HeaderMap,
    body: &[u8],
    request_id: &str,
) -> Answer {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"));
    let Some(sent) = serde_json::from_slice(body).ok().filter(|_| is_json) else {
        return refuse(shared, request_id, 400, "Missingbody", "the body is mandatory");
    };
    let request = Request { shared, sent, id: request_id };
    match call {
        Call::CorpAccessToken => request.of_third_party_app(),
        Call::UnifiedToken { corp_id } => request.unified(corp_id),
        _ => request.of_internal_app(),
    }
}

impl Request<'_> {
    fn of_internal_app(&self) -> Answer {
        let key = self.field("appKey");
        if !self.accepts(key, self.field("appSecret")) {
            return self.refuse(400, "invalidClientIdOrSecret", "client id or secret is not valid");
        }
        self.issue(key, TokenKind::Internal, ["accessToken", "expireIn"])
    }

    fn of_third_party_app(&self) -> Answer {
        let (key, ticket) = (self.field("suiteKey"), self.field("suiteTicket"));
        // The newest one that was pushed voids the scenario's.
        let pushed = self.shared.push().suite_ticket(key).map(str::to_owned);
        let of_scenario = || self.shared.app(key).and_then(|app| app.suite_ticket.clone());
        let wanted = pushed.or_else(of_scenario);
        if !self.accepts(key, self.field("suiteSecret")) {
            return self.refuse(400, "invalidSuiteKey", "the suite key is not valid");
        }
        if ticket.is_empty() || wanted.is_some_and(|wanted| wanted != ticket) {
            return self.refuse(400, "invalidSuiteTicket", "the suite ticket is not valid");
        }
        if !self.in_corp(key, self.field("authCorpId")) {
            return self.refuse(400, "invalidAuthInfo", "the organisation has not authorised this app");
        }
        self.issue(key, self.corp_kind(), ["accessToken", "expireIn"])
    }

    fn unified(&self, corp_id: &str) -> Answer {
        let key = self.field("client_id");
        if self.field("grant_type") != "client_credentials" {
            return self.refuse(400, "unsupported.grant.type", "the grant type is not supported");
        }
        if !self.in_corp(key, corp_id) {
            // The real host reports an unknown organisation as a failure of its own.
            return self.refuse(500, "unknownError", "unknown error");
        }
        if !self.accepts(key, self.field("client_secret")) {
            return self.refuse(400, "invalid.client", "client id or secret is not valid");
        }
        self.issue(key, self.corp_kind(), ["access_token", "expires_in"])
    }

    fn field(&self, name: &str) -> &str {
        self.sent.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn accepts(&self, key: &str, secret: &str) -> bool {
        let known =
            self.shared.apps.is_empty() || self.shared.app(key).is_some_and(|app| app.secret == secret);
        known && !key.is_empty() && !secret.is_empty()
    }

    fn in_corp(&self, key: &str, corp: &str) -> bool {
        let of_app = self.shared.app(key).and_then(|app| app.corp_id.as_deref());
        !corp.is_empty() && of_app.is_none_or(|of_app| of_app == corp)
    }

    /// How a token for one organisation is issued; the documents leave it open.
    fn corp_kind(&self) -> TokenKind {
        match self.shared.options().corp_token {
            CorpToken::New => TokenKind::Fresh,
            CorpToken::Same => TokenKind::Internal,
            CorpToken::Replaces => TokenKind::Only,
        }
    }

    fn refuse(&self, status: u16, code: &str, message: &str) -> Answer {
        refuse(self.shared, self.id, status, code, message)
    }

    fn issue(&self, app: &str, kind: TokenKind, names: [&str; 2]) -> Answer {
        let seconds = self.shared.limits.token_seconds;
        let token = self.shared.tokens().issue(app, kind, self.shared.clock.now(), seconds);
        self.shared.count(|counters| counters.counts.tokens += 1);
        Answer::json(200, Object::new().text(names[0], &token).number(names[1], i64::from(seconds)).end())
    }
}

fn refuse(shared: &Shared, request_id: &str, status: u16, code: &str, message: &str) -> Answer {
    shared.count(|counters| counters.refused(code));
    Answer::refusal(status, code, message, request_id)
}
