//! The contacts calls of the legacy host: finds people's unionIds and userids.
//!
//! Guards: the legacy host answers failures with HTTP 200, wraps token errors (`errcode` 88 with a `sub_code`) and writes
//! numbers as text. All of that is understood, and nothing else counts as an answer. These calls do not count against the
//! month. Not here: meetings (`client`, `meetings`), printing (`cli`).
//!
//! Sources: DingTalk's pages "query user details" (`/topapi/v2/user/get`), "query a user by unionid", "query a user by
//! phone number", "list the members of a department" and "list sub-departments"; the table of global error codes.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::{Value, json};

use super::classify;
use super::client::Client;
use super::encoding::percent_encoded;
use super::error::{CallError, Verdict, class};
use super::token::Token;
use super::transport::{Exchange, client_error};
use crate::ids::UnionId;

/// The largest body, in bytes. A page of members has at most about 100 kB.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Members per page; the API allows no more.
const PAGE: u32 = 100;
/// The most departments or pages in one walk, so that it always ends. No organisation has as many.
const MOST_CALLS: usize = 10_000;

/// A person in the contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The id for calls about meetings; missing for people without a DingTalk account of their own.
    pub union_id: Option<String>,
    /// The id within the organisation.
    pub userid: String,
    /// The name that the organisation gave the person.
    pub name: String,
}

impl Client {
    /// `POST /topapi/v2/user/get`. `None` if the userid does not exist.
    pub async fn contact(&self, userid: &str) -> Result<Option<Contact>, CallError> {
        let found = self.legacy("/topapi/v2/user/get", &json!({ "userid": userid })).await;
        optional(found)?.map(|result| contact(&result)).transpose()
    }

    /// `POST /topapi/v2/user/getbymobile`. `None` if no member of the organisation has this number.
    pub async fn userid_by_mobile(&self, mobile: &str) -> Result<Option<String>, CallError> {
        let found = self.legacy("/topapi/v2/user/getbymobile", &json!({ "mobile": mobile })).await;
        optional(found)?
            .map(|result| text(&result, "userid").ok_or_else(|| missing_key("userid")))
            .transpose()
    }

    /// `POST /topapi/user/getbyunionid`. `None` if no member of the organisation has this unionId.
    pub async fn userid_of(&self, union_id: &UnionId) -> Result<Option<String>, CallError> {
        let found = self.legacy("/topapi/user/getbyunionid", &json!({ "unionid": union_id })).await;
        let Some(result) = optional(found)? else { return Ok(None) };
        // 1 is an external contact, which has another kind of id.
        if number(&result, "contact_type").is_some_and(|kind| kind != 0) {
            return Ok(None);
        }
        let userid = text(&result, "userid").filter(|id| !id.is_empty());
        userid.map(Some).ok_or_else(|| missing_key("userid"))
    }

    /// The direct members of a department, `POST /topapi/v2/user/list`, all pages. The root department is 1.
    pub async fn members(&self, department: u64) -> Result<Vec<Contact>, CallError> {
        let (mut members, mut cursor) = (Vec::new(), 0_u64);
        for _ in 0..MOST_CALLS {
            let query = json!({ "dept_id": department, "cursor": cursor, "size": PAGE });
            let result = self.legacy("/topapi/v2/user/list", &query).await?;
            let list = result.get("list").and_then(Value::as_array).ok_or_else(|| missing_key("list"))?;
            for one in list {
                members.push(contact(one)?);
            }
            let more = result.get("has_more").is_some_and(is_true);
            match number(&result, "next_cursor").filter(|next| more && *next > cursor) {
                Some(next) => cursor = next,
                None => return Ok(members),
            }
        }
        Ok(members)
    }

    /// A department and all departments below it, one `POST /topapi/v2/department/listsubid` for each.
    pub async fn departments_below(&self, department: u64) -> Result<Vec<u64>, CallError> {
        let mut found = vec![department];
        let mut next = 0;
        while let Some(&at) = found.get(next).filter(|_| next < MOST_CALLS) {
            next += 1;
            let result = self.legacy("/topapi/v2/department/listsubid", &json!({ "dept_id": at })).await?;
            let below = result
                .get("dept_id_list")
                .and_then(Value::as_array)
                .ok_or_else(|| missing_key("dept_id_list"))?;
            for id in below.iter().filter_map(as_number) {
                if !found.contains(&id) {
                    found.push(id);
                }
            }
        }
        Ok(found)
    }

    /// Makes one call, with the token in the query.
    async fn legacy(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let inner = &*self.inner;
        let request = |token: &Token| legacy_request(&inner.legacy_base, path, token, body);
        let read = |answer: &Exchange| {
            if answer.status == 200
                && let Ok(json) = serde_json::from_slice::<Value>(&answer.body)
                && number(&json, "errcode") == Some(0)
            {
                return Ok(json.get("result").cloned().unwrap_or_default());
            }
            Err(refusal(classify::failure(&answer.reply(inner.clock.now()))))
        };
        let result = self.with_token(MAX_BODY_BYTES, request, read).await;
        result.map(|(result, _)| result).map_err(uncharged)
    }
}

