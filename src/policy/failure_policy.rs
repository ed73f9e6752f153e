//! What a failed call means for the calls that follow: who waits, and until when.
//!
//! Guards: one answer for each verdict, in one place, without a clock; waits never shrink while an organisation stays
//! ill, and each is a hash of who waits; a failure of one person holds up nobody else until it is clear that it is not
//! theirs. Deliberately not here: what an answer means (`dingtalk::classify`), how long an organisation has been failing
//! (`circuit`), carrying the waits out (`tasks::poller`).
//!
//! Sources: DingTalk's global error table and its page on call limits (one-second and one-minute limits, calls of a
//! month, five-minute bans of an address).

use std::time::Duration;

use super::backoff;
use super::circuit::{Cause, CircuitBreaker};
use crate::time::Timestamp;

/// What a failure means for the calls that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A rate limit: this organisation waits at least so long.
    Throttled {
        /// From now.
        pause: Duration,
    },
    /// A limit a minute: this organisation waits until the next minute begins.
    ThrottledThisMinute,
    /// The month's calls are used up, says DingTalk.
    QuotaSpent,
    /// The token or the credentials were refused, also after a fresh token.
    Unauthorised,
    /// Permission is missing, or this IP is not on the app's list.
    Forbidden,
    /// DingTalk does not know this user (`param.error`, `missing.user.info`).
    UnknownUser,
    /// A known refusal that concerns this user only (`acrossOrgAccessForbidden`).
    RefusedUser,
    /// A refusal by a code without a known meaning: this user's, until several users are refused in a row.
    Refused,
    /// This IP is banned: everything from here waits five minutes.
    Banned,
    /// A page instead of JSON: the ban's other form, or a portal in between. Everything from here waits for the first
    /// step of the backoff, and up to five minutes when it comes again.
    MaybeBanned,
    /// DingTalk is ill, or answers what nobody understands: back off.
    Outage,
    /// No answer: name, connection, TLS, time-out.
    Unreachable,
    /// The configuration is wrong in a way that looks like something else.
    Misconfigured,
}

/// A banned address is let alone for as long as the ban says (`"wait":5`, minutes).
const BAN: Duration = Duration::from_mins(5);
impl Verdict {
    /// Whether the refusal is about what was asked (a user, a meeting), as far as one answer can tell.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::UnknownUser | Self::RefusedUser | Self::Refused)
    }
}

/// A refused user is polled again after these waits; the last one repeats. Each grows by up to a 24th, by user.
const REFUSED_WAITS: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_mins(10), Duration::from_hours(1), Duration::from_hours(24)];
/// No `Retry-After` is honoured for longer, and none for longer than the backoff's `max`.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// While an organisation fails it is probed at least this often, or at the user's own interval where that is longer: so
/// probes cost no more calls than polling that user, and polling resumes soon after the failure ends.
const LONGEST_PROBE_WAIT: Duration = Duration::from_mins(1);
/// After "the month's calls are used up", one probe in so long.
const QUOTA_PROBE: Duration = Duration::from_hours(6);
/// The window of every limit a second: no refusal for it is answered with less.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// A pause longer than this is no hiccup: the organisation counts as shut.
const LONG_PAUSE: Duration = Duration::from_mins(1);
/// Failures in a row, over all people, after which it is the organisation that fails and not the people.
const SHUT_AFTER: u32 = 5;

/// A failed call, with what the reaction depends on.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// What it means.
    pub verdict: &'a Verdict,
    /// `Retry-After`, where there was one; it wins when it is longer.
    pub retry_after: Option<Duration>,
    /// When it came.
    pub now: Timestamp,
    /// Failed looks in a row at this person, before this one.
    pub earlier: u32,
    /// Refused polls in a row of this user, before this one.
    pub refusals: u32,
    /// This user was answered well within the last day.
    pub answered_lately: bool,
    /// This user's poll interval.
    pub interval: Duration,
    /// The spread of this person's waits.
    pub person: u64,
    /// The spread of the organisation's.
    pub org: u64,
    /// When the month is over.
    pub month_ends: Timestamp,
}

