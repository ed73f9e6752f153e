//! Failure policy: decides after a failed call which polls wait, and until when.
//!
//! Guards: one rule for each verdict, in one place, without a clock; waits never shrink during an outage, and their
//! jitter is a hash; a failure of one user delays no other user until it is clear that the organisation fails. Not
//! here: what an answer means (`dingtalk::classify`), how long an organisation has been failing (`circuit`), waiting
//! (`tasks::poller`).
//!
//! Sources: DingTalk's global error table and its page on call limits (one-second and one-minute limits, calls of a
//! month, five-minute bans of an address).

use std::time::Duration;

use super::backoff;
use super::circuit::{Cause, CircuitBreaker};
use crate::time::Timestamp;

/// Classification of a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A rate limit: this organisation waits at least for `pause`.
    Throttled {
        /// Wait, from now.
        pause: Duration,
    },
    /// A limit of calls a minute: this organisation waits until the next minute begins.
    ThrottledThisMinute,
    /// DingTalk reports that the month's calls are spent.
    QuotaSpent,
    /// The token or the credentials were refused, even with a fresh token.
    Unauthorised,
    /// A permission is missing, or this IP address is not on the app's list.
    Forbidden,
    /// DingTalk does not know this user (`param.error`, `missing.user.info`).
    UnknownUser,
    /// A known refusal that concerns this user only (`acrossOrgAccessForbidden`).
    RefusedUser,
    /// A refusal by a code without a known meaning: attributed to this user, until several users are refused in a row.
    Refused,
    /// This IP address is banned: all calls from it wait five minutes.
    Banned,
    /// A page instead of JSON: another form of the ban, or a captive portal. All calls wait for the first step of the
    /// backoff, and up to five minutes when it happens again.
    MaybeBanned,
    /// DingTalk fails, or its answer is not understood: back off.
    Outage,
    /// No answer: name resolution, connection, TLS or time-out.
    Unreachable,
    /// The configuration is wrong in a way that looks like another failure.
    Misconfigured,
}

/// Duration of a ban as DingTalk reports it (`"wait":5`, minutes).
const BAN: Duration = Duration::from_mins(5);
impl Verdict {
    /// Whether the refusal concerns the object of the call (a user, a meeting), as far as one answer shows.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::UnknownUser | Self::RefusedUser | Self::Refused)
    }
}

/// Waits before a refused user is polled again; the last one repeats. Each grows by up to a 24th, by user.
const REFUSED_WAITS: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_mins(10), Duration::from_hours(1), Duration::from_hours(24)];
/// Longest `Retry-After` that is honoured, if the backoff's `max` is not shorter.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// A failing organisation is probed at least this often, or at the user's own interval where that is longer: so probes
/// cost no more calls than polling that user, and polling resumes soon after the failure ends.
const LONGEST_PROBE_WAIT: Duration = Duration::from_mins(1);
/// Wait between probes after DingTalk reported that the month's calls are spent.
const QUOTA_PROBE: Duration = Duration::from_hours(6);
/// Shortest pause: the window of each limit of calls a second.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// A longer pause opens the circuit of the organisation.
const LONG_PAUSE: Duration = Duration::from_mins(1);
/// Failures in a row, over all users, that are attributed to the organisation and not to the users.
const OPEN_AFTER: u32 = 5;

/// A failed call, with all that the response depends on.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// Its classification.
    pub verdict: &'a Verdict,
    /// `Retry-After`, if any; it wins when it is longer.
    pub retry_after: Option<Duration>,
    /// Time of the failure.
    pub now: Timestamp,
    /// Failed polls of this user in a row, before this one.
    pub earlier_failures: u32,
    /// Refused polls of this user in a row, before this one.
    pub refusals: u32,
    /// Whether this user was answered successfully within the last day.
    pub answered_lately: bool,
    /// This user's poll interval.
    pub interval: Duration,
    /// Jitter key of this user's waits.
    pub user: u64,
    /// Jitter key of the organisation's waits.
    pub org: u64,
    /// End of the month.
    pub month_ends: Timestamp,
}

