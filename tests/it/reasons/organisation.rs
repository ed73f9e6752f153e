//! Reasons for which no user of an organisation is polled.

use super::{House, PATIENT, QUICK, has, json, side_by_side, until};
use crate::harness::http::{Reply, response};

/// One kind of reason.
struct Kind {
    /// Its name in `status`, `/readyz` and `/metrics`.
    name: &'static str,
    /// `why` and `error` in `v_gaps`.
    gap: &'static str,
    /// The alert that fires for it at once.
    alert: Option<&'static str>,
    poll: &'static str,
    answer: fn() -> Reply,
    /// It lasts for minutes: the operator ends it.
    by_reload: bool,
}

/// `Retry-After` of ten minutes.
fn come_back_later(status: u16, body: &str) -> Vec<u8> {
    let text = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nRetry-After: 600\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    text.into()
}

const KINDS: [Kind; 9] = [
    Kind {
        name: "upstream",
        gap: "upstream|outage",
        alert: None,
        poll: QUICK,
        answer: || Some(json(500, r#"{"code":"system.error"}"#)),
        by_reload: false,
    },
    Kind {
        name: "upstream",
        gap: "upstream|broken",
        alert: None,
        poll: QUICK,
        answer: || None,
        by_reload: false,
    },
    Kind {
        name: "upstream",
        gap: "upstream|outage",
        alert: Some("upstream"),
        poll: PATIENT,
        answer: || Some(come_back_later(503, r#"{"code":"serviceUnavailable"}"#)),
        by_reload: true,
    },
    Kind {
        name: "banned",
        gap: "banned|banned",
        alert: Some("upstream"),
        poll: QUICK,
        answer: || Some(json(200, r#"{"status":1111,"wait":5,"punish":"deny"}"#)),
        by_reload: true,
    },
    Kind {
        name: "banned",
        gap: "banned|banned",
        alert: None,
        poll: QUICK,
        answer: || Some(response(403, "text/html", "<html>denied</html>")),
        by_reload: false,
    },
    Kind {
        name: "throttled",
        gap: "throttled|busy",
        alert: Some("upstream"),
        poll: PATIENT,
        answer: || Some(come_back_later(429, r#"{"code":"system.busy"}"#)),
        by_reload: true,
    },
    Kind {
        name: "budget",
        gap: "budget|quota_spent",
        alert: Some("budget"),
        poll: QUICK,
        answer: || Some(json(403, r#"{"code":"Forbidden.AccessDenied.ApiCountLimitForOrg"}"#)),
        by_reload: true,
    },
    Kind {
        name: "auth",
        gap: "auth|forbidden",
        alert: Some("auth"),
        poll: QUICK,
        answer: || Some(json(403, r#"{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied"}"#)),
        by_reload: false,
    },
    Kind {
        name: "refused",
        gap: "upstream|refused",
        alert: None,
        poll: QUICK,
        answer: || Some(json(400, r#"{"code":"no.priviledge","message":"You are not authorized"}"#)),
        by_reload: false,
    },
];

impl House {
    /// The organisation has this reason everywhere.
    #[track_caller]
    fn until_blocked(&self, name: &str, gap: &str) {
        let begins = |reason: &serde_json::Value| {
            let words = |reason: &str| reason.strip_prefix(&format!("{name}: ")).map(str::to_owned);
            // The word is said once.
            reason.as_str().and_then(words).is_some_and(|rest| !rest.starts_with(&format!("{name}: ")))
        };
        until(&format!("{name} in status -o json"), || {
            let degraded = &self.status()["daemon"]["degraded"];
            if begins(&degraded[0]["reason"]) { Ok(()) } else { Err(degraded.to_string()) }
        });
        self.until_screen(&format!("poll of default: {name}: "));
        until(&format!("{name} in /readyz"), || {
            let (ready, body) = self.readyz();
            if !ready && begins(&body["degraded"][0]["reason"]) { Ok(()) } else { Err(body.to_string()) }
        });
        self.until_metric(&format!("presenced_polling_blocked{{org=\"default\",reason=\"{name}\"}} 1"));
        let open =
            "SELECT coalesce(who, 'everybody'), why, coalesce(error, '-') FROM v_gaps WHERE to_at IS NULL";
        self.until_sql(open, &format!("everybody|{gap}"));
    }

    /// Users are polled, and the reason is nowhere but in the history.
    #[track_caller]
    fn until_free(&self, name: &str, gap: &str) {
        self.wait_polled();
        self.until_screen("health good");
        until("/readyz", || {
            let (ready, body) = self.readyz();
            if ready && body["degraded"][0].is_null() { Ok(()) } else { Err(body.to_string()) }
        });
        self.until_metric(&format!("presenced_polling_blocked{{org=\"default\",reason=\"{name}\"}} 0"));
        self.until_no_gap();
        let over =
            "SELECT who, why, coalesce(error, '-') FROM v_gaps WHERE to_at IS NOT NULL AND who IS NULL";
        until("a gap that is over", || has(&self.sql(over), gap));
    }
}

#[test]
fn each_kind_of_failure_is_named_everywhere_until_it_is_over() {
    side_by_side(
        KINDS.into_iter().map(|kind| -> Box<dyn FnOnce() + Send> { Box::new(move || live(&kind)) }).collect(),
    );
}

fn live(kind: &Kind) {
    let house = House::new(kind.poll);
    let daemon = house.started();
    house.say_all((kind.answer)());
    house.until_blocked(kind.name, kind.gap);
    if let Some(alert) = kind.alert {
        house.receiver.wait_alerts(alert, &["firing"]);
    }
    house.be_well();
    if kind.by_reload {
        house.done(&["reload"]);
    }
    house.until_free(kind.name, kind.gap);
    if let Some(alert) = kind.alert {
        house.receiver.wait_alerts(alert, &["firing", "resolved"]);
    }
    daemon.terminate();
}

#[test]
fn a_token_that_is_refused_is_named_everywhere_until_there_is_one() {
    let house = House::new(QUICK);
    house.fake.say_token(Some(json(400, r#"{"code":"invalidClientIdOrSecret"}"#)));
    let daemon = house.site.start();
    house.until_blocked("auth", "auth|credentials");
    house.receiver.wait_alerts("auth", &["firing"]);
    house.fake.say_token(None);
    house.until_free("auth", "auth|credentials");
    house.receiver.wait_alerts("auth", &["firing", "resolved"]);
    daemon.terminate();
}

#[test]
fn calls_that_are_spent_by_the_daemons_own_count_are_named_everywhere() {
    let house = House::new("interval = \"auto\"\nmin_interval = \"100ms\"\n");
    house.site.edit("calls_per_month = 0", "calls_per_month = 100000000");
    let daemon = house.started();
    house.site.edit("calls_per_month = 100000000", "calls_per_month = 1");
    house.done(&["reload"]);
    house.until_blocked("budget", "budget|-");
    house.receiver.wait_alerts("budget", &["firing"]);
    house.site.edit("calls_per_month = 1", "calls_per_month = 100000000");
    house.done(&["reload"]);
    house.until_free("budget", "budget|-");
    house.receiver.wait_alerts("budget", &["firing", "resolved"]);
    daemon.terminate();
}