/// The steps between failed calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// The first wait.
    pub initial: Duration,
    /// The longest.
    pub max: Duration,
    /// Each is the last one times this.
    pub factor: f64,
}

impl Steps {
    fn wait(&self, attempt: u32, key: u64) -> Duration {
        backoff::delay(attempt, self.initial, self.max, self.factor, key)
    }

    /// As much of a `Retry-After` as is honoured.
    fn honoured(&self, retry_after: Option<Duration>) -> Duration {
        retry_after.unwrap_or_default().min(self.max).min(LONGEST_RETRY_AFTER)
    }
}

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// This person.
    Person,
    /// This user, at growing waits: DingTalk refuses the user.
    Refused,
    /// Everybody of this organisation.
    Organisation,
    /// Everybody: the address is concerned, not the organisation.
    Everybody,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Who waits.
    pub hold: Hold,
    /// Until when they wait. This person's next look is not earlier either.
    pub until: Timestamp,
    /// This person's next look.
    pub next: Timestamp,
    /// Half the calls a second from now on, growing back.
    pub slower: bool,
    /// Nothing is left of the month, whatever was counted here.
    pub month_spent: bool,
    /// The failure counts as one of this person: the next wait is longer.
    pub counts: bool,
}

/// The reaction to a failure, and how the organisation stands after it.
pub fn react(failure: &Failure<'_>, breaker: CircuitBreaker, steps: &Steps) -> (Reaction, CircuitBreaker) {
    let Failure { verdict, now, .. } = *failure;
    let asked = steps.honoured(failure.retry_after);
    match verdict {
        Verdict::Throttled { pause } => {
            let pause = asked.max(steps.honoured(Some(*pause))).max(LEAST_PAUSE);
            throttled(breaker, now, now.plus(pause))
        }
        Verdict::ThrottledThisMinute => throttled(breaker, now, next_minute(now).max(now.plus(asked))),
        Verdict::QuotaSpent => {
            let until = failure.month_ends.min(now.plus(QUOTA_PROBE)).max(now.plus(LEAST_PAUSE));
            let reaction = Reaction { month_spent: true, ..organisation(until) };
            (reaction, breaker.opened_until(Cause::MonthSpent, now, until))
        }
        Verdict::Banned => everybody(breaker, now, BAN.max(asked)),
        Verdict::MaybeBanned => {
            let again = breaker.open.is_some_and(|shut| shut.cause == Cause::Banned);
            let wait = if again { steps.max } else { steps.initial };
            everybody(breaker, now, wait.min(BAN).max(asked))
        }
        Verdict::Unauthorised | Verdict::Forbidden | Verdict::Misconfigured => {
            probe_later(failure, breaker, Cause::Auth, steps)
        }
        Verdict::Outage | Verdict::Unreachable => one_more(failure, breaker, steps),
        // DingTalk answered with sense: nothing is wrong with the organisation.
        Verdict::RefusedUser => (own_wait(failure), CircuitBreaker::default()),
        Verdict::UnknownUser | Verdict::Refused => refused(failure, breaker, steps),
    }
}

/// Told to wait. Without a good answer for longer than a hiccup lasts it is a reason of its own, however short each wait is.
fn throttled(breaker: CircuitBreaker, now: Timestamp, until: Timestamp) -> (Reaction, CircuitBreaker) {
    let since = breaker.since.unwrap_or(now);
    let breaker = if until.since(since) > LONG_PAUSE {
        breaker.opened_until(Cause::Throttled, now, until)
    } else {
        CircuitBreaker { since: Some(since), ..breaker }
    };
    (Reaction { slower: true, ..organisation(until) }, breaker)
}