impl Failure<'_> {
    /// Whether DingTalk asks for more than [`LONG_PAUSE`], however much of it the settings honour.
    fn asks_for_long_pause(&self) -> bool {
        let pause = match self.verdict {
            Verdict::Throttled { pause } => *pause,
            _ => Duration::ZERO,
        };
        self.retry_after.unwrap_or_default().max(pause) > LONG_PAUSE
    }
}

/// Settings of the backoff.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackoffSteps {
    /// First wait.
    pub initial: Duration,
    /// Longest wait.
    pub max: Duration,
    /// Factor by which each wait grows.
    pub factor: f64,
}

impl BackoffSteps {
    fn wait(&self, attempt: u32, key: u64) -> Duration {
        backoff::delay(attempt, self.initial, self.max, self.factor, key)
    }

    /// The part of a `Retry-After` that is honoured.
    fn honoured(&self, retry_after: Option<Duration>) -> Duration {
        retry_after.unwrap_or_default().min(self.max).min(LONGEST_RETRY_AFTER)
    }
}

/// What waits after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackoffScope {
    /// This user.
    User,
    /// This user, at growing waits, because DingTalk refuses the user.
    RefusedUser,
    /// All users of this organisation.
    Organisation,
    /// All organisations: the IP address is affected.
    AllOrganisations,
}

/// The response to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureResponse {
    /// What waits.
    pub scope: BackoffScope,
    /// Until when; this user's next poll is not earlier.
    pub until: Timestamp,
    /// This user's next poll.
    pub next_poll: Timestamp,
    /// Whether to halve the call rate; it recovers by itself.
    pub halve_rate: bool,
    /// Whether the month is spent, whatever our own count says.
    pub month_spent: bool,
    /// Whether it counts as a failure of this user, so that the next wait is longer.
    pub counts_for_user: bool,
}

/// The response to a failure, and the organisation's circuit breaker after it.
pub fn respond(
    failure: &Failure<'_>,
    breaker: CircuitBreaker,
    steps: &BackoffSteps,
) -> (FailureResponse, CircuitBreaker) {
    let Failure { verdict, now, .. } = *failure;
    let asked = steps.honoured(failure.retry_after);
    match verdict {
        Verdict::Throttled { pause } => {
            let pause = asked.max(steps.honoured(Some(*pause))).max(LEAST_PAUSE);
            throttled(failure, breaker, now.plus(pause))
        }
        Verdict::ThrottledThisMinute => throttled(failure, breaker, next_minute(now).max(now.plus(asked))),
        Verdict::QuotaSpent => {
            let until = failure.month_ends.min(now.plus(QUOTA_PROBE)).max(now.plus(LEAST_PAUSE));
            let response = FailureResponse { month_spent: true, ..delay_organisation(until) };
            (response, breaker.opened_until(Cause::MonthSpent, now, until))
        }
        Verdict::Banned => all_organisations(breaker, now, BAN.max(asked)),
        Verdict::MaybeBanned => {
            let again = breaker.open.is_some_and(|open| open.cause == Cause::Banned);
            let wait = if again { steps.max } else { steps.initial };
            all_organisations(breaker, now, wait.min(BAN).max(asked))
        }
        Verdict::Unauthorised | Verdict::Forbidden | Verdict::Misconfigured => {
            next_probe(failure, breaker, Cause::Auth, steps)
        }
        Verdict::Outage | Verdict::Unreachable => outage(failure, breaker, steps),
        // DingTalk gave a meaningful answer: the organisation does not fail.
        Verdict::RefusedUser => (refused_user_wait(failure), CircuitBreaker::default()),
        Verdict::UnknownUser | Verdict::Refused => refused(failure, breaker, steps),
    }
}

