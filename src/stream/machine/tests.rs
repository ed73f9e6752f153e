//! Properties and examples of the state machine.
//!
//! Guards: each rule of the connection by name, and that no order of events leaves it without a next step. Not here:
//! sockets (`tests/it/stream.rs`).

use proptest::prelude::*;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(1_700_000_000_000 + ms)
}

fn event(id: &str) -> Frame {
    Frame::Event(Envelope {
        message_id: id.into(),
        event_id: id.into(),
        kind: "suite_ticket".into(),
        corp_id: None,
        born_ms: None,
        data: "{}".into(),
    })
}

/// A machine with connection 1, made at 0.
fn connected() -> Machine {
    let mut machine = Machine::new(1, at(0));
    assert_eq!(machine.handle(Input::Wake, at(0)), [Action::Dial(1)]);
    assert_eq!(machine.handle(Input::Dialed(1, Ok(())), at(0)), []);
    assert_eq!(machine.state().down, None);
    machine
}

/// Wakes the machine whenever it wants, until `until`, and answers each ping.
fn live(machine: &mut Machine, until: Timestamp) {
    while machine.next_wake() < until {
        let now = machine.next_wake();
        for action in machine.handle(Input::Wake, now) {
            let Action::Ping(number) = action else { panic!("{action:?}") };
            machine.handle(Input::Pong(number), now);
        }
    }
}

#[test]
fn an_event_is_acknowledged_only_after_it_was_taken() {
    let mut machine = connected();
    let actions = machine.handle(Input::Heard(1, Some(event("e"))), at(10));
    assert!(matches!(&actions[..], [Action::Deliver(1, envelope)] if envelope.event_id == "e"));
    let actions = machine.handle(Input::Taken(1, "e".into(), Ack::Success), at(20));
    assert_eq!(actions, [Action::Send(1, frame::acknowledgement("e", Ack::Success))]);
    machine.handle(Input::Closed(1), at(30));
    assert_eq!(
        machine.handle(Input::Taken(1, "f".into(), Ack::Success), at(31)),
        [],
        "nothing to send it on"
    );
}

#[test]
fn a_ping_is_answered_with_its_data() {
    let mut machine = connected();
    let ping = Frame::Ping { message_id: "p".into(), data: "d".into() };
    assert_eq!(machine.handle(Input::Heard(1, Some(ping)), at(10)), [Action::Send(1, frame::pong("p", "d"))]);
}

#[test]
fn after_a_disconnect_the_new_connection_is_made_before_the_old_one_is_dropped() {
    let mut machine = connected();
    live(&mut machine, at(100_000));
    let actions = machine.handle(Input::Heard(1, Some(Frame::Disconnect)), at(100_000));
    assert_eq!(actions, [Action::Dial(2)], "at once, and nothing is dropped");
    // An acknowledgement still goes out on the old one.
    assert_eq!(machine.handle(Input::Taken(1, "e".into(), Ack::Success), at(100_100)).len(), 1);
    machine.handle(Input::Dialed(2, Ok(())), at(100_200));
    assert_eq!(machine.state().down, None);
    assert_eq!(machine.handle(Input::Closed(1), at(110_000)), []);
    assert_eq!(machine.state().down, None);
}

#[test]
fn a_silent_connection_is_pinged_and_dead_after_75_seconds() {
    let mut machine = connected();
    let mut pings = 0;
    loop {
        let now = machine.next_wake();
        let actions = machine.handle(Input::Wake, now);
        if actions == [Action::Ping(1)] {
            pings += 1;
            continue;
        }
        assert_eq!(now, at(75_000));
        assert_eq!(actions, [Action::Drop(1), Action::Dial(2)]);
        break;
    }
    assert_eq!((pings, machine.state().down), (2, Some(Reason::Dead)));
}

