//! Judges the body of an answer with an accepting status.
//!
//! Guards: a body that is cut, is not JSON or lacks the member never counts as accepted. Numbers may be texts where the
//! receiver's documents show them so. Not here: status codes (`policy::delivery`).

use std::time::Duration;

use serde_json::Value;

use crate::policy::delivery::Outcome;
use crate::policy::robot;
use crate::policy::robot::SILENCE;
use crate::webhook::answer::printable;

/// The meaning of an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the receiver accepted the request.
    pub outcome: Outcome,
    /// Why it did not.
    pub error: Option<String>,
    /// How long the robot accepts no further request.
    pub silence: Option<Duration>,
}

impl Judgement {
    fn accepted() -> Self {
        Self { outcome: Outcome::Accepted, error: None, silence: None }
    }

    fn unavailable(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unavailable, error: Some(why.into()), silence: None }
    }

    fn silent(self, silence: bool) -> Self {
        Self { silence: silence.then_some(SILENCE), ..self }
    }
}

/// `success = { json = "/errcode", equals = 0 }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Success {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// The value that the pointer must lead to.
    pub equals: Value,
}

impl Success {
    /// Judges a body by this rule.
    pub(super) fn judge(&self, body: &[u8], whole: bool) -> Judgement {
        let answer: Value = match read(body, whole) {
            Ok(answer) => answer,
            Err(why) => return Judgement::unavailable(why),
        };
        match answer.pointer(&self.pointer) {
            Some(found) if is_equal(found, &self.equals) => Judgement::accepted(),
            Some(found) => {
                let found = found.to_string();
                Judgement::unavailable(format!(
                    "`{}` in the answer is {found}, not {}",
                    self.pointer, self.equals
                ))
            }
            None => Judgement::unavailable(format!("there is no `{}` in the answer", self.pointer)),
        }
    }
}

/// Judges a DingTalk robot's answer. `errcode` may be a number, as its servers send it, or a text, as its documents show
/// it.
pub(super) fn of_robot(body: &[u8], whole: bool) -> Judgement {
    let answer: Value = match read(body, whole) {
        Ok(answer) => answer,
        Err(why) => return Judgement::unavailable(why),
    };
    let errcode = answer.get("errcode").and_then(|code| match code {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    });
    let Some(errcode) = errcode else { return Judgement::unavailable("there is no `errcode` in the answer") };
    let meaning = robot::meaning(errcode);
    if meaning.outcome == Outcome::Accepted {
        return Judgement::accepted();
    }
    let message = answer.get("errmsg").and_then(Value::as_str).unwrap_or_default();
    let error = format!("errcode {errcode}: {message}");
    Judgement { outcome: meaning.outcome, error: Some(error), silence: None }.silent(meaning.silence)
}

fn read(body: &[u8], whole: bool) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|_| match (whole, printable(body)) {
        (false, _) => "the answer's body was too long or too slow to be read".to_owned(),
        (true, text) if text.is_empty() => "the answer's body is empty".to_owned(),
        (true, text) => format!("the answer's body is no JSON: {text}"),
    })
}

/// Whether two JSON values are equal; numbers compare by value, so `0` equals `0.0`.
fn is_equal(found: &Value, wanted: &Value) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        #[expect(clippy::float_cmp, reason = "a code is equal or it is not")]
        (Some(found), Some(wanted)) => found == wanted,
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn robot(body: &str) -> Judgement {
        of_robot(body.as_bytes(), true)
    }

    #[test]
    fn an_errcode_is_a_number_or_a_text() {
        for body in [r#"{"errcode":0,"errmsg":"ok"}"#, r#"{"errcode":"0"}"#, r#"{"errcode":" 0 "}"#] {
            assert_eq!(robot(body), Judgement::accepted(), "{body}");
        }
        for body in [
            r#"{"errcode":310000,"errmsg":"sign not match"}"#,
            r#"{"errcode":"310000","errmsg":"sign not match"}"#,
        ] {
            let judged = robot(body);
            assert_eq!(judged, Judgement::unavailable("errcode 310000: sign not match"), "{body}");
        }
    }

    #[test]
    fn too_much_is_ten_minutes_of_silence_and_a_bad_message_is_refused() {
        for code in [410_100, 130_101, 660_026, 90_018, 90_030] {
            let judged = robot(&json!({"errcode": code, "errmsg": "slow down"}).to_string());
            assert_eq!((judged.outcome, judged.silence), (Outcome::Unavailable, Some(SILENCE)), "{code}");
        }
        let judged = robot(r#"{"errcode":40035,"errmsg":"missing json"}"#);
        assert_eq!((judged.outcome, judged.silence), (Outcome::Refused, None));
    }

    #[test]
    fn what_cannot_be_read_is_not_accepted() {
        for (body, why) in [
            ("", "the answer's body is empty"),
            ("<html>", "the answer's body is no JSON: <html>"),
            ("[]", "there is no `errcode` in the answer"),
            (r#"{"errcode":null}"#, "there is no `errcode` in the answer"),
            (r#"{"errcode":0.5}"#, "there is no `errcode` in the answer"),
        ] {
            assert_eq!(robot(body), Judgement::unavailable(why), "{body}");
        }
        let cut = of_robot(br#"{"errcode":0"#, false);
        assert_eq!(cut.error.as_deref(), Some("the answer's body was too long or too slow to be read"));
    }

    #[test]
    fn success_is_the_value_at_the_pointer() {
        let rule = |pointer: &str, equals: Value| Success { pointer: pointer.to_owned(), equals };
        let zero = rule("/errcode", json!(0));
        let error_of = |rule: &Success, body: &str| rule.judge(body.as_bytes(), true).error;
        assert_eq!(error_of(&zero, r#"{"errcode":0}"#), None);
        assert_eq!(error_of(&zero, r#"{"errcode":0.0}"#), None);
        assert_eq!(
            error_of(&zero, r#"{"errcode":"0"}"#).as_deref(),
            Some("`/errcode` in the answer is \"0\", not 0")
        );
        assert_eq!(error_of(&zero, r#"{"code":0}"#).as_deref(), Some("there is no `/errcode` in the answer"));
        assert_eq!(error_of(&zero, "ok").as_deref(), Some("the answer's body is no JSON: ok"));
        assert_eq!(error_of(&rule("/a/0/ok", json!(true)), r#"{"a":[{"ok":true}]}"#), None);
        assert_eq!(error_of(&rule("", json!("ok")), "\"ok\""), None);
        assert!(error_of(&rule("/ok", json!(true)), r#"{"ok":1}"#).is_some());
    }
}
