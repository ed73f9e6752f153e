//! Outcomes, waits and strikes: one case each, and properties of all of them.
//!
//! Not here: what needs a database (`store::outbox`).

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const T0: Timestamp = Timestamp::from_ms(1_700_000_000_000);

fn attempt(outcome: Outcome) -> Attempt<'static> {
    Attempt { delivery_id: 1, key: "crm/evt_1", strikes: 0, probe: false, outcome, retry_after: None, at: T0 }
}

fn down(health: &mut Health) {
    for id in 0..5 {
        decide(health, &Attempt { delivery_id: id, ..attempt(Outcome::Unavailable) }, &Rules::default());
    }
    assert!(matches!(health.state, WebhookState::Down { .. }));
}

fn waited(next: DeliveryStep) -> Duration {
    match next {
        DeliveryStep::Retry(at) => at.since(T0),
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
fn an_accepted_delivery_is_done_and_resets_the_failures() {
    let mut health = Health { failures: 4, counted_deliveries: vec![1, 2, 3, 4], ..Health::default() };
    let decision = decide(&mut health, &attempt(Outcome::Accepted), &Rules::default());
    assert_eq!(decision.next, DeliveryStep::Delivered);
    assert_eq!(health, Health::default());
}

#[test]
fn a_refused_delivery_is_a_dead_letter_after_its_strikes() {
    let (mut health, mut strikes, rules) = (Health::default(), 0, Rules::default());
    for n in 1..5 {
        let decision = decide(&mut health, &Attempt { strikes, ..attempt(Outcome::Refused) }, &rules);
        assert!(matches!(decision.next, DeliveryStep::Retry(_)), "{n}");
        strikes = decision.strikes;
    }
    let decision = decide(&mut health, &Attempt { strikes, ..attempt(Outcome::Refused) }, &rules);
    assert_eq!(decision.next, DeliveryStep::Dead);
    assert_eq!((health.state.clone(), health.failures), (WebhookState::Up, 0));
    // One bad event, however often it is refused, says nothing about the receiver.
    health.note(Some("answered 422".to_owned()));
    assert!(!health.is_refusing());
}

#[test]
fn a_receiver_that_refuses_several_events_in_a_row_is_refusing_until_it_accepts_one() {
    let (mut health, rules) = (Health::default(), Rules::default());
    for delivery_id in 1..=5 {
        assert!(!health.is_refusing(), "{delivery_id}");
        decide(&mut health, &Attempt { delivery_id, ..attempt(Outcome::Refused) }, &rules);
        health.note(Some("answered 301".to_owned()));
    }
    assert!(health.is_refusing());
    assert_eq!(health.last_error.as_deref(), Some("answered 301"));
    decide(&mut health, &attempt(Outcome::Accepted), &rules);
    health.note(None);
    assert_eq!(health, Health::default());
}

#[test]
fn the_waits_are_5_20_80_320_seconds_within_a_fifth() {
    for (strikes, seconds) in [(0, 5.0), (1, 20.0), (2, 80.0), (3, 320.0)] {
        let decision = decide(
            &mut Health::default(),
            &Attempt { strikes, ..attempt(Outcome::Refused) },
            &Rules::default(),
        );
        let waited = waited(decision.next).as_secs_f64();
        assert!((seconds * 0.79..=seconds * 1.21).contains(&waited), "{strikes}: {waited}");
    }
}

#[test]
fn a_delivery_that_fails_while_others_succeed_becomes_a_dead_letter() {
    let (mut health, mut strikes, rules) = (Health::default(), 0, Rules::default());
    for n in 1..=5 {
        decide(&mut health, &Attempt { delivery_id: 2, ..attempt(Outcome::Accepted) }, &rules);
        let decision = decide(&mut health, &Attempt { strikes, ..attempt(Outcome::Unavailable) }, &rules);
        assert_eq!(decision.next == DeliveryStep::Dead, n == 5, "{n}");
        strikes = decision.strikes;
    }
    assert_eq!(health.state, WebhookState::Up);
}

#[test]
fn an_outage_never_makes_the_only_delivery_a_dead_letter() {
    let rules = Rules { attempts: 1, ..Rules::default() };
    let (mut health, mut strikes) = (Health::default(), 0);
    for _ in 0..200 {
        let probe = health.state != WebhookState::Up;
        let decision =
            decide(&mut health, &Attempt { strikes, probe, ..attempt(Outcome::Unavailable) }, &rules);
        assert!(matches!(decision.next, DeliveryStep::Retry(_)));
        strikes = decision.strikes;
    }
}

#[test]
fn five_failures_in_a_row_take_it_down_and_their_strikes_are_refunded() {
    let (mut health, rules) = (Health::default(), Rules::default());
    for id in 1..=4 {
        let decision =
            decide(&mut health, &Attempt { delivery_id: id, ..attempt(Outcome::Unavailable) }, &rules);
        assert_eq!(decision.strikes, 1);
        assert_eq!(health.state, WebhookState::Up);
    }
    let decision = decide(&mut health, &Attempt { delivery_id: 5, ..attempt(Outcome::Unavailable) }, &rules);
    assert_eq!((decision.strikes, decision.next), (0, DeliveryStep::Retry(T0)));
    assert_eq!(decision.refunded, [1, 2, 3, 4]);
    let WebhookState::Down { since, probe_at, probes: 0 } = health.state else {
        panic!("{:?}", health.state)
    };
    assert_eq!(since, T0);
    assert!((4_000..=6_000).contains(&probe_at.since(T0).as_millis()));
}

#[test]
fn a_refusal_resets_the_failures_because_the_receiver_answered() {
    let (mut health, rules) = (Health::default(), Rules::default());
    for outcome in [Outcome::Unavailable, Outcome::Refused].into_iter().cycle().take(20) {
        decide(&mut health, &attempt(outcome), &rules);
        assert_eq!(health.state, WebhookState::Up);
    }
}

#[test]
fn probes_back_off_to_an_hour_and_add_no_strikes() {
    let (mut health, rules) = (Health::default(), Rules::default());
    down(&mut health);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let probe = Attempt { probe: true, ..attempt(Outcome::Unavailable) };
        let decision = decide(&mut health, &probe, &rules);
        assert_eq!((decision.strikes, decision.next), (0, DeliveryStep::Retry(T0)));
        let WebhookState::Down { probe_at, .. } = health.state else { panic!("{:?}", health.state) };
        waits.push(probe_at.since(T0).as_secs());
    }
    assert!(waits.is_sorted_by(|a, b| a < b || *a >= 2_880), "{waits:?}");
    assert!(waits.iter().all(|&s| s <= 3_600), "{waits:?}");
}

#[test]
fn an_attempt_in_flight_when_it_went_down_changes_nothing() {
    let (mut health, rules) = (Health::default(), Rules::default());
    down(&mut health);
    let before = health.clone();
    let decision = decide(&mut health, &attempt(Outcome::Unavailable), &rules);
    assert_eq!((decision.strikes, decision.next), (0, DeliveryStep::Retry(T0)));
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
    assert_eq!(decide(&mut health, &probe, &Rules::default()).next, DeliveryStep::Dead);
    assert!(matches!(health.state, WebhookState::Down { probes: 1, .. }));
}

#[test]
fn down_for_too_long_is_disabled() {
    let (mut health, rules) = (Health::default(), Rules::default());
    down(&mut health);
    let late = T0.plus(rules.give_up_after);
    let probe = |at| Attempt { probe: true, at, ..attempt(Outcome::Unavailable) };
    decide(&mut health, &probe(late.minus(Duration::from_millis(1))), &rules);
    assert!(matches!(health.state, WebhookState::Down { .. }));
    decide(&mut health, &probe(late), &rules);
    assert!(matches!(health.state, WebhookState::Disabled { .. }));
}

#[test]
fn gone_disables_at_once() {
    let mut health = Health::default();
    let decision = decide(&mut health, &attempt(Outcome::Gone), &Rules::default());
    assert_eq!(decision.next, DeliveryStep::Dead);
    assert!(matches!(health.state, WebhookState::Disabled { .. }));
}

#[test]
fn an_earlier_attempt_leaves_a_disabled_or_paused_webhook_as_it_is() {
    let states =
        [WebhookState::Disabled { reason: "r".to_owned() }, WebhookState::Paused { reason: "r".to_owned() }];
    for state in states {
        for outcome in [Outcome::Accepted, Outcome::Refused, Outcome::Unavailable] {
            let mut health = Health { state: state.clone(), ..Health::default() };
            decide(&mut health, &attempt(outcome), &Rules::default());
            assert_eq!(health.state, state);
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
        let decision = decide(&mut Health::default(), &refused, &Rules::default());
        let waited = waited(decision.next).as_secs_f64();
        assert!((f64::from(least)..=f64::from(most)).contains(&waited), "{asked:?}: {waited}");
    }
}

#[test]
fn the_age_of_an_event_counts_from_its_recording() {
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
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn every_wait_is_positive_and_at_most_the_longest(
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
    fn only_strikes_make_a_dead_letter_and_the_counters_stay_bounded(
        steps in proptest::collection::vec((0usize..3, outcomes()), 1..80), attempts in 1u32..8,
    ) {
        let rules = Rules { attempts, ..Rules::default() };
        let mut health = Health::default();
        // Each lane's head: its id and strikes. A finished one is followed by another with an id of its own.
        let (mut heads, mut next_id) = ([(0i64, 0u32), (1, 0), (2, 0)], 3i64);
        for (lane, outcome) in steps {
            let probe = matches!(health.state, WebhookState::Down { .. });
            let (id, strikes) = heads[lane];
            let decision =
                decide(&mut health, &Attempt { delivery_id: id, strikes, probe, ..attempt(outcome) }, &rules);
            heads[lane].1 = decision.strikes;
            for &back in &decision.refunded {
                if let Some(head) = heads.iter_mut().find(|head| head.0 == back) {
                    prop_assert!(head.1 > 0, "only an existing strike is refunded");
                    head.1 -= 1;
                }
            }
            if decision.next == DeliveryStep::Dead && outcome != Outcome::Gone {
                prop_assert!(decision.strikes >= attempts);
            }
            if outcome == Outcome::Accepted {
                prop_assert_eq!(decision.next, DeliveryStep::Delivered);
            }
            prop_assert!(health.failures <= DOWN_AFTER);
            prop_assert!(health.counted_deliveries.len() < DOWN_AFTER as usize);
            if !matches!(decision.next, DeliveryStep::Retry(_)) {
                heads[lane] = (next_id, 0);
                next_id += 1;
            }
        }
    }

    #[test]
    fn a_receiver_that_never_answers_causes_no_dead_letter(
        lanes in proptest::collection::vec(0usize..4, 1..200), attempts in 1u32..8,
    ) {
        let rules = Rules { attempts, ..Rules::default() };
        let (mut health, mut strikes) = (Health::default(), [0u32; 4]);
        for lane in lanes {
            let probe = matches!(health.state, WebhookState::Down { .. });
            let tried = Attempt {
                delivery_id: i64::try_from(lane).unwrap(), strikes: strikes[lane], probe,
                ..attempt(Outcome::Unavailable)
            };
            let decision = decide(&mut health, &tried, &rules);
            prop_assert!(matches!(decision.next, DeliveryStep::Retry(_)));
            strikes[lane] = decision.strikes;
        }
    }
}
