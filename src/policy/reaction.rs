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
use super::circuit::{Cause, Standing};
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
    /// This person is refused; nobody else is concerned.
    UnknownUser,
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
/// Somebody DingTalk does not know is looked at again after a day,
const PARKED: Duration = Duration::from_hours(24);
/// and up to so much later, each at a time of their own.
const PARKED_SPREAD_MS: u64 = 3_600_000;
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
}

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// This person.
    Person,
    /// This person, for a day: DingTalk does not know them.
    Parked,
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
pub fn react(failure: &Failure<'_>, standing: Standing, steps: &Steps) -> (Reaction, Standing) {
    let Failure { verdict, now, .. } = *failure;
    let since = standing.since.unwrap_or(now);
    match verdict {
        Verdict::Throttled { pause } => {
            let pause = failure.retry_after.unwrap_or_default().max(*pause).max(LEAST_PAUSE);
            let until = now.plus(pause);
            let standing = if pause > LONG_PAUSE {
                standing.shut_for(Cause::Throttled, now, until)
            } else {
                Standing { since: Some(since), ..standing }
            };
            (Reaction { slower: true, ..organisation(until) }, standing)
        }
        Verdict::ThrottledThisMinute => {
            let until = next_minute(now).max(now.plus(failure.retry_after.unwrap_or_default()));
            (Reaction { slower: true, ..organisation(until) }, Standing { since: Some(since), ..standing })
        }
        Verdict::QuotaSpent => {
            let until = failure.month_ends.min(now.plus(QUOTA_PROBE)).max(now.plus(LEAST_PAUSE));
            let reaction = Reaction { month_spent: true, ..organisation(until) };
            (reaction, standing.shut_for(Cause::MonthSpent, now, until))
        }
        Verdict::Banned => everybody(standing, now, BAN.max(failure.retry_after.unwrap_or_default())),
        Verdict::MaybeBanned => {
            let again = standing.shut.is_some_and(|shut| shut.cause == Cause::Banned);
            let wait = if again { steps.max } else { steps.initial };
            everybody(standing, now, wait.min(BAN).max(failure.retry_after.unwrap_or_default()))
        }
        Verdict::Unauthorised | Verdict::Forbidden | Verdict::Misconfigured => {
            probe_later(failure, standing, Cause::Auth, steps)
        }
        Verdict::Outage | Verdict::Unreachable => one_more(failure, standing, steps),
        Verdict::UnknownUser => {
            let spread = Duration::from_millis(failure.person % PARKED_SPREAD_MS);
            let next = now.plus(PARKED).plus(spread);
            let reaction = Reaction { hold: Hold::Parked, ..organisation(next) };
            // DingTalk answered, with sense: the organisation is well.
            (reaction, Standing::default())
        }
    }
}

/// An outage or no answer: the person's trouble, until too many in a row make it the organisation's.
fn one_more(failure: &Failure<'_>, standing: Standing, steps: &Steps) -> (Reaction, Standing) {
    let now = failure.now;
    let failures = standing.failures.saturating_add(1);
    let standing = Standing { failures, since: Some(standing.since.unwrap_or(now)), ..standing };
    if standing.shut.is_some() || failures >= SHUT_AFTER {
        return probe_later(failure, standing, Cause::Upstream, steps);
    }
    let own = steps.wait(failure.earlier, failure.person).max(failure.retry_after.unwrap_or_default());
    let until = now.plus(own);
    (Reaction { hold: Hold::Person, counts: true, ..organisation(until) }, standing)
}

/// One probe at growing waits.
fn probe_later(
    failure: &Failure<'_>,
    standing: Standing,
    cause: Cause,
    steps: &Steps,
) -> (Reaction, Standing) {
    let now = failure.now;
    if let Some(shut) = standing.shut.filter(|shut| shut.cause == cause && now < shut.until) {
        // Under way when the circuit opened: it says nothing new.
        return (organisation(shut.until), standing);
    }
    let attempts = standing.shut.filter(|shut| shut.cause == cause).map_or(0, |shut| shut.attempts);
    let wait = steps.wait(attempts, failure.org).max(failure.retry_after.unwrap_or_default());
    let until = now.plus(wait);
    let own = now.plus(steps.wait(failure.earlier, failure.person));
    let mut standing = standing.shut_for(cause, now, until);
    if cause == Cause::Upstream {
        // Whoever was asked in vain goes to the end of the line, so that the next probe is somebody else.
        return (Reaction { next: until.max(own), counts: true, ..organisation(until) }, standing);
    }
    standing.failures = 0;
    (organisation(until), standing)
}

