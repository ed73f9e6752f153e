//! Whether the daemon is well: what the tasks report, what `/readyz` answers.
//!
//! Guards: ready means that presence is really being looked at and written down: the database takes writes, every
//! organisation has a token, and its newest good look is fresh while anybody is to be looked at. A good look costs two
//! atomic stores. Deliberately not here: alerts and metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::ids::OrgName;
use crate::policy::circuit::Cause;
use crate::time::Timestamp;

/// No instant.
const NEVER: i64 = i64::MIN;
/// Nobody is to be looked at: there is nothing to be late with.
const IDLE: i64 = i64::MAX;

const LOCK_HELD: &str = "another program holds the write lock; nothing is written until it lets go";

/// The whole daemon's health. Shared by an `Arc`.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: nothing was written yet.
    database: Option<Result<(), String>>,
    /// Whether another program holds the database's write lock.
    lock_held: bool,
    orgs: BTreeMap<OrgName, Arc<OrgHealth>>,
}

/// One organisation's. Tasks keep it by `Arc`.
#[derive(Debug)]
pub struct OrgHealth {
    last_ok_ms: AtomicI64,
    due_ms: AtomicI64,
    token: Mutex<Option<Result<(), String>>>,
    sweeps: Mutex<Option<Sweeps>>,
    blocked: Mutex<Option<Blocked>>,
    unpolled: Mutex<Vec<Unpolled>>,
}

/// Why no user of an organisation is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The reason.
    pub cause: Cause,
    /// The newest failure, for a person.
    pub text: String,
    /// The first failure.
    pub since: Timestamp,
    /// When the next probe goes out.
    pub next: Timestamp,
}

/// Users who are not polled as planned while others of their organisation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpolled {
    /// Why.
    pub reason: UserReason,
    /// How many.
    pub users: usize,
    /// When the first of them is polled again; where polls are late, since when it is due.
    pub next: Timestamp,
}

/// Why single users are not polled as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserReason {
    /// DingTalk refuses the user.
    Refused,
    /// Polls of the user fail.
    Failed,
    /// The user is due and waits for a call: the rate, the machine or slow answers.
    Late,
}

impl UserReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Failed, Self::Late];

    /// One word for it, for status, readiness and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }
}

impl fmt::Display for Unpolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, users, next } = self;
        let noun = if *users == 1 { "user" } else { "users" };
        let when = if *reason == UserReason::Late { "due since" } else { "next retry at" };
        write!(f, "{}: {users} {noun}, {when} {next}", reason.name())
    }
}

/// What sweeps of an organisation do; nothing of it makes a daemon ill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweeps {
    /// Whether they are made and believed.
    pub state: SweepState,
    /// Why it is no better, for a person; nothing where there is nothing to say.
    pub why: Option<String>,
    /// Looks that agreed since the newest contradiction.
    pub agreed: u32,
    /// So many earn trust.
    pub needed: u32,
    /// What sweeps name people by, once that is learned.
    pub ids: Option<&'static str>,
    /// This month's calls that sweeps took.
    pub calls: u64,
    /// The newest whole sweep.
    pub last: Option<Timestamp>,
}

/// Whether sweeps are made and believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepState {
    /// None are made, by the config.
    Off,
    /// DingTalk refuses them.
    Refused,
    /// They say whom to look at.
    Learning,
    /// They tell joins and leaves.
    Trusted,
}

impl SweepState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Off, Self::Refused, Self::Learning, Self::Trusted];

    /// The word for it.
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
        }
    }
}

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// The database takes writes and at least one organisation works.
    pub ready: bool,
    /// One a line of the answer.
    pub checks: Vec<Check>,
    /// Organisations that do not work.
    pub degraded: Vec<Degraded>,
}

/// An organisation that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Degraded {
    /// Its name.
    pub org: OrgName,
    /// Why, for a person.
    pub reason: String,
    /// Since when; `None`: since the start.
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Timestamp>,
    /// When the next attempt follows; `None`: not known.
    #[serde(serialize_with = "rfc3339")]
    pub next: Option<Timestamp>,
}

