//! Health of the daemon: what tasks report, and what `/readyz` answers.
//!
//! Guards: ready means that presence is polled and recorded: the database takes writes, and at least one organisation has a
//! token and a recent successful poll while a user is due. A successful poll costs two atomic stores. Not here: alerts and
//! metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::ids::OrgName;
use crate::policy::circuit::Cause;
pub use crate::policy::liveness::UserReason;
use crate::telemetry::push::PushHealth;
use crate::time::Timestamp;

/// No time.
const NEVER: i64 = i64::MIN;
/// No user is to be polled, so no poll can be late.
const IDLE: i64 = i64::MAX;

const LOCK_HELD: &str = "another process holds the write lock; nothing is written until it releases it";

/// Health of the daemon.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Result of the last write; `None`: nothing was written yet.
    database: Option<Result<(), String>>,
    /// Whether another process holds the write lock of the database.
    lock_held: bool,
    orgs: BTreeMap<OrgName, Arc<OrgHealth>>,
}

#[derive(Debug)]
pub struct OrgHealth {
    last_ok_ms: AtomicI64,
    due_ms: AtomicI64,
    token: Mutex<Option<Result<(), String>>>,
    sweeps: Mutex<Option<Sweeps>>,
    blocked: Mutex<Option<Blocked>>,
    unpolled: Mutex<Vec<Unpolled>>,
    push: Mutex<Option<PushHealth>>,
}

/// Why no user of an organisation is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub cause: Cause,
    /// The last failure, as text.
    pub text: String,
    /// The first failure.
    pub since: Timestamp,
    /// Time of the next probe.
    pub next: Timestamp,
}

/// Users who are not polled as planned while others of their organisation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpolled {
    pub reason: UserReason,
    /// How many.
    pub users: usize,
    /// When the first of them is polled again; where polls are late, since when it is due.
    pub next: Timestamp,
}

impl Unpolled {
    fn text(&self, now: Timestamp) -> String {
        let Self { reason, users, next } = self;
        let noun = if *users == 1 { "user" } else { "users" };
        let when = match reason {
            UserReason::Late => format!("due since {next}"),
            _ if *next <= now => "being retried".to_owned(),
            _ => format!("next retry at {next}"),
        };
        format!("{}: {users} {noun}, {when}", reason.name())
    }
}

/// The state of sweeps of an organisation. It does not affect readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweeps {
    /// Whether sweeps run and are trusted.
    pub state: SweepState,
    /// The reason for the state, as text.
    pub why: Option<String>,
    /// Polls that agreed with sweeps since the last contradiction.
    pub agreed: u32,
    /// Agreements after which sweeps are trusted.
    pub needed: u32,
    /// Which ids sweeps report, once known.
    pub ids: Option<&'static str>,
    /// Calls of this month made by sweeps.
    pub calls: u64,
    /// Time of the last complete sweep.
    pub last: Option<Timestamp>,
}

/// Whether sweeps run and are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepState {
    /// Disabled by the config.
    Off,
    /// DingTalk refuses them.
    Refused,
    /// They only schedule polls.
    Learning,
    /// They change presence.
    Trusted,
}

impl SweepState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Off, Self::Refused, Self::Learning, Self::Trusted];

    /// Its name in status and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Refused => "refused",
            Self::Learning => "learning",
            Self::Trusted => "trusted",
        }
    }
}

impl Default for OrgHealth {
    fn default() -> Self {
        Self {
            last_ok_ms: AtomicI64::new(NEVER),
            due_ms: AtomicI64::new(IDLE),
            token: Mutex::new(None),
            sweeps: Mutex::new(None),
            blocked: Mutex::new(None),
            unpolled: Mutex::default(),
            push: Mutex::default(),
        }
    }
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// The database takes writes and at least one organisation works.
    pub ready: bool,
    pub checks: Vec<Check>,
    /// Organisations that do not work.
    pub degraded: Vec<Degraded>,
}

/// An organisation that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Degraded {
    pub org: OrgName,
    pub reason: String,
    /// Begin of the problem; `None`: since the start.
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Timestamp>,
    /// Time of the next attempt; `None`: unknown.
    #[serde(serialize_with = "rfc3339")]
    pub next: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// `database`, `token` or `poll`.
    pub name: &'static str,
    /// The organisation, if the check is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgName>,
    /// Whether it passes.
    pub ok: bool,
    pub reason: String,
}