#[test]
fn attempts_double_from_one_second_to_sixty_and_start_again_after_a_connection_that_worked() {
    let mut machine = Machine::new(7, at(0));
    let (mut now, mut waits) = (at(0), Vec::new());
    for number in 1..=9 {
        assert_eq!(machine.handle(Input::Wake, now), [Action::Dial(number)]);
        machine.handle(Input::Dialed(number, Err(Reason::Unreachable)), now);
        waits.push(machine.state().next_attempt.unwrap().since(now).as_secs_f64());
        // Long waits are several wakes.
        while machine.state().next_attempt.unwrap() > machine.next_wake() {
            assert_eq!(machine.handle(Input::Wake, machine.next_wake()), []);
        }
        now = machine.next_wake();
    }
    assert!((0.8..=1.2).contains(&waits[0]) && (waits[8] - 60.0).abs() < 0.01, "{waits:?}");
    assert!(waits.is_sorted());
    machine.handle(Input::Wake, now);
    machine.handle(Input::Dialed(10, Ok(())), now);
    live(&mut machine, now.plus(Duration::from_mins(3)));
    let now = now.plus(Duration::from_mins(3));
    assert_eq!(machine.handle(Input::Closed(10), now), [Action::Dial(11)]);
}

#[test]
fn a_connection_that_closes_at_once_is_not_dialled_in_a_loop() {
    let mut machine = connected();
    assert_eq!(machine.handle(Input::Closed(1), at(5)), []);
    assert!(machine.state().next_attempt.unwrap() > at(500));
}

#[test]
fn refused_credentials_are_probed_slowly_under_their_reason() {
    let mut machine = Machine::new(1, at(0));
    machine.handle(Input::Wake, at(0));
    machine.handle(Input::Dialed(1, Err(Reason::Auth)), at(0));
    let state = machine.state();
    assert_eq!(state.down, Some(Reason::Auth));
    assert!(state.next_attempt.unwrap().since(at(0)) >= Duration::from_mins(8));
}

#[test]
fn a_jump_of_the_clock_is_a_new_connection() {
    for jump_ms in [-3_600_000, 3_600_000] {
        let mut machine = connected();
        let actions = machine.handle(Input::Wake, at(jump_ms));
        assert_eq!(actions, [Action::Drop(1), Action::Dial(2)], "{jump_ms}");
        assert_eq!(machine.state().down, Some(Reason::Clock));
    }
}

/// What a connection's world may do, in any order and at any time.
fn inputs() -> impl Strategy<Value = Vec<(i64, u8, u64)>> {
    prop::collection::vec((0_i64..100_000, 0_u8..9, 1_u64..6), 0..120)
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn there_is_always_a_connection_an_attempt_or_a_time_for_it(steps in inputs(), key: u64) {
        let mut machine = Machine::new(key, at(0));
        let (mut now, mut open, mut dialing) = (at(0), std::collections::BTreeSet::new(), None);
        for (wait, kind, number) in steps {
            // Time goes on as the machine wishes, or a bit less; now and then the clock is set.
            now = now.plus(Duration::from_millis(wait.unsigned_abs())).min(machine.next_wake().max(now));
            let input = match (kind, dialing) {
                (0, Some(dialed)) => Input::Dialed(dialed, Ok(())),
                (1, Some(dialed)) => Input::Dialed(dialed, Err(Reason::Unreachable)),
                (2, Some(dialed)) => Input::Dialed(dialed, Err(Reason::Auth)),
                (3, _) => Input::Heard(number, Some(Frame::Disconnect)),
                (4, _) => Input::Heard(number, Some(event("e"))),
                (5, _) => Input::Closed(number),
                (6, _) => Input::Heard(number, None),
                (7, _) => {
                    now = now.minus(Duration::from_hours(1));
                    Input::Wake
                }
                _ => Input::Wake,
            };
            if let Input::Dialed(dialed, outcome) = &input {
                dialing = None;
                if outcome.is_ok() {
                    open.insert(*dialed);
                }
            }
            if let Input::Closed(closed) = &input {
                open.remove(closed);
            }
            for action in machine.handle(input, now) {
                match action {
                    Action::Dial(number) => {
                        prop_assert_eq!(dialing, None, "one attempt at a time");
                        dialing = Some(number);
                    }
                    Action::Drop(number) => {
                        prop_assert!(open.remove(&number), "{number} is not open");
                    }
                    Action::Send(number, _) | Action::Ping(number) | Action::Deliver(number, _) => {
                        prop_assert!(open.contains(&number), "{number} is not open");
                    }
                }
            }
            let state = machine.state();
            prop_assert!(open.len() <= 8, "old connections are dropped");
            prop_assert_eq!(state.down.is_none(), machine.current.is_some());
            prop_assert!(machine.current.is_some() || dialing.is_some() || state.next_attempt.is_some());
            prop_assert!(machine.next_wake() <= now.plus(Duration::from_mins(1)));
        }
    }
}
