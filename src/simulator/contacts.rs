//! The contacts calls of the legacy host: people by userid, mobile number and department.
//!
//! Guards: failures also have HTTP 200, the token is in the query, token failures are wrapped, members come in pages, and no
//! call counts for the month. All people of the scenario are in the contacts, as `user0`, `user1`, ... in the file's order,
//! with the mobile numbers 13800000000, 13800000001, ... The departments below the root (1) are 2 and 3; people belong to
//! them alternately. Not here: the other calls of that host.

use axum::http::request::Parts;

use super::faults::{Answer, Fault, FaultKind, replacement};
use super::http::{form_field, parameter};
use super::json::{Object, array};
use super::state::Shared;
use super::types::Person;

const GET: &str = "/topapi/v2/user/get";
const BY_UNION_ID: &str = "/topapi/user/getbyunionid";
const BY_MOBILE: &str = "/topapi/v2/user/getbymobile";
const MEMBERS: &str = "/topapi/v2/user/list";
const BELOW: &str = "/topapi/v2/department/listsubid";
/// The mobile number of the first person.
const MOBILE: u64 = 13_800_000_000;
/// The longest page, whatever the call asks for.
const LONGEST_PAGE: usize = 100;

/// Whether a path is one of these calls.
pub(super) fn is_contacts_path(path: &str) -> bool {
    [GET, BY_UNION_ID, BY_MOBILE, MEMBERS, BELOW].contains(&path)
}

/// The unionId that a call is about, if its body has one.
pub(super) fn about(body: &[u8]) -> Option<String> {
    field(body, "unionid")
}

/// Answers a call. `fault` is the fault that applies to it.
pub(super) fn answer(
    shared: &Shared,
    parts: &Parts,
    body: &[u8],
    request_id: &str,
    fault: Option<&Fault>,
) -> Answer {
    if let Some(faulty) = fault.and_then(|fault| faulty(fault, request_id)) {
        return faulty;
    }
    let token = parameter(parts.uri.query(), "access_token").unwrap_or_default();
    if shared.tokens().owner(&token, shared.clock.now()).is_none() {
        return without_token(shared, &token, request_id);
    }
    match result(shared.world.people(), parts.uri.path(), body) {
        Ok(result) => {
            let body = Object::new().number("errcode", 0).text("errmsg", "ok").raw("result", &result);
            Answer::json(200, body.text("request_id", request_id).end())
        }
        Err((code, message)) => failure(code, message, request_id),
    }
}

/// A failure, which this host sends with status 200.
fn failure(code: i64, message: &str, request_id: &str) -> Answer {
    let body = Object::new().number("errcode", code).text("errmsg", message).text("request_id", request_id);
    Answer::json(200, body.end())
}

/// The answer that a fault causes; `None` if it does not change the answer.
fn faulty(fault: &Fault, request_id: &str) -> Option<Answer> {
    match fault.kind {
        FaultKind::Permission => Some(failure(60011, "the app has no permission for this", request_id)),
        FaultKind::Errcode => {
            let code = fault.code.as_deref().and_then(|code| code.parse().ok()).unwrap_or(60121);
            Some(failure(code, "refused", request_id))
        }
        _ => replacement(fault, request_id),
    }
}

/// The refusal of an invalid token, which the gateway wraps.
fn without_token(shared: &Shared, token: &str, request_id: &str) -> Answer {
    let sub_code = if token.is_empty() { "40000" } else { "40014" };
    shared.count(|counters| counters.refused(sub_code));
    let sub_msg = "the access token is not valid";
    let body = Object::new()
        .number("errcode", 88)
        .text("sub_code", sub_code)
        .text("sub_msg", sub_msg)
        .text("errmsg", &format!("ding talk error[subcode={sub_code},submsg={sub_msg}]"))
        .text("request_id", request_id);
    Answer::json(200, body.end())
}

