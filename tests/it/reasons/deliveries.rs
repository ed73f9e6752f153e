//! Reasons for which what waits for a webhook is not sent.

use std::sync::Arc;

use serde_json::Value;

use super::{House, QUICK, json, side_by_side, until};
use crate::harness::Watched;
use crate::harness::fake::inside;
use crate::harness::http::{response, serve};
use crate::harness::receiver::Receiver;

/// A good answer that has this user in a meeting.
pub(super) fn inside_of(who: &str) -> String {
    inside(who, &format!("conference-of-{who}"), 3, 1_699_347_295_876, "")
}

/// A receiver that answers as it is told to.
#[derive(Clone)]
struct Hook {
    url: String,
    state: Arc<Watched<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// About everybody; 0 ends the connection.
    answer: u16,
    /// About this user.
    about: Option<(&'static str, u16)>,
    /// What is about this user is not answered until it is let go, and is refused then.
    held: Option<&'static str>,
    /// Something is held.
    in_hand: bool,
    /// Users about whom something was accepted.
    accepted: Vec<String>,
}

impl Hook {
    fn start() -> Self {
        let state = Arc::new(Watched::<State>::default());
        let shared = Arc::clone(&state);
        let address = serve(move |request| {
            let event: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let subject =
                event["subject"].as_str().unwrap_or_default().trim_start_matches("default/").to_owned();
            let was_held = shared.with(|state| {
                let is_held = state.held.is_some_and(|user| user == subject);
                state.in_hand |= is_held;
                is_held
            });
            shared.until("it to be let go", |state| (!was_held || state.held.is_none()).then_some(()));
            let status = shared.with(|state| {
                let own = state.about.filter(|(user, _)| *user == subject).map(|(_, status)| status);
                let status = if was_held { 422 } else { own.unwrap_or(state.answer) };
                if status == 204 {
                    state.accepted.push(subject);
                }
                status
            });
            (status != 0).then(|| response(status, "text/plain", ""))
        });
        Self { url: format!("http://{address}/hook"), state }
    }

    fn answer(&self, status: u16) {
        self.state.with(|state| state.answer = status);
    }

    fn answer_about(&self, about: Option<(&'static str, u16)>) {
        self.state.with(|state| state.about = about);
    }

    fn hold(&self, user: &'static str) {
        self.state.with(|state| state.held = Some(user));
    }

    #[track_caller]
    fn wait_held(&self) {
        self.state.until("a request to hold", |state| state.in_hand.then_some(()));
    }

    fn let_go(&self) {
        self.state.with(|state| state.held = None);
    }

    #[track_caller]
    fn wait_accepted(&self, users: &[&str]) {
        self.state.until("accepted deliveries", |state| {
            users.iter().all(|&user| state.accepted.iter().any(|one| one == user)).then_some(())
        });
    }
}

/// Everybody joins a meeting; `alerts` hears of the webhook's trouble.
fn house(hook: &Hook, webhook: &str) -> House {
    let alerts = Receiver::start();
    let url = alerts.url();
    let webhook = format!(
        "events = [\"meeting.participant_joined\"]\n{webhook}\n[[webhook]]\nname = \"alerts\"\nurl = \"{url}\"\nevents = [\"system.alert\"]\n"
    );
    let house = House::with(QUICK, alerts, &hook.url, &webhook);
    house.say(|who| Some(Some(json(200, &inside_of(who)))));
    house
}

impl House {
    /// The webhook has this reason everywhere; `held`: something waits for it.
    #[track_caller]
    fn until_held(&self, name: &str, screen: &str) {
        let of_hook = |all: &Value| {
            all.as_array()
                .and_then(|all| all.iter().find(|one| one["webhook"] == "hook"))
                .cloned()
                .unwrap_or_default()
        };
        until(&format!("{name} in status -o json"), || {
            let hook = of_hook(&self.status()["webhooks"]);
            if hook["blocked"] == name { Ok(()) } else { Err(hook.to_string()) }
        });
        self.until_screen(screen);
        until(&format!("{name} in /readyz"), || {
            let (ready, body) = self.readyz();
            if ready && of_hook(&body["webhooks"])["reason"] == name { Ok(()) } else { Err(body.to_string()) }
        });
        self.until_metric(&format!("presenced_delivery_blocked{{webhook=\"hook\",reason=\"{name}\"}} 1"));
        if name != "removed" {
            self.until_sql("SELECT blocked FROM v_webhooks WHERE webhook = 'hook'", name);
        }
    }