/// A refusal: the user's trouble, until three users who were answered well shortly before are refused in a row.
fn refused(failure: &Failure<'_>, breaker: CircuitBreaker, steps: &Steps) -> (Reaction, CircuitBreaker) {
    let users = breaker.refused;
    let refused = if failure.answered_lately { users.with(failure.person) } else { users };
    let probed = breaker.open.is_some_and(|shut| shut.cause == Cause::Refused);
    if probed || refused.are_three() {
        return probe_later(failure, CircuitBreaker { refused, ..breaker }, Cause::Refused, steps);
    }
    let breaker = match failure.verdict {
        // A refusal with a known meaning proves that DingTalk is up.
        Verdict::UnknownUser => CircuitBreaker { refused, ..CircuitBreaker::default() },
        _ => CircuitBreaker { refused, ..breaker },
    };
    (own_wait(failure), breaker)
}

/// The next wait of a refused user.
fn own_wait(failure: &Failure<'_>) -> Reaction {
    let step = usize::try_from(failure.refusals).unwrap_or(usize::MAX).min(REFUSED_WAITS.len() - 1);
    let wait = REFUSED_WAITS[step];
    let spread = u64::try_from(wait.as_millis() / 24).unwrap_or(u64::MAX).max(1);
    let next = failure.now.plus(wait).plus(Duration::from_millis(failure.person % spread));
    Reaction { hold: Hold::Refused, ..organisation(next) }
}

/// An outage or no answer: the person's trouble, until too many in a row make it the organisation's.
fn one_more(failure: &Failure<'_>, breaker: CircuitBreaker, steps: &Steps) -> (Reaction, CircuitBreaker) {
    let now = failure.now;
    let failures = breaker.failures.saturating_add(1);
    let breaker = CircuitBreaker { failures, since: Some(breaker.since.unwrap_or(now)), ..breaker };
    // A long `Retry-After` is about DingTalk, not about the user.
    if breaker.open.is_some() || failures >= SHUT_AFTER || steps.honoured(failure.retry_after) > LONG_PAUSE {
        return probe_later(failure, breaker, Cause::Upstream, steps);
    }
    let longest = LONGEST_PROBE_WAIT.max(failure.interval);
    let own =
        steps.wait(failure.earlier, failure.person).min(longest).max(steps.honoured(failure.retry_after));
    let until = now.plus(own);
    (Reaction { hold: Hold::Person, counts: true, ..organisation(until) }, breaker)
}

/// One probe at growing waits.
fn probe_later(
    failure: &Failure<'_>,
    breaker: CircuitBreaker,
    cause: Cause,
    steps: &Steps,
) -> (Reaction, CircuitBreaker) {
    let now = failure.now;
    if let Some(shut) = breaker.open.filter(|shut| shut.cause == cause && now < shut.until) {
        // Under way when the circuit opened: it says nothing new.
        return (organisation(shut.until), breaker);
    }
    let attempts = breaker.open.filter(|shut| shut.cause == cause).map_or(0, |shut| shut.attempts);
    let longest = LONGEST_PROBE_WAIT.max(failure.interval);
    let wait = steps.wait(attempts, failure.org).min(longest).max(steps.honoured(failure.retry_after));
    let until = now.plus(wait);
    let own = now.plus(steps.wait(failure.earlier, failure.person).min(longest));
    let mut breaker = breaker.opened_until(cause, now, until);
    if cause == Cause::Upstream {
        // Whoever was asked in vain goes to the end of the line, so that the next probe is somebody else.
        return (Reaction { next: until.max(own), counts: true, ..organisation(until) }, breaker);
    }
    breaker.failures = 0;
    (organisation(until), breaker)
}

fn everybody(breaker: CircuitBreaker, now: Timestamp, wait: Duration) -> (Reaction, CircuitBreaker) {
    let until = now.plus(wait);
    (
        Reaction { hold: Hold::Everybody, ..organisation(until) },
        breaker.opened_until(Cause::Banned, now, until),
    )
}