impl Health {
    /// Not ready, because nothing is known yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Records the result of the last write; an error has no paths and no values.
    pub fn database(&self, outcome: Result<(), String>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).database = Some(outcome);
    }

    /// Whether another process holds the write lock of the database.
    pub fn lock_held(&self, held: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lock_held = held;
    }

    /// The health of an organisation; created on first use.
    pub fn org(&self, name: &OrgName) -> Arc<OrgHealth> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(state.orgs.entry(name.clone()).or_default())
    }

    /// Removes an organisation that is no longer in the config.
    pub fn forget(&self, name: &OrgName) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).orgs.remove(name);
    }

    /// The state of sweeps by organisation.
    pub fn sweeps(&self) -> Vec<(OrgName, Sweeps)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(name, org): (&OrgName, &Arc<OrgHealth>)| {
            org.sweeps
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
                .map(|sweeps| (name.clone(), sweeps))
        };
        state.orgs.iter().filter_map(of).collect()
    }

    /// Readiness at `now`.
    pub fn readiness(&self, now: Timestamp) -> Readiness {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut checks = vec![match &state.database {
            _ if state.lock_held => check("database", None, false, LOCK_HELD),
            Some(Ok(())) => check("database", None, true, "takes writes"),
            Some(Err(why)) => check("database", None, false, why),
            None => check("database", None, false, "nothing was written yet"),
        }];
        if state.orgs.is_empty() {
            checks.push(check("poll", None, false, "polling has not started"));
        }
        let mut degraded = Vec::new();
        for (name, org) in &state.orgs {
            let of_org = [org.token_check(name), org.poll_check(name, now)];
            degraded.extend(org.degraded(name, &of_org));
            checks.extend(of_org);
        }
        let own = checks.iter().filter(|check| check.org.is_none()).all(|check| check.ok);
        Readiness { ready: own && degraded.len() < state.orgs.len(), checks, degraded }
    }

    /// Users who are not polled as planned, by organisation.
    pub fn unpolled(&self) -> Vec<(OrgName, Vec<Unpolled>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(name, org): (&OrgName, &Arc<OrgHealth>)| {
            (name.clone(), org.unpolled.lock().unwrap_or_else(PoisonError::into_inner).clone())
        };
        state.orgs.iter().map(of).collect()
    }

    /// Records the state of an organisation's push connection; `None`: there is none. Does not create the organisation.
    pub fn set_push(&self, name: &OrgName, push: Option<PushHealth>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(org) = state.orgs.get(name) {
            *org.push.lock().unwrap_or_else(PoisonError::into_inner) = push;
        }
    }

    /// The push connection, of organisations that have one.
    pub fn push(&self) -> Vec<(OrgName, PushHealth)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(name, org): (&OrgName, &Arc<OrgHealth>)| {
            let push = org.push.lock().unwrap_or_else(PoisonError::into_inner).clone();
            push.map(|push| (name.clone(), push))
        };
        state.orgs.iter().filter_map(of).collect()
    }

    /// Why organisations are not polled.
    pub fn blocked(&self) -> Vec<(OrgName, Option<Blocked>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(name, org): (&OrgName, &Arc<OrgHealth>)| {
            (name.clone(), org.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone())
        };
        state.orgs.iter().map(of).collect()
    }
}

impl OrgHealth {
    /// Records a successful poll; the next one is late after `due`.
    pub fn looked(&self, at: Timestamp, due: Timestamp) {
        self.last_ok_ms.fetch_max(at.as_ms(), Ordering::Relaxed);
        self.due_ms.store(due.as_ms(), Ordering::Relaxed);
    }

    /// Records that a window opened: the next successful poll is late after `due`.
    pub fn expect_look(&self, due: Timestamp) {
        self.due_ms.store(due.as_ms(), Ordering::Relaxed);
    }

    /// Records that no user is to be polled (closed windows or an empty list), so that no poll is late.
    pub fn idle(&self) {
        self.due_ms.store(IDLE, Ordering::Relaxed);
    }

    /// Records what the last call showed about the token; an error does not contain it.
    pub fn token(&self, outcome: Result<(), String>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// Records the state of sweeps.
    pub fn sweeps(&self, sweeps: Sweeps) {
        *self.sweeps.lock().unwrap_or_else(PoisonError::into_inner) = Some(sweeps);
    }

    /// Why no user is polled; `None`: users are polled.
    pub fn blocked(&self, blocked: Option<Blocked>) {
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = blocked;
    }

    /// Users who are not polled as planned, at most once for each reason.
    pub fn unpolled(&self, unpolled: Vec<Unpolled>) {
        *self.unpolled.lock().unwrap_or_else(PoisonError::into_inner) = unpolled;
    }

    fn degraded(&self, name: &OrgName, checks: &[Check]) -> Option<Degraded> {
        let failed = checks.iter().rev().find(|check| !check.ok)?;
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(Degraded {
            org: name.clone(),
            reason: failed.reason.clone(),
            since: blocked.as_ref().map(|blocked| blocked.since).or_else(|| self.last_ok()),
            next: blocked.map(|blocked| blocked.next),
        })
    }

    /// Time of the last successful poll.
    pub fn last_ok(&self) -> Option<Timestamp> {
        let ms = self.last_ok_ms.load(Ordering::Relaxed);
        (ms != NEVER).then(|| Timestamp::from_ms(ms))
    }

    fn token_check(&self, name: &OrgName) -> Check {
        let org = Some(name.clone());
        match &*self.token.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(())) => check("token", org, true, "is valid"),
            Some(Err(why)) => check("token", org, false, why),
            // Without a user to poll, no call has needed a token.
            None if self.due_ms.load(Ordering::Relaxed) == IDLE => {
                check("token", org, true, "not needed yet")
            }
            None => check("token", org, false, "not received yet"),
        }
    }

    fn poll_check(&self, name: &OrgName, now: Timestamp) -> Check {
        let org = Some(name.clone());
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        let mut seen = match self.last_ok() {
            Some(at) => format!("the last successful poll was {} s ago", now.since(at).as_secs()),
            None => "no poll has succeeded yet".to_owned(),
        };
        for unpolled in &*self.unpolled.lock().unwrap_or_else(PoisonError::into_inner) {
            seen = format!("{seen}; {}", unpolled.text(now));
        }
        if let Some(Blocked { cause, text, next, .. }) =
            &*self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
        {
            check("poll", org, false, &format!("{}: {text}; next attempt at {next}; {seen}", cause.name()))
        } else if due_ms == IDLE {
            check("poll", org, true, "no user is to be polled now")
        } else if now.as_ms() <= due_ms {
            check("poll", org, self.last_ok().is_some(), &seen)
        } else {
            let late = now.since(Timestamp::from_ms(due_ms)).as_secs();
            check("poll", org, false, &format!("{seen}; the next successful poll is {late} s late"))
        }
    }
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn rfc3339<S: serde::Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::rfc3339).serialize(to)
}