/// One thing that must be well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// `database`, `token` or `poll`.
    pub name: &'static str,
    /// The organisation, where it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgName>,
    /// Whether it is well.
    pub ok: bool,
    /// Why, for a person.
    pub reason: String,
}

impl Health {
    /// Nothing is known yet: not ready.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What the newest write came to; an error in words without paths or values.
    pub fn database(&self, outcome: Result<(), String>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).database = Some(outcome);
    }

    /// Whether another program holds the database's write lock.
    pub fn lock_held(&self, held: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lock_held = held;
    }

    /// An organisation's part, made when it is first asked for.
    pub fn org(&self, name: &OrgName) -> Arc<OrgHealth> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(state.orgs.entry(name.clone()).or_default())
    }

    /// An organisation that is not in the config any more.
    pub fn forget(&self, name: &OrgName) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).orgs.remove(name);
    }

    /// What sweeps do, by organisation.
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

    /// How things stand at `now`.
    pub fn readiness(&self, now: Timestamp) -> Readiness {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut checks = vec![match &state.database {
            _ if state.lock_held => check("database", None, false, LOCK_HELD),
            Some(Ok(())) => check("database", None, true, "takes writes"),
            Some(Err(why)) => check("database", None, false, why),
            None => check("database", None, false, "nothing was written yet"),
        }];
        if state.orgs.is_empty() {
            checks.push(check("poll", None, false, "polling has not begun"));
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
    /// A good look at somebody; the next one is late after `due`.
    pub fn looked(&self, at: Timestamp, due: Timestamp) {
        self.last_ok_ms.fetch_max(at.as_ms(), Ordering::Relaxed);
        self.due_ms.store(due.as_ms(), Ordering::Relaxed);
    }

    /// Without a look: a window opened, the next good look is late after `due`.
    pub fn expect_look(&self, due: Timestamp) {
        self.due_ms.store(due.as_ms(), Ordering::Relaxed);
    }

    /// Nobody is to be looked at (windows closed, nobody on the list): no look is late.
    pub fn idle(&self) {
        self.due_ms.store(IDLE, Ordering::Relaxed);
    }

    /// What the newest call said about the token; an error in words without the token.
    pub fn token(&self, outcome: Result<(), String>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// What sweeps do now.
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

    /// The newest good look at anybody.
    pub fn last_ok(&self) -> Option<Timestamp> {
        let ms = self.last_ok_ms.load(Ordering::Relaxed);
        (ms != NEVER).then(|| Timestamp::from_ms(ms))
    }

    fn token_check(&self, name: &OrgName) -> Check {
        let org = Some(name.clone());
        match &*self.token.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(())) => check("token", org, true, "is valid"),
            Some(Err(why)) => check("token", org, false, why),
            // Without anybody to look at there is no call that would have needed one.
            None if self.due_ms.load(Ordering::Relaxed) == IDLE => {
                check("token", org, true, "was not needed yet")
            }
            None => check("token", org, false, "was not had yet"),
        }
    }

    fn poll_check(&self, name: &OrgName, now: Timestamp) -> Check {
        let org = Some(name.clone());
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        let mut seen = match self.last_ok() {
            Some(at) => format!("the newest good poll was {} s ago", now.since(at).as_secs()),
            None => "no poll has succeeded yet".to_owned(),
        };
        for unpolled in &*self.unpolled.lock().unwrap_or_else(PoisonError::into_inner) {
            seen = format!("{seen}; {unpolled}");
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
            check("poll", org, false, &format!("{seen}; the next good poll is {late} s late"))
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
        assert!(text.contains("65 s ago; the next good poll is 5 s late"), "{text}");
        org.token(Err("refused".into()));
        health.database(Err("disk full".into()));
        assert_eq!(failing(&health, at(60)), ["database", "token"]);
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
