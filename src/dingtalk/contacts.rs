//! Finding people's unionIds and userids: the contacts calls of the legacy host.
//!
//! Guards: that host answers failures with HTTP 200, wraps those of the token (`errcode` 88 with a `sub_code`), and its
//! pages write numbers as text: all of that is understood, and nothing else is taken for an answer. These calls are
//! exempt from the month. Deliberately not here: the meetings (`client`), printing (`cli`).
//!
//! Sources: DingTalk's pages "query user details" (`/topapi/v2/user/get`), "query a user by unionid", "query a user by
//! phone number", "list the members of a department" and "list sub-departments"; the table of global error codes.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::{Value, json};

use super::classify;
use super::client::{Client, percent_encode};
use super::error::{CallError, Verdict, class};
use super::token::Token;
use super::transport::{exchange, failed};
use crate::ids::UnionId;

/// A page of members is some 100 kB at most.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Members in one answer; the most the page allows.
const PAGE: u32 = 100;
/// Departments and pages in one walk: more than any organisation has, but an end.
const MOST_CALLS: usize = 10_000;

/// Somebody in the contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// What meetings are asked by; missing for people without a DingTalk account of their own.
    pub union_id: Option<String>,
    /// What the contacts know them by.
    pub userid: String,
    /// As the organisation writes it.
    pub name: String,
}

impl Client {
    /// `POST /topapi/v2/user/get`. `None`: there is nobody with this userid.
    pub async fn contact(&self, userid: &str) -> Result<Option<Contact>, CallError> {
        let found = self.legacy("/topapi/v2/user/get", &json!({ "userid": userid })).await;
        somebody(found)?.map(|result| contact(&result)).transpose()
    }

    /// `POST /topapi/v2/user/getbymobile`. `None`: nobody of the organisation has this number.
    pub async fn userid_by_mobile(&self, mobile: &str) -> Result<Option<String>, CallError> {
        let found = self.legacy("/topapi/v2/user/getbymobile", &json!({ "mobile": mobile })).await;
        somebody(found)?.map(|result| text(&result, "userid").ok_or_else(|| odd("userid"))).transpose()
    }

    /// `POST /topapi/user/getbyunionid`. `None`: nobody of the organisation's own people has this unionId.
    pub async fn userid_of(&self, union_id: &UnionId) -> Result<Option<String>, CallError> {
        let found = self.legacy("/topapi/user/getbyunionid", &json!({ "unionid": union_id })).await;
        let Some(result) = somebody(found)? else { return Ok(None) };
        // 1: somebody outside whom the organisation has as a contact; that is another kind of id.
        if number(&result, "contact_type").is_some_and(|kind| kind != 0) {
            return Ok(None);
        }
        let userid = text(&result, "userid").filter(|id| !id.is_empty());
        userid.map(Some).ok_or_else(|| odd("userid"))
    }

    /// The direct members of a department, `POST /topapi/v2/user/list`, all pages. The root is 1.
    pub async fn members(&self, department: u64) -> Result<Vec<Contact>, CallError> {
        let (mut members, mut cursor) = (Vec::new(), 0_u64);
        for _ in 0..MOST_CALLS {
            let query = json!({ "dept_id": department, "cursor": cursor, "size": PAGE });
            let result = self.legacy("/topapi/v2/user/list", &query).await?;
            let list = result.get("list").and_then(Value::as_array).ok_or_else(|| odd("list"))?;
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

    /// A department and all below it, `POST /topapi/v2/department/listsubid` for each.
    pub async fn departments_below(&self, department: u64) -> Result<Vec<u64>, CallError> {
        let mut found = vec![department];
        let mut next = 0;
        while let Some(&at) = found.get(next).filter(|_| next < MOST_CALLS) {
            next += 1;
            let result = self.legacy("/topapi/v2/department/listsubid", &json!({ "dept_id": at })).await?;
            let below =
                result.get("dept_id_list").and_then(Value::as_array).ok_or_else(|| odd("dept_id_list"))?;
            for id in below.iter().filter_map(as_number) {
                if !found.contains(&id) {
                    found.push(id);
                }
            }
        }
        Ok(found)
    }

    /// One call with its token in the query; a token that is refused is replaced and the call repeated once.
    async fn legacy(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let token = self.inner.tokens.current().await.map_err(free)?;
        match self.ask_legacy(&token, path, body).await {
            Err(error) if error.verdict == Verdict::Unauthorised => {
                let token = self.inner.tokens.instead_of(&token).await.map_err(free)?;
                self.ask_legacy(&token, path, body).await
            }
            other => other,
        }
    }

    async fn ask_legacy(&self, token: &Token, path: &str, body: &Value) -> Result<Value, CallError> {
        let inner = &*self.inner;
        let mut url = format!("{}{path}?access_token=", inner.legacy_base);
        percent_encode(token.header().to_str().unwrap_or_default(), &mut url);
        let url = Url::parse(&url).map_err(|_| {
            let text = "legacy_base is not usable".to_owned();
            failed(class::MISCONFIGURED, text, Verdict::Misconfigured, false, None)
        })?;
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.to_string().into());
        let answer = exchange(&inner.http, request, MAX_BODY_BYTES).await.map_err(free)?;
        let reply = answer.reply(inner.clock.now());
        if answer.status == 200
            && let Ok(json) = serde_json::from_slice::<Value>(&answer.body)
            && number(&json, "errcode") == Some(0)
        {
            token.accept();
            return Ok(json.get("result").cloned().unwrap_or_default());
        }
        Err(answer.redacted(refusal(free(classify::failure(&reply)))))
    }
}

/// Codes of the contacts calls that the new host does not have.
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

/// Contacts and token calls are exempt from the month.
fn free(mut error: CallError) -> CallError {
    error.charged = false;
    error.calls = 0;
    error
}

fn somebody(found: Result<Value, CallError>) -> Result<Option<Value>, CallError> {
    match found {
        Ok(result) => Ok(Some(result)),
        Err(error) if error.class == class::UNKNOWN_USER => Ok(None),
        Err(error) => Err(error),
    }
}

fn contact(value: &Value) -> Result<Contact, CallError> {
    let userid = text(value, "userid").ok_or_else(|| odd("userid"))?;
    let name = text(value, "name").unwrap_or_else(|| userid.clone());
    Ok(Contact { union_id: text(value, "unionid").filter(|id| !id.is_empty()), userid, name })
}

fn odd(key: &str) -> CallError {
    let text = format!("the answer of the contacts has no `{key}`");
    failed(class::MALFORMED, text, Verdict::Outage, false, Some(200))
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
        refusal(free(classify::failure(&reply)))
    }

    #[test]
    fn failures_that_come_as_200_are_told_apart_and_free() {
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