/// A rate limit. More than [`LONG_PAUSE`] without a successful answer opens the circuit, however short each wait is.
fn throttled(
    failure: &Failure<'_>,
    breaker: CircuitBreaker,
    until: Timestamp,
) -> (FailureResponse, CircuitBreaker) {
    let now = failure.now;
    let since = breaker.since.unwrap_or(now);
    let breaker = if until.since(since) > LONG_PAUSE || failure.asks_for_long_pause() {
        breaker.opened_until(Cause::Throttled, now, until)
    } else {
        CircuitBreaker { since: Some(since), ..breaker }
    };
    (FailureResponse { halve_rate: true, ..delay_organisation(until) }, breaker)
}

/// A refusal: attributed to the user, until three users who were answered successfully shortly before are refused in a
/// row.
fn refused(
    failure: &Failure<'_>,
    breaker: CircuitBreaker,
    steps: &BackoffSteps,
) -> (FailureResponse, CircuitBreaker) {
    let users = breaker.refused;
    let refused = if failure.answered_lately { users.with(failure.user) } else { users };
    let probed = breaker.open.is_some_and(|open| open.cause == Cause::Refused);
    if probed || refused.are_three() {
        return next_probe(failure, CircuitBreaker { refused, ..breaker }, Cause::Refused, steps);
    }
    let breaker = match failure.verdict {
        // A refusal with a known meaning shows that DingTalk works.
        Verdict::UnknownUser => CircuitBreaker { refused, ..CircuitBreaker::default() },
        _ => CircuitBreaker { refused, ..breaker },
    };
    (refused_user_wait(failure), breaker)
}

/// The next wait of a refused user.
fn refused_user_wait(failure: &Failure<'_>) -> FailureResponse {
    let step = usize::try_from(failure.refusals).unwrap_or(usize::MAX).min(REFUSED_WAITS.len() - 1);
    let wait = REFUSED_WAITS[step];
    let spread = u64::try_from(wait.as_millis() / 24).unwrap_or(u64::MAX).max(1);
    let next = failure.now.plus(wait).plus(Duration::from_millis(failure.user % spread));
    FailureResponse { scope: BackoffScope::RefusedUser, ..delay_organisation(next) }
}

/// An outage or no answer: attributed to the user, until too many in a row are attributed to the organisation.
fn outage(
    failure: &Failure<'_>,
    breaker: CircuitBreaker,
    steps: &BackoffSteps,
) -> (FailureResponse, CircuitBreaker) {
    let now = failure.now;
    let failures = breaker.failures.saturating_add(1);
    let breaker = CircuitBreaker { failures, since: Some(breaker.since.unwrap_or(now)), ..breaker };
    // A long `Retry-After` concerns DingTalk, not the user.
    if breaker.open.is_some() || failures >= OPEN_AFTER || failure.asks_for_long_pause() {
        return next_probe(failure, breaker, Cause::Upstream, steps);
    }
    let longest = LONGEST_PROBE_WAIT.max(failure.interval);
    let own = steps
        .wait(failure.earlier_failures, failure.user)
        .min(longest)
        .max(steps.honoured(failure.retry_after));
    let until = now.plus(own);
    (
        FailureResponse { scope: BackoffScope::User, counts_for_user: true, ..delay_organisation(until) },
        breaker,
    )
}

/// The next probe, at growing waits.
fn next_probe(
    failure: &Failure<'_>,
    breaker: CircuitBreaker,
    cause: Cause,
    steps: &BackoffSteps,
) -> (FailureResponse, CircuitBreaker) {
    let now = failure.now;
    if let Some(open) = breaker.open.filter(|open| open.cause == cause && now < open.until) {
        // A call in flight when the circuit opened gives no new information.
        return (delay_organisation(open.until), breaker);
    }
    let attempts = breaker.open.filter(|open| open.cause == cause).map_or(0, |open| open.attempts);
    let longest = LONGEST_PROBE_WAIT.max(failure.interval);
    let wait = steps.wait(attempts, failure.org).min(longest).max(steps.honoured(failure.retry_after));
    let until = now.plus(wait);
    let own = now.plus(steps.wait(failure.earlier_failures, failure.user).min(longest));
    let mut breaker = breaker.opened_until(cause, now, until);
    if cause == Cause::Upstream {
        // A user polled without success goes to the end of the queue, so that the next probe polls another user.
        return (
            FailureResponse { next_poll: until.max(own), counts_for_user: true, ..delay_organisation(until) },
            breaker,
        );
    }
    breaker.failures = 0;
    (delay_organisation(until), breaker)
}