/// The result of a call, or code and message of its failure.
fn result(people: &[Person], path: &str, body: &[u8]) -> Result<String, (i64, &'static str)> {
    const NO_USER: (i64, &str) = (60121, "there is no such user");
    const NO_DEPARTMENT: (i64, &str) = (60003, "there is no such department");
    let field = |name: &str| field(body, name);
    let number = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok());
    match path {
        GET => {
            let index = field("userid").and_then(|id| id.strip_prefix("user")?.parse::<usize>().ok());
            let (index, person) = index.and_then(|index| Some((index, people.get(index)?))).ok_or(NO_USER)?;
            Ok(details(index, person))
        }
        BY_UNION_ID => {
            let union_id = field("unionid");
            let index = people.iter().position(|person| Some(&person.union_id) == union_id.as_ref());
            let index = index.ok_or(NO_USER)?;
            let result = Object::new().text("userid", &format!("user{index}"));
            Ok(result.number("contact_type", i64::from(people[index].external)).end())
        }
        BY_MOBILE => {
            let index = number("mobile").and_then(|number| number.checked_sub(MOBILE));
            let index = index.filter(|index| usize::try_from(*index).is_ok_and(|index| index < people.len()));
            Ok(Object::new().text("userid", &format!("user{}", index.ok_or(NO_USER)?)).end())
        }
        MEMBERS => {
            let department = number("dept_id").filter(|id| (1..=3).contains(id)).ok_or(NO_DEPARTMENT)?;
            let size_of = |name: &str| number(name).and_then(|number| usize::try_from(number).ok());
            let (cursor, size) = (size_of("cursor").unwrap_or(0), size_of("size").unwrap_or(10));
            Ok(page(people, department, cursor, size.clamp(1, LONGEST_PAGE)))
        }
        BELOW => match number("dept_id") {
            Some(1) => Ok(Object::new().raw("dept_id_list", "[2,3]").end()),
            Some(2 | 3) => Ok(Object::new().raw("dept_id_list", "[]").end()),
            _ => Err(NO_DEPARTMENT),
        },
        _ => Err((404, "there is no such API")),
    }
}

fn details(index: usize, person: &Person) -> String {
    Object::new()
        .text("userid", &format!("user{index}"))
        .text("unionid", &person.union_id)
        .text("name", &person.nick)
        .end()
}

/// One page of a department's members. The root has no direct members.
fn page(people: &[Person], department: u64, cursor: usize, size: usize) -> String {
    let members: Vec<(usize, &Person)> = people
        .iter()
        .enumerate()
        .filter(|(index, _)| u64::try_from(index % 2).is_ok_and(|rest| rest + 2 == department))
        .collect();
    let shown = members.iter().skip(cursor).take(size);
    let list = array(shown.map(|(index, person)| details(*index, person)));
    let next = cursor.saturating_add(size);
    let more = next < members.len();
    let result = Object::new().raw("list", &list).raw("has_more", if more { "true" } else { "false" });
    if more { result.raw("next_cursor", &next.to_string()).end() } else { result.end() }
}

/// A field of a JSON or a form body, as text.
fn field(body: &[u8], name: &str) -> Option<String> {
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        return match json.get(name)? {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
    }
    form_field(body, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(count: usize) -> Vec<Person> {
        let person = |n: usize| Person {
            union_id: format!("u{n}"),
            nick: "x".into(),
            device: "Win".into(),
            external: false,
            by_phone: false,
        };
        (0..count).map(person).collect()
    }

    #[test]
    fn members_come_in_pages_and_each_once() {
        let people = people(7);
        assert_eq!(page(&people, 2, 0, 3).matches("userid").count(), 3);
        assert!(page(&people, 2, 0, 3).contains(r#""next_cursor":3"#));
        assert_eq!(page(&people, 2, 3, 3).matches("userid").count(), 1);
        assert!(!page(&people, 2, 3, 3).contains("next_cursor"));
        assert_eq!(page(&people, 1, 0, 3).matches("userid").count(), 0);
    }

    #[test]
    fn a_body_is_json_or_a_form() {
        assert_eq!(field(br#"{"dept_id":2}"#, "dept_id").as_deref(), Some("2"));
        assert_eq!(field(b"dept_id=2&size=5", "size").as_deref(), Some("5"));
        assert_eq!(field(b"", "size"), None);
    }
}
