//! What an attempt to deliver means: for the delivery (done, again later, given up) and for its webhook (up, down,
//! disabled).
//!
//! Guards: one bad event never blocks a lane for days, and a dead receiver never burns anybody's attempts; waits grow,
//! are capped, and `Retry-After` only ever makes them longer. Deliberately not here: sending (`webhook`), keeping
//! (`store::outbox`), the order of lanes (`tasks::dispatcher`).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// Unavailable so often in a row, over all lanes, puts a webhook down.
pub const DOWN_AFTER: u32 = 5;

/// The longest `Retry-After` that is honoured.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Accepted,
    /// The request itself is the trouble: sending it again will hardly help.
    Refused,
    /// The receiver is the trouble; also when there was no answer at all.
    Unavailable,
    /// The receiver wants nothing more, ever (410).
    Gone,
}

/// The outcome an HTTP status stands for.
pub fn outcome_of_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Accepted,
        300..=399 | 400 | 405 | 406 | 411 | 413 | 414 | 415 | 422 | 431 | 451 => Outcome::Refused,
        410 => Outcome::Gone,
        _ => Outcome::Unavailable,
    }
}

/// Why a delivery exists; travels as `presenced-trigger`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Something happened.
    Event,
    /// The operator wants it sent again.
    Replay,
    /// The operator tries the webhook out.
    Test,
}

impl Trigger {
    /// The word in the header and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Replay => "replay",
            Self::Test => "test",
        }
    }

    /// The reverse of [`Trigger::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Event, Self::Replay, Self::Test].into_iter().find(|trigger| trigger.name() == name)
    }
}

/// The operator's say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// The first wait.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// Each wait is the last one times this.
    pub factor: f64,
    /// Strikes before an event is a dead letter; at least 1.
    pub attempts: u32,
    /// Down for so long disables the webhook.
    pub give_up_after: Duration,
    /// Events older than this are not sent any more; `None`: they always are.
    pub max_age: Option<Duration>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(5),
            max: Duration::from_hours(1),
            factor: 4.0,
            attempts: 5,
            give_up_after: Duration::from_hours(5 * 24),
            max_age: None,
        }
    }
}

impl Rules {
    /// Whether an event written down at `recorded` is too old to be sent at `now`.
    pub fn expired(&self, recorded: Timestamp, now: Timestamp) -> bool {
        self.max_age.is_some_and(|max_age| now.since(recorded) > max_age)
    }
}

/// Whether a webhook is sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Everything that is due goes out.
    #[default]
    Up,
    /// One probe at a time.
    Down {
        /// When the last of the failures in a row came.
        since: Timestamp,
        /// When the next probe may go out.
        probe_at: Timestamp,
        /// Probes that failed so far.
        probes: u32,
    },
    /// Nothing goes out; what waits becomes dead letters.
    Disabled {
        /// For the operator.
        reason: String,
    },
    /// Nothing goes out; what waits goes on waiting.
    Paused {
        /// For the operator.
        reason: String,
    },
}

impl Standing {
    /// Down, with a probe now and then.
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }

    /// The word in the database and in texts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down { .. } => "down",
            Self::Disabled { .. } => "disabled",
            Self::Paused { .. } => "paused",
        }
    }
}

/// A webhook's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it is sent to.
    pub standing: Standing,
    /// Unavailable in a row, over all lanes.
    pub failures: u32,
    /// Whose strikes are part of that row, at most [`DOWN_AFTER`]. Kept in memory only: after a restart in the middle
    /// of a row its first strikes stay, which is at most four.
    pub struck: Vec<i64>,
}

/// One attempt, as far as a decision needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The delivery.
    pub delivery_id: i64,
    /// What its jitter is hashed from: the webhook and the event.
    pub key: &'a str,
    /// Strikes before this attempt.
    pub strikes: u32,
    /// It went out as the probe of a webhook that is down.
    pub probe: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// The receiver asked for this wait.
    pub retry_after: Option<Duration>,
    /// When it ended.
    pub at: Timestamp,
}

