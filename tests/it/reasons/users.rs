//! Reasons for which single users are not polled as planned, while others of their organisation are.

use std::time::Duration;

use super::{House, QUICK, json, until};

impl House {
    /// This many users have this reason everywhere.
    #[track_caller]
    fn until_unpolled(&self, name: &str, gaps: &str) {
        until(&format!("{name} in status -o json"), || {
            let unpolled = &self.status()["daemon"]["unpolled_users"];
            if unpolled[0]["reason"] == name { Ok(()) } else { Err(unpolled.to_string()) }
        });
        until(&format!("{name} in /readyz"), || {
            let (_, body) = self.readyz();
            if body["checks"].to_string().contains(&format!("; {name}: ")) {
                Ok(())
            } else {
                Err(body.to_string())
            }
        });
        let open = "SELECT group_concat(DISTINCT why || '|' || coalesce(error, '-')) FROM v_gaps \
            WHERE to_at IS NULL AND who IS NOT NULL";
        self.until_sql(open, gaps);
        // Presence is unknown: the users' own alert.
        self.receiver.wait_type("watch.stale");
    }

    #[track_caller]
    fn until_all_are_polled(&self, name: &str) {
        self.wait_polled();
        self.receiver.wait_type("watch.recovered");
        until("status -o json", || {
            let unpolled = &self.status()["daemon"]["unpolled_users"];
            if unpolled[0].is_null() { Ok(()) } else { Err(unpolled.to_string()) }
        });
        self.until_metric(&format!("presenced_unpolled_users{{org=\"default\",reason=\"{name}\"}} 0"));
        until("/readyz", || {
            let (ready, body) = self.readyz();
            if ready && !body["checks"].to_string().contains("; ") { Ok(()) } else { Err(body.to_string()) }
        });
        self.until_no_gap();
    }
}

fn poll() -> String {
    format!("stale_after = \"2s\"\n{QUICK}")
}

#[test]
fn a_user_that_dingtalk_refuses_is_named_everywhere_until_a_reload_polls_again() {
    let house = House::new(&poll());
    let daemon = house.started();
    house.say(|who| (who == "li").then(|| Some(json(400, r#"{"code":"param.error"}"#))));
    house.until_unpolled("refused", "failed|unknown_user");
    house.until_screen("1 user is refused by DingTalk");
    house.until_metric("presenced_unpolled_users{org=\"default\",reason=\"refused\"} 1");
    house.until_metric("presenced_refused_users{org=\"default\"} 1");
    house.be_well();
    house.done(&["reload"]);
    house.until_all_are_polled("refused");
    daemon.terminate();
}

#[test]
fn a_user_whose_polls_fail_is_named_everywhere_until_one_succeeds() {
    let house = House::new(&poll());
    let daemon = house.started();
    house.say(|who| (who == "li").then(|| Some(json(500, r#"{"code":"system.error"}"#))));
    house.until_unpolled("failed", "failed|outage");
    house.until_screen("1 user is without a good answer, polls failed");
    house.until_metric("presenced_unpolled_users{org=\"default\",reason=\"failed\"} 1");
    house.be_well();
    house.until_all_are_polled("failed");
    daemon.terminate();
}

/// One call at a time, and each takes most of what a call may take.
#[test]
fn polls_that_are_late_are_named_everywhere_until_they_are_not() {
    let house = House::new(&poll());
    house.site.edit("concurrency = 8", "concurrency = 1");
    let daemon = house.started();
    house.say(|_| {
        std::thread::sleep(Duration::from_millis(1800));
        None
    });
    house.until_unpolled("late", "late|-");
    house.until_screen("polled late; due since");
    house.be_well();
    house.until_all_are_polled("late");
    daemon.terminate();
}
