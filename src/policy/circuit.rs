//! Circuit breaker of an organisation: failures in a row, since when, and whether the circuit is open.
//!
//! Guards: an outage keeps its start time whatever fails during it; while the cause stays the same, the next probe is
//! never moved earlier. Not here: which failure opens the circuit, and for how long (`failure_policy`).

use crate::time::Timestamp;

/// Circuit breaker of an organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Failed calls since the last successful one, over all users.
    pub failures: u32,
    /// Time of the first of them.
    pub since: Option<Timestamp>,
    /// Set while the circuit is open.
    pub open: Option<OpenCircuit>,
    /// Users refused since the last successful answer, of those answered successfully shortly before.
    pub refused: RefusedUsers,
}

/// Distinct users who were answered successfully shortly before and are refused now, without a successful answer in
/// between: evidence that the refusals concern the organisation and not the users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedUsers {
    first: Option<u64>,
    second: Option<u64>,
    third: bool,
}

impl RefusedUsers {
    /// Adds the user with this key.
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

/// An open circuit: no polls until `until`, then one probe at a time until one succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCircuit {
    /// The newest cause.
    pub cause: Cause,
    /// Time of the first failure of this outage.
    pub since: Timestamp,
    /// When the next probe may be made.
    pub until: Timestamp,
    /// Failed probes with this cause.
    pub attempts: u32,
}

/// Why an organisation is not polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// DingTalk fails or is unreachable.
    Upstream,
    /// The IP address is banned.
    Banned,
    /// Credentials, permission or configuration are wrong.
    Auth,
    /// DingTalk asked for a long wait.
    Throttled,
    /// No calls are left in the month.
    MonthSpent,
    /// Users who were answered successfully before are refused one after the other, by a code without a known meaning.
    Refused,
    /// The disk is too full to store the result of a poll. Not caused by a failed call.
    DiskFull,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 7] = [
        Self::Upstream,
        Self::Banned,
        Self::Auth,
        Self::Throttled,
        Self::MonthSpent,
        Self::Refused,
        Self::DiskFull,
    ];

    /// Name in status, readiness and metrics.
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
    /// The breaker with its circuit open until `until`, after one more failure with this cause. Also used when our own
    /// count says that the month's calls are spent, and when another organisation found the address banned.
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
    fn the_same_cause_again_is_one_more_failed_probe_and_never_moves_the_next_one_earlier() {
        let first = CircuitBreaker::default().opened_until(Cause::Auth, NOW, after(60));
        let again = first.opened_until(Cause::Auth, after(10), after(30));
        let open = again.open.expect("open");
        assert_eq!((open.since, open.until, open.attempts), (NOW, after(60), 2));
    }

    #[test]
    fn another_cause_starts_a_new_count_within_the_same_outage() {
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