fn organisation(until: Timestamp) -> Reaction {
    Reaction {
        hold: Hold::Organisation,
        until,
        next: until,
        slower: false,
        month_spent: false,
        counts: false,
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
    const STEPS: Steps =
        Steps { initial: Duration::from_secs(30), max: Duration::from_mins(15), factor: 2.0 };

    fn failure(verdict: &Verdict) -> Failure<'_> {
        Failure {
            verdict,
            retry_after: None,
            now: NOW,
            earlier: 0,
            refusals: 0,
            answered_lately: true,
            interval: Duration::from_hours(12),
            person: 7,
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
        let (reaction, breaker) = react(&failure(&verdict), CircuitBreaker::default(), &STEPS);
        assert_eq!((reaction.hold, reaction.until, reaction.slower), (Hold::Organisation, after(1), true));
        assert_eq!(breaker.open, None, "a hiccup opens no circuit");
    }

    #[test]
    fn retry_after_wins_when_it_is_longer_and_a_long_one_shuts() {
        let verdict = Verdict::Throttled { pause: Duration::from_secs(1) };
        let asked = Failure { retry_after: Some(Duration::from_mins(10)), ..failure(&verdict) };
        let (reaction, breaker) = react(&asked, CircuitBreaker::default(), &STEPS);
        assert_eq!(reaction.until, after(600));
        assert_eq!(breaker.open.map(|shut| shut.cause), Some(Cause::Throttled));
        let short = Failure { retry_after: Some(Duration::ZERO), ..failure(&verdict) };
        assert_eq!(react(&short, CircuitBreaker::default(), &STEPS).0.until, after(1));
    }

    #[test]
    fn short_waits_without_a_good_answer_for_more_than_a_minute_are_a_reason() {
        for verdict in [Verdict::Throttled { pause: Duration::from_secs(1) }, Verdict::ThrottledThisMinute] {
            let (mut breaker, mut now) = (CircuitBreaker::default(), NOW);
            while now < after(55) {
                let reaction;
                (reaction, breaker) = react(&Failure { now, ..failure(&verdict) }, breaker, &STEPS);
                assert!(breaker.open.is_none() || reaction.until > after(60), "{verdict:?}");
                now = reaction.until;
            }
            for _ in 0..10 {
                breaker = react(&Failure { now, ..failure(&verdict) }, breaker, &STEPS).1;
                now = now.plus(Duration::from_secs(1));
            }
            let shut = breaker.open.expect("a reason");
            assert_eq!((shut.cause, shut.since), (Cause::Throttled, NOW), "{verdict:?}");
        }
    }

    #[test]
    fn a_limit_a_minute_pauses_until_the_next_one() {
        let (reaction, _) = react(&failure(&Verdict::ThrottledThisMinute), CircuitBreaker::default(), &STEPS);
        assert_eq!((reaction.hold, reaction.until, reaction.slower), (Hold::Organisation, after(40), true));
    }

    #[test]
    fn a_spent_month_is_probed_every_six_hours_and_when_it_turns() {
        let verdict = Verdict::QuotaSpent;
        let (reaction, breaker) = react(&failure(&verdict), CircuitBreaker::default(), &STEPS);
        assert_eq!((reaction.until, reaction.month_spent), (after(6 * 3600), true));
        assert_eq!(breaker.open.map(|shut| shut.cause), Some(Cause::MonthSpent));
        let last = Failure { month_ends: after(60), ..failure(&verdict) };
        assert_eq!(react(&last, CircuitBreaker::default(), &STEPS).0.until, after(60));
    }

    #[test]
    fn a_ban_holds_everybody_for_five_minutes() {
        let (reaction, breaker) = react(&failure(&Verdict::Banned), CircuitBreaker::default(), &STEPS);
        assert_eq!((reaction.hold, reaction.until), (Hold::Everybody, after(300)));
        assert_eq!(breaker.open.map(|shut| shut.cause), Some(Cause::Banned));
    }

    #[test]
    fn a_page_that_may_be_a_ban_holds_everybody_for_a_step_and_then_for_five_minutes() {
        let page = Verdict::MaybeBanned;
        let (first, breaker) = react(&failure(&page), CircuitBreaker::default(), &STEPS);
        assert_eq!((first.hold, first.until), (Hold::Everybody, after(30)));
        let (second, _) = react(&Failure { now: after(30), ..failure(&page) }, breaker, &STEPS);
        assert_eq!(second.until, after(330));
    }

    #[test]
    fn refused_credentials_permission_and_configuration_shut_the_organisation_at_once() {
        for verdict in [Verdict::Unauthorised, Verdict::Forbidden, Verdict::Misconfigured] {
            let (reaction, breaker) = react(&failure(&verdict), CircuitBreaker::default(), &STEPS);
            assert_eq!(reaction.hold, Hold::Organisation, "{verdict:?}");
            let shut = breaker.open.expect("shut");
            assert_eq!((shut.cause, shut.attempts), (Cause::Auth, 1), "{verdict:?}");
            let probe = Failure { now: shut.until, ..failure(&verdict) };
            let (again, later) = react(&probe, breaker, &STEPS);
            assert!(again.until.since(shut.until) > shut.until.since(NOW), "waits grow: {verdict:?}");
            assert_eq!(later.open.map(|shut| shut.since), Some(NOW));
        }
    }

    #[test]
    fn a_refused_user_is_retried_at_growing_waits_and_holds_up_no_other() {
        for verdict in [Verdict::UnknownUser, Verdict::RefusedUser, Verdict::Refused] {
            let mut breaker = CircuitBreaker::default();
            for (refusals, wait) in (0..6).zip(REFUSED_WAITS.into_iter().chain([REFUSED_WAITS[3]; 2])) {
                let failed = Failure { refusals, ..failure(&verdict) };
                let (reaction, after) = react(&failed, breaker, &STEPS);
                assert_eq!(reaction.hold, Hold::Refused);
                let waits = reaction.next.since(NOW);
                assert!((wait..=wait + wait / 24).contains(&waits), "{verdict:?} {refusals}: {waits:?}");
                assert_eq!(after.open, None, "{verdict:?}");
                breaker = after;
            }
        }
    }

    fn of_user(verdict: &Verdict, person: u64, answered_lately: bool) -> Failure<'_> {
        Failure { answered_lately, person, ..failure(verdict) }
    }

    #[test]
    fn three_users_answered_lately_and_refused_in_a_row_open_the_circuit_of_the_organisation() {
        for verdict in [Verdict::UnknownUser, Verdict::Refused] {
            let mut breaker = CircuitBreaker::default();
            // Users who were never answered well prove nothing, however many they are.
            for (person, lately) in [(1, true), (1, true), (2, true), (7, false), (8, false), (9, false)] {
                let reaction;
                (reaction, breaker) = react(&of_user(&verdict, person, lately), breaker, &STEPS);
                assert_eq!((reaction.hold, breaker.open), (Hold::Refused, None), "{verdict:?} {person}");
            }
            let (third, open) = react(&of_user(&verdict, 3, true), breaker, &STEPS);
            assert_eq!(third.hold, Hold::Organisation);
            let shut = open.open.expect("the circuit is open");
            assert_eq!(shut.cause, Cause::Refused);
            assert!(shut.until.since(NOW) <= Duration::from_mins(1), "the probe comes soon");
            // A good answer in between, which resets everything, starts the count again.
            assert_eq!(react(&of_user(&verdict, 3, true), CircuitBreaker::default(), &STEPS).1.open, None);
        }
        // A refusal that is known to concern one user is no evidence.
        let mut breaker = CircuitBreaker::default();
        for person in 0..9 {
            breaker = react(&of_user(&Verdict::RefusedUser, person, true), breaker, &STEPS).1;
            assert_eq!(breaker, CircuitBreaker::default());
        }
    }

    #[test]
    fn a_retry_after_of_ten_years_is_capped_by_the_backoff_and_by_an_hour() {
        let years = Some(Duration::from_hours(87_600));
        let long = Steps { max: Duration::from_hours(5), ..STEPS };
        let pause = Verdict::Throttled { pause: Duration::from_hours(24) };
        for verdict in [&Verdict::Outage, &Verdict::Unauthorised, &pause, &Verdict::ThrottledThisMinute] {
            let asked = Failure { retry_after: years, ..failure(verdict) };
            let wait = react(&asked, CircuitBreaker::default(), &STEPS).0.until.since(NOW);
            assert_eq!(wait, STEPS.max, "{verdict:?}");
            let wait = react(&asked, CircuitBreaker::default(), &long).0.until.since(NOW);
            assert_eq!(wait, LONGEST_RETRY_AFTER, "{verdict:?}");
        }
    }

    #[test]
    fn a_failing_organisation_is_probed_at_the_users_interval_or_every_minute() {
        for (interval, longest) in [(1, 60), (60, 60), (300, 300), (7_200, 900)] {
            let interval = Duration::from_secs(interval);
            let (mut breaker, mut now) = (CircuitBreaker { failures: 9, ..CircuitBreaker::default() }, NOW);
            for _ in 0..12 {
                let failed = Failure { interval, now, earlier: 9, ..failure(&Verdict::Unreachable) };
                let reaction;
                (reaction, breaker) = react(&failed, breaker, &STEPS);
                assert!(reaction.until.since(now) <= Duration::from_secs(longest * 6 / 5), "{interval:?}");
                now = reaction.until;
            }
        }
    }

    #[test]
    fn an_outage_is_one_persons_until_five_in_a_row_make_it_the_organisations() {
        for verdict in [Verdict::Outage, Verdict::Unreachable] {
            let mut breaker = CircuitBreaker::default();
            for _ in 0..4 {
                let (reaction, next) = react(&failure(&verdict), breaker, &STEPS);
                assert_eq!((reaction.hold, reaction.counts), (Hold::Person, true));
                breaker = next;
            }
            let (fifth, breaker) = react(&failure(&verdict), breaker, &STEPS);
            assert_eq!(fifth.hold, Hold::Organisation);
            let (straggler, same) = react(&failure(&verdict), breaker, &STEPS);
            assert_eq!(straggler.until, fifth.until, "what was under way says nothing new");
            assert_eq!(same.open, breaker.open);
        }
    }

    #[test]
    fn an_outage_with_retry_after_waits_at_least_so_long() {
        let busy = Failure { retry_after: Some(Duration::from_mins(2)), ..failure(&Verdict::Outage) };
        assert_eq!(react(&busy, CircuitBreaker::default(), &STEPS).0.next, after(120));
    }

    #[test]
    fn a_person_who_was_probed_in_vain_goes_to_the_end_of_the_line() {
        let mut breaker = CircuitBreaker { failures: 9, ..CircuitBreaker::default() };
        let poisoned = Failure { earlier: 4, ..failure(&Verdict::Outage) };
        let reaction;
        (reaction, breaker) = react(&poisoned, breaker, &STEPS);
        assert!(reaction.next > breaker.open.expect("shut").until);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        /// Whatever fails in whatever order: the next look is later, a person's next look never comes before what
        /// holds them ends, and the beginning of an episode does not move.
        #[test]
        fn waits_lie_ahead_and_an_episode_keeps_its_beginning(
            steps in proptest::collection::vec((0_usize..13, 0_u64..2_000_000, any::<bool>()), 1..60), person: u64, org: u64,
        ) {
            let all = all();
            let (mut now, mut breaker) = (NOW, CircuitBreaker::default());
            for (which, wait_ms, asked) in steps {
                now = now.plus(Duration::from_millis(wait_ms));
                let failure = Failure {
                    now, person, org, earlier: 3,
                    retry_after: asked.then(|| Duration::from_secs(70)),
                    ..failure(&all[which])
                };
                let before = breaker.open;
                let (reaction, after) = react(&failure, breaker, &STEPS);
                prop_assert!(reaction.until > now || before.is_some_and(|shut| shut.until > now));
                prop_assert!(reaction.next >= reaction.until || reaction.hold == Hold::Person);
                if let (Some(before), Some(after)) = (before, after.open) {
                    prop_assert_eq!(before.since, after.since);
                }
                if matches!(reaction.hold, Hold::Everybody) {
                    prop_assert!(after.open.is_some());
                }
                breaker = after;
            }
        }
    }
}