fn everybody(standing: Standing, now: Timestamp, wait: Duration) -> (Reaction, Standing) {
    let until = now.plus(wait);
    (Reaction { hold: Hold::Everybody, ..organisation(until) }, standing.shut_for(Cause::Banned, now, until))
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
            person: 7,
            org: 9,
            month_ends: NOW.plus(Duration::from_hours(24 * 7)),
        }
    }

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn all() -> [Verdict; 11] {
        [
            Verdict::Throttled { pause: Duration::from_secs(1) },
            Verdict::ThrottledThisMinute,
            Verdict::QuotaSpent,
            Verdict::Unauthorised,
            Verdict::Forbidden,
            Verdict::UnknownUser,
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
        let (reaction, standing) = react(&failure(&verdict), Standing::default(), &STEPS);
        assert_eq!((reaction.hold, reaction.until, reaction.slower), (Hold::Organisation, after(1), true));
        assert_eq!(standing.shut, None, "a hiccup opens no circuit");
    }

    #[test]
    fn retry_after_wins_when_it_is_longer_and_a_long_one_shuts() {
        let verdict = Verdict::Throttled { pause: Duration::from_secs(1) };
        let asked = Failure { retry_after: Some(Duration::from_mins(10)), ..failure(&verdict) };
        let (reaction, standing) = react(&asked, Standing::default(), &STEPS);
        assert_eq!(reaction.until, after(600));
        assert_eq!(standing.shut.map(|shut| shut.cause), Some(Cause::Throttled));
        let short = Failure { retry_after: Some(Duration::ZERO), ..failure(&verdict) };
        assert_eq!(react(&short, Standing::default(), &STEPS).0.until, after(1));
    }

    #[test]
    fn a_limit_a_minute_pauses_until_the_next_one() {
        let (reaction, _) = react(&failure(&Verdict::ThrottledThisMinute), Standing::default(), &STEPS);
        assert_eq!((reaction.hold, reaction.until, reaction.slower), (Hold::Organisation, after(40), true));
    }

    #[test]
    fn a_spent_month_is_probed_every_six_hours_and_when_it_turns() {
        let verdict = Verdict::QuotaSpent;
        let (reaction, standing) = react(&failure(&verdict), Standing::default(), &STEPS);
        assert_eq!((reaction.until, reaction.month_spent), (after(6 * 3600), true));
        assert_eq!(standing.shut.map(|shut| shut.cause), Some(Cause::MonthSpent));
        let last = Failure { month_ends: after(60), ..failure(&verdict) };
        assert_eq!(react(&last, Standing::default(), &STEPS).0.until, after(60));
    }

    #[test]
    fn a_ban_holds_everybody_for_five_minutes() {
        let (reaction, standing) = react(&failure(&Verdict::Banned), Standing::default(), &STEPS);
        assert_eq!((reaction.hold, reaction.until), (Hold::Everybody, after(300)));
        assert_eq!(standing.shut.map(|shut| shut.cause), Some(Cause::Banned));
    }

    #[test]
    fn a_page_that_may_be_a_ban_holds_everybody_for_a_step_and_then_for_five_minutes() {
        let page = Verdict::MaybeBanned;
        let (first, standing) = react(&failure(&page), Standing::default(), &STEPS);
        assert_eq!((first.hold, first.until), (Hold::Everybody, after(30)));
        let (second, _) = react(&Failure { now: after(30), ..failure(&page) }, standing, &STEPS);
        assert_eq!(second.until, after(330));
    }

    #[test]
    fn refused_credentials_permission_and_configuration_shut_the_organisation_at_once() {
        for verdict in [Verdict::Unauthorised, Verdict::Forbidden, Verdict::Misconfigured] {
            let (reaction, standing) = react(&failure(&verdict), Standing::default(), &STEPS);
            assert_eq!(reaction.hold, Hold::Organisation, "{verdict:?}");
            let shut = standing.shut.expect("shut");
            assert_eq!((shut.cause, shut.attempts), (Cause::Auth, 1), "{verdict:?}");
            let probe = Failure { now: shut.until, ..failure(&verdict) };
            let (again, later) = react(&probe, standing, &STEPS);
            assert!(again.until.since(shut.until) > shut.until.since(NOW), "waits grow: {verdict:?}");
            assert_eq!(later.shut.map(|shut| shut.since), Some(NOW));
        }
    }

    #[test]
    fn an_unknown_person_is_parked_for_a_day_and_holds_up_nobody() {
        let (reaction, standing) = react(&failure(&Verdict::UnknownUser), Standing::default(), &STEPS);
        assert_eq!(reaction.hold, Hold::Parked);
        let wait = reaction.next.since(NOW);
        assert!((PARKED..PARKED + Duration::from_hours(1)).contains(&wait), "{wait:?}");
        assert_eq!(standing, Standing::default());
    }

    #[test]
    fn an_outage_is_one_persons_until_five_in_a_row_make_it_the_organisations() {
        for verdict in [Verdict::Outage, Verdict::Unreachable] {
            let mut standing = Standing::default();
            for _ in 0..4 {
                let (reaction, next) = react(&failure(&verdict), standing, &STEPS);
                assert_eq!((reaction.hold, reaction.counts), (Hold::Person, true));
                standing = next;
            }
            let (fifth, standing) = react(&failure(&verdict), standing, &STEPS);
            assert_eq!(fifth.hold, Hold::Organisation);
            let (straggler, same) = react(&failure(&verdict), standing, &STEPS);
            assert_eq!(straggler.until, fifth.until, "what was under way says nothing new");
            assert_eq!(same.shut, standing.shut);
        }
    }

    #[test]
    fn an_outage_with_retry_after_waits_at_least_so_long() {
        let busy = Failure { retry_after: Some(Duration::from_mins(2)), ..failure(&Verdict::Outage) };
        assert_eq!(react(&busy, Standing::default(), &STEPS).0.next, after(120));
    }

    #[test]
    fn a_person_who_was_probed_in_vain_goes_to_the_end_of_the_line() {
        let mut standing = Standing { failures: 9, ..Standing::default() };
        let poisoned = Failure { earlier: 4, ..failure(&Verdict::Outage) };
        let reaction;
        (reaction, standing) = react(&poisoned, standing, &STEPS);
        assert!(reaction.next > standing.shut.expect("shut").until);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Whatever fails in whatever order: the next look is later, a person's next look never comes before what
        /// holds them ends, and the beginning of an episode does not move.
        #[test]
        fn waits_lie_ahead_and_an_episode_keeps_its_beginning(
            steps in proptest::collection::vec((0_usize..11, 0_u64..2_000_000, any::<bool>()), 1..60), person: u64, org: u64,
        ) {
            let all = all();
            let (mut now, mut standing) = (NOW, Standing::default());
            for (which, wait_ms, asked) in steps {
                now = now.plus(Duration::from_millis(wait_ms));
                let failure = Failure {
                    now, person, org, earlier: 3,
                    retry_after: asked.then(|| Duration::from_secs(70)),
                    ..failure(&all[which])
                };
                let before = standing.shut;
                let (reaction, after) = react(&failure, standing, &STEPS);
                prop_assert!(reaction.until > now || before.is_some_and(|shut| shut.until > now));
                prop_assert!(reaction.next >= reaction.until || reaction.hold == Hold::Person);
                if let (Some(before), Some(after)) = (before, after.shut) {
                    prop_assert_eq!(before.since, after.since);
                }
                if matches!(reaction.hold, Hold::Everybody) {
                    prop_assert!(after.shut.is_some());
                }
                standing = after;
            }
        }
    }
}
