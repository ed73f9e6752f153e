//! How an organisation stands, as far as failures go: how many in a row, since when, and whether the circuit is open.
//!
//! Guards: an episode keeps its beginning whatever follows within it; while the same reason lasts, the next probe is never
//! put earlier. Deliberately not here: which failure opens it, and for how long (`reaction`).

use crate::time::Timestamp;

/// How an organisation stands, as far as failures go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Failed calls since the newest good one, over all people.
    pub failures: u32,
    /// The first of them.
    pub since: Option<Timestamp>,
    /// Set while the circuit is open.
    pub open: Option<OpenCircuit>,
    /// Users refused since the newest good answer, of those answered well shortly before.
    pub refused: RefusedUsers,
}

/// Distinct users who were answered well shortly before and are refused now, without a good answer in between: evidence that
/// the refusals concern the organisation and not the users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedUsers {
    first: Option<u64>,
    second: Option<u64>,
    third: bool,
}

impl RefusedUsers {
    /// With the user of this key.
    #[must_use]
    pub fn with(self, user: u64) -> Self {
        match (self.first, self.second) {
            (None, _) => Self { first: Some(user), ..self },
            (Some(first), _) if first == user => self,
            (_, None) => Self { second: Some(user), ..self },
            (_, Some(second)) if second == user => self,
            _ => Self { third: true, ..self },
        }
    }

    /// Whether there are at least three.
    pub fn are_three(self) -> bool {
        self.third
    }
}

/// The circuit is open: nobody is looked at until `until`, then one look at a time until one is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCircuit {
    /// Why; the newest reason.
    pub cause: Cause,
    /// The first failure of this episode.
    pub since: Timestamp,
    /// When the next probe may go out.
    pub until: Timestamp,
    /// Probes that failed for this reason.
    pub attempts: u32,
}

/// Why nobody of an organisation is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// DingTalk is ill or out of reach.
    Upstream,
    /// Our address is banned.
    Banned,
    /// Credentials, permission or configuration.
    Auth,
    /// Told to wait for long.
    Throttled,
    /// No calls left in the month.
    MonthSpent,
    /// Users who were answered well before are refused one after the other, by a code without a known meaning.
    Refused,
    /// There is no room to write down what a poll would show. Not from a failed call.
    DiskFull,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Upstream,
        Self::Banned,
        Self::Auth,
        Self::Throttled,
        Self::MonthSpent,
        Self::Refused,
        Self::DiskFull,
    ];

    /// One word for it, for status, readiness and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Banned => "banned",
            Self::Auth => "auth",
            Self::Throttled => "throttled",
            Self::MonthSpent => "budget",
            Self::Refused => "refused",
            Self::DiskFull => "disk full",
        }
    }
}

impl CircuitBreaker {
    /// With the circuit open until then, from one more failure for this reason: that the calls of the month are spent
    /// by our own count, or that another organisation found the address banned, is one as well.
    #[must_use]
    pub fn opened_until(self, cause: Cause, now: Timestamp, until: Timestamp) -> Self {
        let before = self.open.filter(|open| open.cause == cause);
        let attempts = before.map_or(0, |open| open.attempts).saturating_add(1);
        let since = self.open.map_or(self.since.unwrap_or(now), |open| open.since);
        let until = before.map_or(until, |open| open.until.max(until));
        Self { open: Some(OpenCircuit { cause, since, until, attempts }), since: Some(since), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-11-23T06:00:00Z
    const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn three_distinct_users_are_counted_and_no_user_twice() {
        let two = RefusedUsers::default().with(1).with(1).with(2).with(1).with(2);
        assert!(!two.are_three());
        assert!(two.with(3).are_three());
    }

    #[test]
    fn the_same_reason_again_is_one_more_probe_that_is_never_put_earlier() {
        let first = CircuitBreaker::default().opened_until(Cause::Auth, NOW, after(60));
        let again = first.opened_until(Cause::Auth, after(10), after(30));
        let open = again.open.expect("open");
        assert_eq!((open.since, open.until, open.attempts), (NOW, after(60), 2));
    }

    #[test]
    fn another_reason_counts_anew_within_the_same_episode() {
        let failing = CircuitBreaker { failures: 3, since: Some(NOW), ..CircuitBreaker::default() };
        let banned = failing.opened_until(Cause::Banned, after(5), after(305));
        let spent = banned.opened_until(Cause::MonthSpent, after(10), after(20));
        let open = spent.open.expect("open");
        assert_eq!(
            (open.cause, open.since, open.until, open.attempts),
            (Cause::MonthSpent, NOW, after(20), 1)
        );
        assert_eq!((spent.failures, spent.since), (3, Some(NOW)));
    }
}