    #[track_caller]
    fn until_sent(&self, name: &str) {
        self.until_sql("SELECT count(*) FROM deliveries WHERE webhook = 'hook' AND state = 'pending'", "0");
        until("status -o json", || {
            let hooks = &self.status()["webhooks"];
            if hooks[0]["blocked"].is_null() && hooks[0]["state"] == "up" {
                Ok(())
            } else {
                Err(hooks.to_string())
            }
        });
        self.until_screen("hook is up");
        until("/readyz", || {
            let (_, body) = self.readyz();
            if body["webhooks"][0].is_null() { Ok(()) } else { Err(body.to_string()) }
        });
        self.until_metric(&format!("presenced_delivery_blocked{{webhook=\"hook\",reason=\"{name}\"}} 0"));
        self.until_sql("SELECT webhook FROM v_webhooks WHERE blocked IS NOT NULL", "");
    }
}

const BACKOFF: &str = "attempts = 1000\nbackoff = { initial = \"200ms\", max = \"1s\" }";
const LONG_BACKOFF: &str = "attempts = 1000\nbackoff = { initial = \"1h\", max = \"1h\" }";
const ALL: [&str; 3] = super::PEOPLE;

#[test]
fn each_kind_of_reason_is_named_everywhere_until_it_is_over() {
    let kinds: [fn(); 7] = [down, refusing, paused, disabled, retrying, refused_too_late, removed];
    side_by_side(kinds.map(|kind| Box::new(kind) as Box<dyn FnOnce() + Send>).into());
}

fn down() {
    let hook = Hook::start();
    let house = house(&hook, BACKOFF);
    let daemon = house.site.start();
    house.until_held("down", "hook is down (");
    hook.answer(204);
    hook.wait_accepted(&ALL);
    house.until_sent("down");
    daemon.terminate();
}

fn refusing() {
    let hook = Hook::start();
    hook.answer(422);
    let house = house(&hook, BACKOFF);
    let daemon = house.site.start();
    house.until_held("refusing", "hook is up, refusing (");
    house.receiver.wait_alerts("webhook", &["firing"]);
    hook.answer(204);
    hook.wait_accepted(&ALL);
    house.until_sent("refusing");
    house.receiver.wait_alerts("webhook", &["firing", "resolved"]);
    daemon.terminate();
}

/// The operator's own doing: no alert.
fn paused() {
    let hook = Hook::start();
    hook.answer(204);
    let house = house(&hook, BACKOFF);
    house.be_well();
    let daemon = house.started();
    house.done(&["webhook", "pause", "hook"]);
    house.say(|who| Some(Some(json(200, &inside_of(who)))));
    house.until_held("paused", "hook is paused (by hand at ");
    house.until_sql("SELECT waiting FROM v_webhooks WHERE webhook = 'hook'", "3");
    house.done(&["webhook", "resume", "hook"]);
    hook.wait_accepted(&ALL);
    house.until_sent("paused");
    daemon.terminate();
}

/// For good: only the operator ends it.
fn disabled() {
    let hook = Hook::start();
    hook.answer(410);
    let house = house(&hook, BACKOFF);
    let daemon = house.site.start();
    house.until_held("disabled", "hook is disabled (the receiver answered 410 Gone)");
    house.receiver.wait_alerts("webhook", &["firing"]);
    hook.answer(204);
    house.done(&["webhook", "enable", "hook"]);
    house.done(&["webhook", "replay", "--dead", "--webhook", "hook"]);
    hook.wait_accepted(&ALL);
    house.until_sent("disabled");
    house.receiver.wait_alerts("webhook", &["firing", "resolved"]);
    daemon.terminate();
}

/// One user's events wait for an hour after a refusal. A reload that changes the webhook does not wait for that.
fn retrying() {
    let hook = Hook::start();
    hook.answer(204);
    hook.answer_about(Some(("li", 422)));
    let house = house(&hook, LONG_BACKOFF);
    let daemon = house.site.start();
    hook.wait_accepted(&["wang", "zhang"]);
    house.until_held("retrying", "hook is up, retrying (");
    hook.answer_about(None);
    house.done(&["reload"]);
    house.until_held("retrying", "next attempt at ");
    house.site.edit("secret = \"whsec", "timeout = \"14s\"\nsecret = \"whsec");
    house.done(&["reload"]);
    hook.wait_accepted(&ALL);
    house.until_sent("retrying");
    daemon.terminate();
}

/// What was in flight when the webhook was changed is tried again at once, too.
fn refused_too_late() {
    let hook = Hook::start();
    hook.answer(204);
    hook.hold("li");
    let house = house(&hook, LONG_BACKOFF);
    let daemon = house.site.start();
    hook.wait_held();
    house.site.edit("secret = \"whsec", "timeout = \"14s\"\nsecret = \"whsec");
    house.done(&["reload"]);
    hook.let_go();
    hook.wait_accepted(&ALL);
    house.until_sent("retrying");
    daemon.terminate();
}

/// What waits for a webhook that was taken out is sent when it comes back.
fn removed() {
    let hook = Hook::start();
    hook.answer(204);
    hook.answer_about(Some(("li", 422)));
    let house = house(&hook, LONG_BACKOFF);
    let daemon = house.site.start();
    house.until_held("retrying", "hook is up, retrying (");
    house.site.edit("name = \"hook\"", "name = \"other\"");
    house.done(&["reload"]);
    house.until_held("removed", "hook is removed from the config, 1 waiting");
    hook.answer_about(None);
    house.site.edit("name = \"other\"", "name = \"hook\"");
    house.done(&["reload"]);
    hook.wait_accepted(&ALL);
    house.until_sent("removed");
    daemon.terminate();
}