/// What follows for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The receiver has it.
    Delivered,
    /// Again, not before this.
    Retry(Timestamp),
    /// Given up.
    Dead,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For the delivery.
    pub next: Next,
    /// Strikes of the delivery from now on.
    pub strikes: u32,
    /// Deliveries that each get one strike back, because it was the receiver's fault.
    pub forgiven: Vec<i64>,
}

/// Decides what follows, and moves `health` along.
pub fn decide(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> Verdict {
    match attempt.outcome {
        Outcome::Accepted => {
            answered(health);
            if health.standing.is_down() {
                health.standing = Standing::Up;
            }
            Verdict { next: Next::Delivered, strikes: attempt.strikes, forgiven: Vec::new() }
        }
        Outcome::Gone => {
            health.standing = Standing::Disabled { reason: "the receiver answered 410 Gone".to_owned() };
            Verdict { next: Next::Dead, strikes: attempt.strikes, forgiven: Vec::new() }
        }
        Outcome::Refused => refused(health, attempt, rules),
        Outcome::Unavailable => unavailable(health, attempt, rules),
    }
}

/// A refusal is the event's fault, so it is a strike whether the webhook is up or down: a lone lane with a bad head
/// would otherwise keep a receiver down that is long back.
fn refused(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> Verdict {
    answered(health);
    probe_failed(health, attempt, rules);
    let strikes = attempt.strikes.saturating_add(1);
    let next = if strikes >= rules.attempts { Next::Dead } else { retry(attempt, strikes, rules) };
    Verdict { next, strikes, forgiven: Vec::new() }
}

fn unavailable(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> Verdict {
    if health.standing != Standing::Up {
        // The receiver's fault, not the event's: the lane is ready, and waits for the webhook.
        probe_failed(health, attempt, rules);
        return Verdict { next: Next::Retry(attempt.at), strikes: attempt.strikes, forgiven: Vec::new() };
    }
    health.failures = health.failures.saturating_add(1);
    if health.failures >= DOWN_AFTER {
        let probe_at = attempt.at.plus(wait(1, attempt.key, attempt.retry_after, rules));
        health.standing = Standing::Down { since: attempt.at, probe_at, probes: 0 };
        let forgiven = std::mem::take(&mut health.struck);
        return Verdict { next: Next::Retry(attempt.at), strikes: attempt.strikes, forgiven };
    }
    health.struck.push(attempt.delivery_id);
    let strikes = attempt.strikes.saturating_add(1);
    // A row as long as the strikes may be made of this very delivery: nothing shows yet that others get through.
    let others_succeed = health.failures < strikes;
    let next =
        if strikes >= rules.attempts && others_succeed { Next::Dead } else { retry(attempt, strikes, rules) };
    Verdict { next, strikes, forgiven: Vec::new() }
}

fn answered(health: &mut Health) {
    health.failures = 0;
    health.struck.clear();
}

fn probe_failed(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) {
    // What was still in flight when the webhook went down says nothing new.
    if !attempt.probe {
        return;
    }
    if let Standing::Down { since, probe_at, probes } = &mut health.standing {
        if attempt.at.since(*since) >= rules.give_up_after {
            let reason = format!("down since {since}");
            health.standing = Standing::Disabled { reason };
            return;
        }
        *probes = probes.saturating_add(1);
        *probe_at = attempt.at.plus(wait(probes.saturating_add(1), attempt.key, attempt.retry_after, rules));
    }
}

fn retry(attempt: &Attempt<'_>, strikes: u32, rules: &Rules) -> Next {
    Next::Retry(attempt.at.plus(wait(strikes, attempt.key, attempt.retry_after, rules)))
}

/// The wait before the `n`-th next try (1: the first): the backoff, or what the receiver asked for when that is longer.
fn wait(n: u32, key: &str, retry_after: Option<Duration>, rules: &Rules) -> Duration {
    let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    backoff(n, key, rules).max(asked)
}

/// `initial * factor^(n-1)`, at most `max`, within 20 % to either side by a hash of `key` and `n`; at least 1 ms.
fn backoff(n: u32, key: &str, rules: &Rules) -> Duration {
    let steps = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
    let longest = rules.max.as_secs_f64();
    let grown = (rules.initial.as_secs_f64() * rules.factor.max(1.0).powi(steps)).min(longest);
    Duration::from_secs_f64((grown * jitter(key, n)).clamp(0.001, longest.max(0.001)))
}

/// Between 0.8 and 1.2, the same for the same input.
fn jitter(key: &str, n: u32) -> f64 {
    let hash = Sha256::new().chain_update(key).chain_update(n.to_be_bytes()).finalize();
    let drawn = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    0.8 + 0.4 * f64::from(drawn) / f64::from(u32::MAX)
}

/// The wait a `Retry-After` header asks for: seconds, or a date in any of the three forms of RFC 9110 section 5.6.7.
/// `None` when it is neither; zero when the date is past.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit ask for longer than is honoured anyway.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::parse_from_rfc2822(header)
        .map(|date| date.naive_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(header, "%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|_| NaiveDateTime::parse_from_str(header, "%a %b %e %H:%M:%S %Y"))
        .ok()?;
    Some(Timestamp::from_ms(date.and_utc().timestamp_millis()).since(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn attempt(outcome: Outcome) -> Attempt<'static> {
        Attempt {
            delivery_id: 1,
            key: "crm/evt_1",
            strikes: 0,
            probe: false,
            outcome,
            retry_after: None,
            at: T0,
        }
    }

    fn down(health: &mut Health) {
        for id in 0..5 {
            decide(health, &Attempt { delivery_id: id, ..attempt(Outcome::Unavailable) }, &Rules::default());
        }
        assert!(matches!(health.standing, Standing::Down { .. }));
    }

    fn waited(next: Next) -> Duration {
        match next {
            Next::Retry(at) => at.since(T0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_status_has_the_outcome_of_the_table() {
        let refused = [300, 301, 302, 304, 307, 308, 399, 400, 405, 406, 411, 413, 414, 415, 422, 431, 451];
        let unavailable =
            [100, 199, 401, 402, 403, 404, 407, 408, 409, 418, 425, 429, 500, 502, 503, 504, 599, 999];
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(outcome_of_status(status), Outcome::Accepted, "{status}");
        }
        for status in refused {
            assert_eq!(outcome_of_status(status), Outcome::Refused, "{status}");
        }
        for status in unavailable {
            assert_eq!(outcome_of_status(status), Outcome::Unavailable, "{status}");
        }
        assert_eq!(outcome_of_status(410), Outcome::Gone);
    }

    #[test]
    fn accepted_is_delivered_and_ends_the_row() {
        let mut health = Health { failures: 4, struck: vec![1, 2, 3, 4], ..Health::default() };
        let verdict = decide(&mut health, &attempt(Outcome::Accepted), &Rules::default());
        assert_eq!(verdict.next, Next::Delivered);
        assert_eq!(health, Health::default());
    }

    #[test]
    fn a_refused_head_is_a_dead_letter_after_its_attempts() {
        let (mut health, mut strikes, rules) = (Health::default(), 0, Rules::default());
        for n in 1..5 {
            let verdict = decide(&mut health, &Attempt { strikes, ..attempt(Outcome::Refused) }, &rules);
            assert!(matches!(verdict.next, Next::Retry(_)), "{n}");
            strikes = verdict.strikes;
        }
        let verdict = decide(&mut health, &Attempt { strikes, ..attempt(Outcome::Refused) }, &rules);
        assert_eq!(verdict.next, Next::Dead);
        assert_eq!(health, Health::default());
    }

    #[test]
    fn the_waits_are_5_20_80_320_seconds_within_a_fifth() {
        for (strikes, seconds) in [(0, 5.0), (1, 20.0), (2, 80.0), (3, 320.0)] {
            let verdict = decide(
                &mut Health::default(),
                &Attempt { strikes, ..attempt(Outcome::Refused) },
                &Rules::default(),
            );
            let waited = waited(verdict.next).as_secs_f64();
            assert!((seconds * 0.79..=seconds * 1.21).contains(&waited), "{strikes}: {waited}");
        }
    }

    #[test]
    fn unavailable_while_others_succeed_is_poison_and_ends_as_a_dead_letter() {
        let (mut health, mut strikes, rules) = (Health::default(), 0, Rules::default());
        for n in 1..=5 {
            decide(&mut health, &Attempt { delivery_id: 2, ..attempt(Outcome::Accepted) }, &rules);
            let verdict = decide(&mut health, &Attempt { strikes, ..attempt(Outcome::Unavailable) }, &rules);
            assert_eq!(verdict.next == Next::Dead, n == 5, "{n}");
            strikes = verdict.strikes;
        }
        assert_eq!(health.standing, Standing::Up);
    }

    #[test]
    fn a_lone_lane_never_dies_of_a_dead_receiver_however_few_attempts_it_has() {
        let rules = Rules { attempts: 1, ..Rules::default() };
        let (mut health, mut strikes) = (Health::default(), 0);
        for _ in 0..200 {
            let probe = health.standing != Standing::Up;
            let verdict =
                decide(&mut health, &Attempt { strikes, probe, ..attempt(Outcome::Unavailable) }, &rules);
            assert!(matches!(verdict.next, Next::Retry(_)));
            strikes = verdict.strikes;
        }
    }

    #[test]
    fn five_in_a_row_over_all_lanes_put_it_down_and_their_strikes_are_forgiven() {
        let (mut health, rules) = (Health::default(), Rules::default());
        for id in 1..=4 {
            let verdict =
                decide(&mut health, &Attempt { delivery_id: id, ..attempt(Outcome::Unavailable) }, &rules);
            assert_eq!(verdict.strikes, 1);
            assert_eq!(health.standing, Standing::Up);
        }
        let verdict =
            decide(&mut health, &Attempt { delivery_id: 5, ..attempt(Outcome::Unavailable) }, &rules);
        assert_eq!((verdict.strikes, verdict.next), (0, Next::Retry(T0)));
        assert_eq!(verdict.forgiven, [1, 2, 3, 4]);
        let Standing::Down { since, probe_at, probes: 0 } = health.standing else {
            panic!("{:?}", health.standing)
        };
        assert_eq!(since, T0);
        assert!((4_000..=6_000).contains(&probe_at.since(T0).as_millis()));
    }

    #[test]
    fn a_refusal_between_breaks_the_row_because_somebody_answered() {
        let (mut health, rules) = (Health::default(), Rules::default());
        for outcome in [Outcome::Unavailable, Outcome::Refused].into_iter().cycle().take(20) {
            decide(&mut health, &attempt(outcome), &rules);
            assert_eq!(health.standing, Standing::Up);
        }
    }

    #[test]
    fn probes_back_off_to_an_hour_and_burn_no_attempts() {
        let (mut health, rules) = (Health::default(), Rules::default());
        down(&mut health);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let probe = Attempt { probe: true, ..attempt(Outcome::Unavailable) };
            let verdict = decide(&mut health, &probe, &rules);
            assert_eq!((verdict.strikes, verdict.next), (0, Next::Retry(T0)));
            let Standing::Down { probe_at, .. } = health.standing else { panic!("{:?}", health.standing) };
            waits.push(probe_at.since(T0).as_secs());
        }
        assert!(waits.is_sorted_by(|a, b| a < b || *a >= 2_880), "{waits:?}");
        assert!(waits.iter().all(|&s| s <= 3_600), "{waits:?}");
    }

    #[test]
    fn what_was_in_flight_when_it_went_down_changes_nothing() {
        let (mut health, rules) = (Health::default(), Rules::default());
        down(&mut health);
        let before = health.clone();
        let verdict = decide(&mut health, &attempt(Outcome::Unavailable), &rules);
        assert_eq!((verdict.strikes, verdict.next), (0, Next::Retry(T0)));
        assert_eq!(health, before);
    }

    #[test]
    fn the_first_accepted_puts_it_up() {
        let mut health = Health::default();
        down(&mut health);
        decide(&mut health, &Attempt { probe: true, ..attempt(Outcome::Accepted) }, &Rules::default());
        assert_eq!(health, Health::default());
    }

    #[test]
    fn a_refused_probe_counts_against_its_event_and_does_not_put_it_up() {
        let mut health = Health::default();
        down(&mut health);
        let probe = Attempt { probe: true, strikes: 4, ..attempt(Outcome::Refused) };
        assert_eq!(decide(&mut health, &probe, &Rules::default()).next, Next::Dead);
        assert!(matches!(health.standing, Standing::Down { probes: 1, .. }));
    }

    #[test]
    fn down_for_too_long_is_disabled() {
        let (mut health, rules) = (Health::default(), Rules::default());
        down(&mut health);
        let late = T0.plus(rules.give_up_after);
        let probe = |at| Attempt { probe: true, at, ..attempt(Outcome::Unavailable) };
        decide(&mut health, &probe(late.minus(Duration::from_millis(1))), &rules);
        assert!(matches!(health.standing, Standing::Down { .. }));
        decide(&mut health, &probe(late), &rules);
        assert!(matches!(health.standing, Standing::Disabled { .. }));
    }

    #[test]
    fn gone_disables_at_once() {
        let mut health = Health::default();
        let verdict = decide(&mut health, &attempt(Outcome::Gone), &Rules::default());
        assert_eq!(verdict.next, Next::Dead);
        assert!(matches!(health.standing, Standing::Disabled { .. }));
    }

    #[test]
    fn an_answer_from_before_leaves_a_disabled_or_paused_webhook_as_it_is() {
        let standings =
            [Standing::Disabled { reason: "r".to_owned() }, Standing::Paused { reason: "r".to_owned() }];
        for standing in standings {
            for outcome in [Outcome::Accepted, Outcome::Refused, Outcome::Unavailable] {
                let mut health = Health { standing: standing.clone(), ..Health::default() };
                decide(&mut health, &attempt(outcome), &Rules::default());
                assert_eq!(health.standing, standing);
            }
        }
    }

    #[test]
    fn retry_after_is_honoured_up_to_an_hour_and_never_shortens() {
        for (asked, least, most) in
            [(0, 4, 6), (1, 4, 6), (30, 30, 30), (3_600, 3_600, 3_600), (86_400, 3_600, 3_600)]
        {
            let asked = Some(Duration::from_secs(asked));
            let refused = Attempt { retry_after: asked, ..attempt(Outcome::Refused) };
            let verdict = decide(&mut Health::default(), &refused, &Rules::default());
            let waited = waited(verdict.next).as_secs_f64();
            assert!((f64::from(least)..=f64::from(most)).contains(&waited), "{asked:?}: {waited}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        // 784111777 is Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = Timestamp::from_ms(784_111_777_000).minus(Duration::from_secs(90));
        for (text, seconds) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(90)),
            ("Sun Nov  6 08:49:37 1994", Some(90)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
        assert!(retry_after("99999999999999999999999", now) > Some(LONGEST_RETRY_AFTER));
    }

    #[test]
    fn age_counts_from_when_the_event_was_written_down() {
        let rules = Rules { max_age: Some(Duration::from_mins(5)), ..Rules::default() };
        assert!(!rules.expired(T0, T0.plus(Duration::from_mins(5))));
        assert!(rules.expired(T0, T0.plus(Duration::from_millis(300_001))));
        assert!(!Rules::default().expired(T0, T0.plus(Duration::from_hours(9_999))));
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            4 => Just(Outcome::Unavailable),
            2 => Just(Outcome::Refused),
            2 => Just(Outcome::Accepted),
            1 => Just(Outcome::Gone),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn every_wait_lies_after_now_and_within_the_longest(
            strikes in 0u32..5_000, initial_ms in 0u64..100_000, max_ms in 1u64..10_000_000, factor in 0.0f64..100.0,
            asked in proptest::option::of(0u64..100_000), key in "[a-z]{0,8}",
        ) {
            let rules = Rules {
                initial: Duration::from_millis(initial_ms), max: Duration::from_millis(max_ms), factor, attempts: u32::MAX,
                ..Rules::default()
            };
            let asked = asked.map(Duration::from_secs);
            let refused = Attempt { strikes, key: &key, retry_after: asked, ..attempt(Outcome::Refused) };
            let waited = waited(decide(&mut Health::default(), &refused, &rules).next);
            let honoured = asked.unwrap_or_default().min(LONGEST_RETRY_AFTER);
            prop_assert!(waited >= Duration::from_millis(1));
            prop_assert!(waited >= honoured);
            prop_assert!(waited <= rules.max.max(honoured));
        }

        #[test]
        fn a_delivery_dies_only_of_strikes_and_a_row_never_outgrows_its_bound(
            steps in proptest::collection::vec((0usize..3, outcomes()), 1..80), attempts in 1u32..8,
        ) {
            let rules = Rules { attempts, ..Rules::default() };
            let mut health = Health::default();
            // Each lane's head: its id and strikes. A finished one is followed by another with an id of its own.
            let (mut heads, mut next_id) = ([(0i64, 0u32), (1, 0), (2, 0)], 3i64);
            for (lane, outcome) in steps {
                let probe = matches!(health.standing, Standing::Down { .. });
                let (id, strikes) = heads[lane];
                let verdict =
                    decide(&mut health, &Attempt { delivery_id: id, strikes, probe, ..attempt(outcome) }, &rules);
                heads[lane].1 = verdict.strikes;
                for &back in &verdict.forgiven {
                    if let Some(head) = heads.iter_mut().find(|head| head.0 == back) {
                        prop_assert!(head.1 > 0, "what is given back was taken");
                        head.1 -= 1;
                    }
                }
                if verdict.next == Next::Dead && outcome != Outcome::Gone {
                    prop_assert!(verdict.strikes >= attempts);
                }
                if outcome == Outcome::Accepted {
                    prop_assert_eq!(verdict.next, Next::Delivered);
                }
                prop_assert!(health.failures <= DOWN_AFTER);
                prop_assert!(health.struck.len() < DOWN_AFTER as usize);
                if !matches!(verdict.next, Next::Retry(_)) {
                    heads[lane] = (next_id, 0);
                    next_id += 1;
                }
            }
        }

        #[test]
        fn a_receiver_that_never_answers_never_kills_an_event(
            lanes in proptest::collection::vec(0usize..4, 1..200), attempts in 1u32..8,
        ) {
            let rules = Rules { attempts, ..Rules::default() };
            let (mut health, mut strikes) = (Health::default(), [0u32; 4]);
            for lane in lanes {
                let probe = matches!(health.standing, Standing::Down { .. });
                let tried = Attempt {
                    delivery_id: i64::try_from(lane).unwrap(), strikes: strikes[lane], probe,
                    ..attempt(Outcome::Unavailable)
                };
                let verdict = decide(&mut health, &tried, &rules);
                prop_assert!(matches!(verdict.next, Next::Retry(_)));
                strikes[lane] = verdict.strikes;
            }
        }
    }
}