fn all_organisations(
    breaker: CircuitBreaker,
    now: Timestamp,
    wait: Duration,
) -> (FailureResponse, CircuitBreaker) {
    let until = now.plus(wait);
    (
        FailureResponse { scope: BackoffScope::AllOrganisations, ..delay_organisation(until) },
        breaker.opened_until(Cause::Banned, now, until),
    )
}

fn delay_organisation(until: Timestamp) -> FailureResponse {
    FailureResponse {
        scope: BackoffScope::Organisation,
        until,
        next_poll: until,
        halve_rate: false,
        month_spent: false,
        counts_for_user: false,
    }
}

fn next_minute(now: Timestamp) -> Timestamp {
    const MINUTE_MS: i64 = 60_000;
    Timestamp::from_ms((now.as_ms().div_euclid(MINUTE_MS) + 1).saturating_mul(MINUTE_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-23T06:00:20Z
    const NOW: Timestamp = Timestamp::from_ms(1_795_413_620_000);
    const STEPS: BackoffSteps =
        BackoffSteps { initial: Duration::from_secs(30), max: Duration::from_mins(15), factor: 2.0 };

    fn failure(verdict: &Verdict) -> Failure<'_> {
        Failure {
            verdict,
            retry_after: None,
            now: NOW,
            earlier_failures: 0,
            refusals: 0,
            answered_lately: true,
            interval: Duration::from_hours(12),
            user: 7,
            org: 9,
            month_ends: NOW.plus(Duration::from_hours(24 * 7)),
        }
    }

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn all() -> [Verdict; 13] {
        [
            Verdict::Throttled { pause: Duration::from_secs(1) },
            Verdict::ThrottledThisMinute,
            Verdict::QuotaSpent,
            Verdict::Unauthorised,
            Verdict::Forbidden,
            Verdict::UnknownUser,
            Verdict::RefusedUser,
            Verdict::Refused,
            Verdict::Banned,
            Verdict::MaybeBanned,
            Verdict::Outage,
            Verdict::Unreachable,
            Verdict::Misconfigured,
        ]
    }

    #[test]
    fn a_limit_a_second_pauses_the_organisation_for_one_and_halves_its_rate() {
        let verdict = Verdict::Throttled { pause: Duration::ZERO };
        let (response, breaker) = respond(&failure(&verdict), CircuitBreaker::default(), &STEPS);
        assert_eq!(
            (response.scope, response.until, response.halve_rate),
            (BackoffScope::Organisation, after(1), true)
        );
        assert_eq!(breaker.open, None, "a hiccup opens no circuit");
    }

    #[test]
    fn a_longer_retry_after_wins_and_a_long_one_opens_the_circuit() {
        let verdict = Verdict::Throttled { pause: Duration::from_secs(1) };
        let asked = Failure { retry_after: Some(Duration::from_mins(10)), ..failure(&verdict) };
        let (response, breaker) = respond(&asked, CircuitBreaker::default(), &STEPS);
        assert_eq!(response.until, after(600));
        assert_eq!(breaker.open.map(|open| open.cause), Some(Cause::Throttled));
        let short = Failure { retry_after: Some(Duration::ZERO), ..failure(&verdict) };
        assert_eq!(respond(&short, CircuitBreaker::default(), &STEPS).0.until, after(1));
    }

    /// However little of it the settings honour.
    #[test]
    fn a_huge_retry_after_opens_the_circuit_at_once_also_with_a_short_longest_wait() {
        let short = BackoffSteps { max: Duration::from_secs(30), ..STEPS };
        let (pause, years) = (Duration::from_secs(1), Duration::from_hours(87_600));
        for (verdict, cause) in [
            (Verdict::Throttled { pause }, Cause::Throttled),
            (Verdict::Throttled { pause: years }, Cause::Throttled),
            (Verdict::ThrottledThisMinute, Cause::Throttled),
            (Verdict::Outage, Cause::Upstream),
        ] {
            let asked = Failure { retry_after: Some(years), ..failure(&verdict) };
            let (response, breaker) = respond(&asked, CircuitBreaker::default(), &short);
            assert_eq!(breaker.open.map(|open| open.cause), Some(cause), "{verdict:?}");
            assert!(response.until.since(NOW) <= LONG_PAUSE, "{verdict:?}");
        }
    }

    #[test]
    fn short_waits_without_a_successful_answer_for_more_than_a_minute_open_the_circuit() {
        for verdict in [Verdict::Throttled { pause: Duration::from_secs(1) }, Verdict::ThrottledThisMinute] {
            let (mut breaker, mut now) = (CircuitBreaker::default(), NOW);
            while now < after(55) {
                let response;
                (response, breaker) = respond(&Failure { now, ..failure(&verdict) }, breaker, &STEPS);
                assert!(breaker.open.is_none() || response.until > after(60), "{verdict:?}");
                now = response.until;
            }
            for _ in 0..10 {
                breaker = respond(&Failure { now, ..failure(&verdict) }, breaker, &STEPS).1;
                now = now.plus(Duration::from_secs(1));
            }
            let open = breaker.open.expect("a reason");
            assert_eq!((open.cause, open.since), (Cause::Throttled, NOW), "{verdict:?}");
        }
    }

    #[test]
    fn a_limit_a_minute_pauses_until_the_next_one() {
        let (response, _) =
            respond(&failure(&Verdict::ThrottledThisMinute), CircuitBreaker::default(), &STEPS);
        assert_eq!(
            (response.scope, response.until, response.halve_rate),
            (BackoffScope::Organisation, after(40), true)
        );
    }

    #[test]
    fn a_spent_month_is_probed_every_six_hours_and_when_it_turns() {
        let verdict = Verdict::QuotaSpent;
        let (response, breaker) = respond(&failure(&verdict), CircuitBreaker::default(), &STEPS);
        assert_eq!((response.until, response.month_spent), (after(6 * 3600), true));
        assert_eq!(breaker.open.map(|open| open.cause), Some(Cause::MonthSpent));
        let last = Failure { month_ends: after(60), ..failure(&verdict) };
        assert_eq!(respond(&last, CircuitBreaker::default(), &STEPS).0.until, after(60));
    }

    #[test]
    fn a_ban_delays_all_organisations_for_five_minutes() {
        let (response, breaker) = respond(&failure(&Verdict::Banned), CircuitBreaker::default(), &STEPS);
        assert_eq!((response.scope, response.until), (BackoffScope::AllOrganisations, after(300)));
        assert_eq!(breaker.open.map(|open| open.cause), Some(Cause::Banned));
    }

    #[test]
    fn a_page_that_may_be_a_ban_delays_all_organisations_for_a_step_and_then_for_five_minutes() {
        let page = Verdict::MaybeBanned;
        let (first, breaker) = respond(&failure(&page), CircuitBreaker::default(), &STEPS);
        assert_eq!((first.scope, first.until), (BackoffScope::AllOrganisations, after(30)));
        let (second, _) = respond(&Failure { now: after(30), ..failure(&page) }, breaker, &STEPS);
        assert_eq!(second.until, after(330));
    }

    #[test]
    fn refused_credentials_permission_and_configuration_open_the_circuit_at_once() {
        for verdict in [Verdict::Unauthorised, Verdict::Forbidden, Verdict::Misconfigured] {
            let (response, breaker) = respond(&failure(&verdict), CircuitBreaker::default(), &STEPS);
            assert_eq!(response.scope, BackoffScope::Organisation, "{verdict:?}");
            let open = breaker.open.expect("open");
            assert_eq!((open.cause, open.attempts), (Cause::Auth, 1), "{verdict:?}");
            let probe = Failure { now: open.until, ..failure(&verdict) };
            let (again, later) = respond(&probe, breaker, &STEPS);
            assert!(again.until.since(open.until) > open.until.since(NOW), "waits grow: {verdict:?}");
            assert_eq!(later.open.map(|open| open.since), Some(NOW));
        }
    }

    #[test]
    fn a_refused_user_is_retried_at_growing_waits_and_delays_no_other() {
        for verdict in [Verdict::UnknownUser, Verdict::RefusedUser, Verdict::Refused] {
            let mut breaker = CircuitBreaker::default();
            for (refusals, wait) in (0..6).zip(REFUSED_WAITS.into_iter().chain([REFUSED_WAITS[3]; 2])) {
                let failed = Failure { refusals, ..failure(&verdict) };
                let (response, after) = respond(&failed, breaker, &STEPS);
                assert_eq!(response.scope, BackoffScope::RefusedUser);
                let waits = response.next_poll.since(NOW);
                assert!((wait..=wait + wait / 24).contains(&waits), "{verdict:?} {refusals}: {waits:?}");
                assert_eq!(after.open, None, "{verdict:?}");
                breaker = after;
            }
        }
    }

    fn of_user(verdict: &Verdict, user: u64, answered_lately: bool) -> Failure<'_> {
        Failure { answered_lately, user, ..failure(verdict) }
    }

    #[test]
    fn three_users_answered_lately_and_refused_in_a_row_open_the_circuit_of_the_organisation() {
        for verdict in [Verdict::UnknownUser, Verdict::Refused] {
            let mut breaker = CircuitBreaker::default();
            // Users who were never answered successfully are no evidence, however many they are.
            for (user, lately) in [(1, true), (1, true), (2, true), (7, false), (8, false), (9, false)] {
                let response;
                (response, breaker) = respond(&of_user(&verdict, user, lately), breaker, &STEPS);
                assert_eq!(
                    (response.scope, breaker.open),
                    (BackoffScope::RefusedUser, None),
                    "{verdict:?} {user}"
                );
            }
            let (third, open) = respond(&of_user(&verdict, 3, true), breaker, &STEPS);
            assert_eq!(third.scope, BackoffScope::Organisation);
            let open = open.open.expect("the circuit is open");
            assert_eq!(open.cause, Cause::Refused);
            assert!(open.until.since(NOW) <= Duration::from_mins(1), "the probe comes soon");
            // A successful answer in between resets the breaker, so the count starts again.
            assert_eq!(respond(&of_user(&verdict, 3, true), CircuitBreaker::default(), &STEPS).1.open, None);
        }
        // A refusal that is known to concern one user is no evidence.
        let mut breaker = CircuitBreaker::default();
        for user in 0..9 {
            breaker = respond(&of_user(&Verdict::RefusedUser, user, true), breaker, &STEPS).1;
            assert_eq!(breaker, CircuitBreaker::default());
        }
    }

    #[test]
    fn a_retry_after_of_ten_years_is_capped_by_the_backoff_and_by_an_hour() {
        let years = Some(Duration::from_hours(87_600));
        let long = BackoffSteps { max: Duration::from_hours(5), ..STEPS };
        let pause = Verdict::Throttled { pause: Duration::from_hours(24) };
        for verdict in [&Verdict::Outage, &Verdict::Unauthorised, &pause, &Verdict::ThrottledThisMinute] {
            let asked = Failure { retry_after: years, ..failure(verdict) };
            let wait = respond(&asked, CircuitBreaker::default(), &STEPS).0.until.since(NOW);
            assert_eq!(wait, STEPS.max, "{verdict:?}");
            let wait = respond(&asked, CircuitBreaker::default(), &long).0.until.since(NOW);
            assert_eq!(wait, LONGEST_RETRY_AFTER, "{verdict:?}");
        }
    }

    #[test]
    fn a_failing_organisation_is_probed_at_the_users_interval_or_every_minute() {
        for (interval, longest) in [(1, 60), (60, 60), (300, 300), (7_200, 900)] {
            let interval = Duration::from_secs(interval);
            let (mut breaker, mut now) = (CircuitBreaker { failures: 9, ..CircuitBreaker::default() }, NOW);
            for _ in 0..12 {
                let failed = Failure { interval, now, earlier_failures: 9, ..failure(&Verdict::Unreachable) };
                let response;
                (response, breaker) = respond(&failed, breaker, &STEPS);
                assert!(response.until.since(now) <= Duration::from_secs(longest * 6 / 5), "{interval:?}");
                now = response.until;
            }
        }
    }

    #[test]
    fn an_outage_is_the_users_until_five_in_a_row_make_it_the_organisations() {
        for verdict in [Verdict::Outage, Verdict::Unreachable] {
            let mut breaker = CircuitBreaker::default();
            for _ in 0..4 {
                let (response, next) = respond(&failure(&verdict), breaker, &STEPS);
                assert_eq!((response.scope, response.counts_for_user), (BackoffScope::User, true));
                breaker = next;
            }
            let (fifth, breaker) = respond(&failure(&verdict), breaker, &STEPS);
            assert_eq!(fifth.scope, BackoffScope::Organisation);
            let (straggler, same) = respond(&failure(&verdict), breaker, &STEPS);
            assert_eq!(straggler.until, fifth.until, "what was under way says nothing new");
            assert_eq!(same.open, breaker.open);
        }
    }

    #[test]
    fn an_outage_with_retry_after_waits_at_least_so_long() {
        let busy = Failure { retry_after: Some(Duration::from_mins(2)), ..failure(&Verdict::Outage) };
        assert_eq!(respond(&busy, CircuitBreaker::default(), &STEPS).0.next_poll, after(120));
    }

    #[test]
    fn a_user_probed_without_success_goes_to_the_end_of_the_queue() {
        let mut breaker = CircuitBreaker { failures: 9, ..CircuitBreaker::default() };
        let poisoned = Failure { earlier_failures: 4, ..failure(&Verdict::Outage) };
        let response;
        (response, breaker) = respond(&poisoned, breaker, &STEPS);
        assert!(response.next_poll > breaker.open.expect("open").until);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        /// Whatever fails in whatever order: the next poll is later, a user's next poll never comes before the end of
        /// what they wait for, and the start of an outage does not move.
        #[test]
        fn waits_end_later_and_an_outage_keeps_its_start(
            steps in proptest::collection::vec((0_usize..13, 0_u64..2_000_000, any::<bool>()), 1..60), user: u64, org: u64,
        ) {
            let all = all();
            let (mut now, mut breaker) = (NOW, CircuitBreaker::default());
            for (which, wait_ms, asked) in steps {
                now = now.plus(Duration::from_millis(wait_ms));
                let failure = Failure {
                    now, user, org, earlier_failures: 3,
                    retry_after: asked.then(|| Duration::from_secs(70)),
                    ..failure(&all[which])
                };
                let before = breaker.open;
                let (response, after) = respond(&failure, breaker, &STEPS);
                prop_assert!(response.until > now || before.is_some_and(|open| open.until > now));
                prop_assert!(response.next_poll >= response.until || response.scope == BackoffScope::User);
                if let (Some(before), Some(after)) = (before, after.open) {
                    prop_assert_eq!(before.since, after.since);
                }
                if matches!(response.scope, BackoffScope::AllOrganisations) {
                    prop_assert!(after.open.is_some());
                }
                breaker = after;
            }
        }
    }
}
