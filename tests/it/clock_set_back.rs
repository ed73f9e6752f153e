//! Stored times after the clock was set back: what waits in the outbox, which alerts fire.
//!
//! Guards: no delivery waits for a time that the clock showed before, also behind the head of its lane; an alert that was
//! resolved does not fire again. Deliberately not here: the wall clock of the real binary (`clock_jumps`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use presenced::clock::Clock as _;
use presenced::presence::system::{self, AlertName};
use presenced::store::Outgoing;

use crate::delivery_harness::{OK, Receiver, Reply, START, World};

const HOUR_MS: i64 = 3_600_000;
const EVENTS: usize = 20;
const FORTY_DAYS: Duration = Duration::from_hours(40 * 24);

#[tokio::test]
async fn what_waits_behind_a_head_goes_on_after_the_clock_was_set_back() {
    for jumped_ms in [0, -3 * HOUR_MS] {
        let mut world = World::with_people(1).await;
        let back = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&back);
        let away = Reply::Answer(503, "", "away");
        let receiver =
            Receiver::start(move |_| if seen.load(Ordering::SeqCst) { OK } else { away.clone() }).await;
        let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
        // More than are taken from a lane at once.
        for n in 0..EVENTS {
            world.event(0, &format!("evt_{n:02}"), &["crm"]).await;
        }
        dispatcher.settle().await;
        drop(dispatcher);
        world.clock.set(START.minus(Duration::from_hours(3)));
        world.restart().await;
        world
            .store
            .maintenance()
            .compare_clock(world.clock.now(), jumped_ms, Duration::from_hours(2))
            .await
            .unwrap();
        back.store(true, Ordering::SeqCst);
        let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
        dispatcher.resume().await.unwrap();
        world.run_out(&mut dispatcher, 3).await;
        assert_eq!(receiver.accepted(), EVENTS, "jumped by {jumped_ms} ms");
        assert!(world.clock.now() < START.minus(Duration::from_hours(2)), "{}", world.clock.now());
    }
}

#[tokio::test]
async fn an_alert_that_was_resolved_after_the_clock_was_set_back_does_not_fire() {
    let world = World::with_people(1).await;
    let turns = async |firing, earlier| {
        let draft = system::system_alert(
            world.store.source(),
            None,
            AlertName::Database,
            firing,
            "",
            world.clock.now(),
            earlier,
        );
        let event = Outgoing { draft, webhooks: Arc::from([]) };
        world.store.recorder().record_system(None, vec![event]).await.unwrap();
    };
    world.clock.set(START.plus(FORTY_DAYS));
    turns(true, 0).await;
    assert_eq!(world.store.alerts().firing().await.unwrap().len(), 1);
    world.clock.set(START);
    turns(false, 1).await;
    assert_eq!(world.store.alerts().firing().await.unwrap(), []);
}