fn check(name: &'static str, org: Option<OrgName>, ok: bool, reason: &str) -> Check {
    Check { name, org, ok, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    fn failing(health: &Health, now: Timestamp) -> Vec<&'static str> {
        let readiness = health.readiness(now);
        assert_eq!(
            readiness.ready,
            readiness.degraded.is_empty() && readiness.checks[0].ok && readiness.checks.len() > 2
        );
        readiness.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect()
    }

    #[test]
    fn a_daemon_that_did_nothing_yet_is_not_ready() {
        assert_eq!(failing(&Health::default(), at(0)), ["database", "poll"]);
    }

    #[test]
    fn ready_while_looks_are_good_and_in_time() {
        let health = Health::new();
        health.database(Ok(()));
        let org = health.org(&OrgName::default_name());
        org.expect_look(at(10));
        assert_eq!(failing(&health, at(0)), ["token", "poll"]);
        org.token(Ok(()));
        org.looked(at(5), at(65));
        assert!(failing(&health, at(65)).is_empty());
        assert_eq!(failing(&health, at(66)), ["poll"]);
        let text = serde_json::to_string(&health.readiness(at(70))).unwrap();
        assert!(text.contains("65 s ago; the next successful poll is 5 s late"), "{text}");
        org.token(Err("refused".into()));
        health.database(Err("disk full".into()));
        assert_eq!(failing(&health, at(60)), ["database", "token"]);
    }

    #[test]
    fn a_retry_that_is_due_is_not_called_the_next_one() {
        let refused = Unpolled { reason: UserReason::Refused, users: 2, next: at(60) };
        assert_eq!(refused.text(at(50)), format!("refused: 2 users, next retry at {}", at(60)));
        assert_eq!(refused.text(at(60)), "refused: 2 users, being retried");
        let late = Unpolled { reason: UserReason::Late, users: 1, ..refused };
        assert_eq!(late.text(at(70)), format!("late: 1 user, due since {}", at(60)));
    }

    #[test]
    fn with_all_windows_closed_nothing_is_late() {
        let health = Health::new();
        health.database(Ok(()));
        health.org(&OrgName::default_name()).idle();
        assert!(failing(&health, at(1_000_000)).is_empty());
    }

    #[test]
    fn one_organisation_of_two_that_fails_degrades_and_both_make_not_ready() {
        let health = Health::new();
        health.database(Ok(()));
        for name in ["a", "b"] {
            let org = health.org(&OrgName::parse(name).unwrap());
            org.token(Ok(()));
            org.looked(at(0), at(if name == "a" { 100 } else { 10 }));
        }
        let readiness = health.readiness(at(50));
        assert!(readiness.ready);
        let [degraded] = &*readiness.degraded else { panic!("{readiness:?}") };
        assert_eq!((degraded.org.as_str(), degraded.since), ("b", Some(at(0))));
        let org = health.org(&OrgName::parse("a").unwrap());
        org.blocked(Some(Blocked {
            cause: Cause::Banned,
            text: "this address is banned".into(),
            since: at(40),
            next: at(340),
        }));
        let readiness = health.readiness(at(50));
        assert!(!readiness.ready);
        assert_eq!((readiness.degraded[0].since, readiness.degraded[0].next), (Some(at(40)), Some(at(340))));
        assert!(readiness.degraded[0].reason.starts_with("banned: this address is banned; next attempt"));
        org.blocked(None);
        health.forget(&OrgName::parse("b").unwrap());
        assert!(failing(&health, at(50)).is_empty());
    }
}