fn legacy_request(base: &str, path: &str, token: &Token, body: &Value) -> Result<Request, CallError> {
    let header = token.header();
    let url = format!("{base}{path}?access_token={}", percent_encoded(header.to_str().unwrap_or_default()));
    let url = Url::parse(&url).map_err(|_| {
        let text = "legacy_base is not usable".to_owned();
        client_error(class::MISCONFIGURED, text, Verdict::Misconfigured, false, None)
    })?;
    let mut request = Request::new(Method::POST, url);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = Some(body.to_string().into());
    Ok(request)
}

/// Interprets the codes that only the contacts calls have.
fn refusal(mut error: CallError) -> CallError {
    let code = error.code.as_deref().unwrap_or_default().to_owned();
    let (class, verdict, text) = match &*code {
        "33012" | "60121" | "60104" => {
            (class::UNKNOWN_USER, Verdict::UnknownUser, "the contacts do not know this person")
        }
        "50004" | "50002" => {
            (class::FORBIDDEN, Verdict::Forbidden, "this is outside of what the app may see of the contacts")
        }
        "60003" | "40009" => (class::UNKNOWN_USER, Verdict::UnknownUser, "there is no such department"),
        "400002" | "40035" => (class::REFUSED, Verdict::UnknownUser, "the contacts refuse this parameter"),
        "33001" | "52010" | "40000" => {
            (class::CREDENTIALS, Verdict::Unauthorised, "the access token is refused")
        }
        _ => return error,
    };
    (error.class, error.verdict, error.text) = (class, verdict, text.to_owned());
    error
}

/// Contacts and token calls do not count against the month.
fn uncharged(mut error: CallError) -> CallError {
    error.charged = false;
    error.calls = 0;
    error
}

fn optional(found: Result<Value, CallError>) -> Result<Option<Value>, CallError> {
    match found {
        Ok(result) => Ok(Some(result)),
        Err(error) if error.class == class::UNKNOWN_USER => Ok(None),
        Err(error) => Err(error),
    }
}

fn contact(value: &Value) -> Result<Contact, CallError> {
    let userid = text(value, "userid").ok_or_else(|| missing_key("userid"))?;
    let name = text(value, "name").unwrap_or_else(|| userid.clone());
    Ok(Contact { union_id: text(value, "unionid").filter(|id| !id.is_empty()), userid, name })
}

fn missing_key(key: &str) -> CallError {
    let text = format!("the answer of the contacts has no `{key}`");
    client_error(class::MALFORMED, text, Verdict::Outage, false, Some(200))
}

fn text(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(value: &Value, key: &str) -> Option<u64> {
    as_number(value.get(key)?)
}

fn as_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or(false) || value.as_str() == Some("true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn failure(body: &str) -> CallError {
        let now = Timestamp::from_ms(0);
        let reply =
            classify::Reply { status: 200, request_id: None, retry_after: None, body: body.as_bytes(), now };
        refusal(uncharged(classify::failure(&reply)))
    }

    #[test]
    fn failures_that_come_as_200_are_distinguished_and_free() {
        for (body, class, verdict) in [
            (r#"{"errcode":60121,"errmsg":"x"}"#, class::UNKNOWN_USER, Verdict::UnknownUser),
            (r#"{"errcode":"33012","errmsg":"x"}"#, class::UNKNOWN_USER, Verdict::UnknownUser),
            (r#"{"errcode":50004,"errmsg":"x"}"#, class::FORBIDDEN, Verdict::Forbidden),
            (r#"{"errcode":60011,"errmsg":"x"}"#, class::FORBIDDEN, Verdict::Forbidden),
            (r#"{"errcode":60020,"errmsg":"x"}"#, class::IP_NOT_ALLOWED, Verdict::Forbidden),
            (
                r#"{"errcode":88,"sub_code":"40014","sub_msg":"x","errmsg":"ding talk error[subcode=40014]"}"#,
                class::UNAUTHORISED,
                Verdict::Unauthorised,
            ),
            (r#"{"errcode":88,"sub_code":"40000","errmsg":"x"}"#, class::CREDENTIALS, Verdict::Unauthorised),
        ] {
            let error = failure(body);
            assert_eq!((error.class, error.verdict, error.calls), (class, verdict, 0), "{body}");
        }
        let busy = failure(r#"{"errcode":88,"sub_code":"90018","errmsg":"x"}"#);
        assert!(matches!(busy.verdict, Verdict::Throttled { .. }));
    }

    #[test]
    fn numbers_may_be_text() {
        let value = json!({ "a": "12", "b": 12, "c": "x" });
        assert_eq!(
            (number(&value, "a"), number(&value, "b"), number(&value, "c")),
            (Some(12), Some(12), None)
        );
        assert!(is_true(&json!(true)) && is_true(&json!("true")) && !is_true(&json!("false")));
        let one = contact(&json!({ "userid": "u1", "name": "Li Wei", "unionid": "" })).expect("a contact");
        assert_eq!(one.union_id, None);
    }
}
