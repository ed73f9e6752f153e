//! The poller of an organisation without anything around it.
//!
//! Guards: no user is polled twice at once, none is left unpolled in silence, and after any failures all are polled again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;
use crate::dingtalk::client::Answer;
use crate::dingtalk::error::{CallError, Verdict};
use crate::ids::UnionId;
use crate::policy::quota::{MonthBudget, RateLimiter};
use crate::policy::sweep::SweepMode;
use crate::policy::window::OpenTime;
use crate::presence::diff::DiffRules;
use crate::presence::event::UserInfo;
use crate::presence::title::TitleRules;
use crate::presence::user_state::UserState;
use crate::tasks::poller::effects::Work;
use crate::tasks::poller::limits::CallLimits;
use crate::tasks::poller::roster::PollSchedule;
use crate::tasks::poller::state::Erased;
use crate::telemetry::health::OrgHealth;
use crate::telemetry::metrics::Metrics;

const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);
const MINUTE: Duration = Duration::from_mins(1);

/// One user at an interval of a minute, who is due.
fn poller(limit: Option<u64>) -> OrgPoller {
    poller_of(1, limit)
}

fn poller_of(users: i64, limit: Option<u64>) -> OrgPoller {
    let zone = Tz::Asia__Shanghai;
    let settings = Settings {
        rules: DiffRules { leave_after_misses: 2, first_poll_silent: false },
        min_interval: Duration::from_secs(1),
        max_interval: Duration::from_hours(12),
        stale_after: None,
        backoff: crate::config::Backoff { initial: MINUTE / 2, max: MINUTE * 15, factor: 2.0 },
        overtime: Duration::ZERO,
        time_zone: zone,
        confirm_calls: false,
        sweep: SweepMode::Off,
        titles: TitleRules { keep: true, hide: Vec::new() },
    };
    let tools = OrgTools {
        subscriptions: Arc::from([]),
        source: "test".into(),
        erased: Erased(Arc::new(|_| false)),
        metrics: Metrics::new(),
    };
    let budget = MonthBudget::new(zone, limit, NOW, 0);
    let set_up = SetUp {
        name: OrgName::default_name(),
        limits: CallLimits::new(RateLimiter::new(5), budget, zone, 4, 0),
        health: Arc::new(OrgHealth::default()),
    };
    let user = |person_id: i64| {
        let union_id = UnionId::parse(&format!("u{person_id}")).unwrap();
        let identity = Identity { org: OrgName::default_name(), union_id };
        let card = UserInfo {
            identity: identity.clone(),
            name: format!("u{person_id}"),
            groups: Vec::new(),
            tags: BTreeMap::new(),
            store_nick: true,
        };
        let schedule = PollSchedule::Every(MINUTE);
        let stored = Enrolled {
            person_id,
            identity,
            name: format!("u{person_id}"),
            belief: UserState::default(),
            digest: None,
            next_poll: None,
            last_poll: None,
            last_ok: None,
        };
        (Assignment { card, schedule, open: OpenTime::new(None, Vec::new()) }, stored)
    };
    let mut poller = OrgPoller::new(tools, Arc::new(settings), set_up, AlertState::default(), NOW);
    poller.fill((1..=users).map(user).collect(), &[], &(Vec::new(), Vec::new()), None, NOW);
    poller
}

/// What is started when all is done at once that needs no call; time passes until a poll is asked for.
fn next_poll(
    poller: &mut OrgPoller,
    mut now: Timestamp,
) -> (crate::tasks::poller::effects::PollCall, Timestamp) {
    for _ in 0..20 {
        let wake = poller.step(now, true);
        for effect in poller.take_effects() {
            match effect {
                Effect::Start(Work::Reserve { reservation, .. }) => {
                    poller.handle(Input::Reserved { reservation, result: Ok(()) }, now);
                }
                Effect::Start(Work::Poll { poll, .. }) => return (poll, now),
                Effect::Start(Work::Emit(_)) => poller.handle(Input::Emitted(Ok(())), now),
                Effect::Start(Work::Record { change, .. }) => {
                    poller.handle(Input::Recorded { change, result: Ok(()) }, now);
                }
                Effect::Start(Work::NoteUserGap { .. }) => poller.handle(Input::Written(Ok(())), now),
                Effect::Start(other) => panic!("{other:?}"),
                _ => {}
            }
        }
        now = now.max(wake.unwrap_or(now)).plus(Duration::from_millis(1));
    }
    panic!("no poll is asked for");
}

fn outage() -> CallError {
    CallError {
        class: "outage",
        text: "HTTP 500".to_owned(),
        code: None,
        request_id: None,
        status: Some(500),
        retry_after: None,
        charged: true,
        calls: 1,
        verdict: Verdict::Outage,
    }
}

#[test]
fn a_call_is_reserved_before_it_is_made_and_polls_of_a_user_do_not_overlap() {
    let mut poller = poller(None);
    let (poll, now) = next_poll(&mut poller, NOW);
    poller.step(now.plus(MINUTE * 5), true);
    let effects = poller.take_effects();
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Start(Work::Poll { .. }))));
    let now = now.plus(MINUTE * 5);
    poller.handle(Input::Polled { poll, result: Ok(Answer::Unchanged { calls: 1 }) }, now);
    let (_, next) = next_poll(&mut poller, now);
    assert!(next.since(now) <= MINUTE * 3 / 2, "an interval later");
    assert_eq!(poller.totals().good, 1);
}

#[test]
fn a_failed_poll_is_repeated_after_a_wait_and_changes_no_presence() {
    let mut poller = poller(None);
    let (poll, now) = next_poll(&mut poller, NOW);
    poller.handle(Input::Polled { poll, result: Err(outage()) }, now);
    let recorded = |effect: &Effect| matches!(effect, Effect::Start(Work::Record { .. }));
    assert!(!poller.take_effects().iter().any(recorded));
    assert!(poller.has_pending(), "the failure is written with the next flush");
    let (_, next) = next_poll(&mut poller, now);
    assert!(next.since(now) >= Duration::from_secs(24), "the first wait");
    assert_eq!(poller.totals().failed, 1);
}

#[test]
fn spent_calls_are_a_reason_until_the_month_turns() {
    let mut poller = poller(Some(1));
    let (poll, now) = next_poll(&mut poller, NOW);
    poller.handle(Input::Polled { poll, result: Ok(Answer::Unchanged { calls: 1 }) }, now);
    let turn = MonthBudget::new(Tz::Asia__Shanghai, Some(1), NOW, 1).month_ends_at(NOW);
    poller.step(now.plus(MINUTE * 2), true);
    let why: Vec<_> = poller.open_gaps().map(|(_, (_, because))| because.why).collect();
    assert_eq!(why, [crate::store::gaps::Why::Budget]);
    let (_, next) = next_poll(&mut poller, turn.minus(Duration::from_secs(1)));
    assert!(next >= turn && next.since(turn) <= MINUTE);
}

/// A DingTalk and a database that answer at once.
struct World {
    poller: OrgPoller,
    now: Timestamp,
    /// When the last poll was asked for.
    polled: Timestamp,
    answered: BTreeMap<UserKey, Timestamp>,
}

impl World {
    fn new(users: i64) -> Self {
        let poller = poller_of(users, Some(1_000_000));
        Self { poller, now: NOW, polled: NOW, answered: BTreeMap::new() }
    }

    /// Everything that is due now, and the time passes until more is.
    fn turn(&mut self, mut answer: impl FnMut() -> Result<Answer, CallError>) {
        let now = self.now;
        let wake = loop {
            let wake = self.poller.step(now, true);
            let effects = self.poller.take_effects();
            let mut polled = BTreeSet::new();
            let mut inputs = Vec::new();
            for effect in effects {
                let Effect::Start(work) = effect else { continue };
                inputs.push(match work {
                    Work::Poll { poll, .. } => {
                        assert!(polled.insert(poll.user), "polls of a user overlap");
                        self.polled = now;
                        let result = answer();
                        if result.is_ok() {
                            self.answered.insert(poll.user, now);
                        }
                        Input::Polled { poll, result }
                    }
                    Work::Reserve { reservation, .. } => Input::Reserved { reservation, result: Ok(()) },
                    Work::Emit(_) => Input::Emitted(Ok(())),
                    Work::Record { change, .. } => Input::Recorded { change, result: Ok(()) },
                    Work::SaveCalls { .. } | Work::NoteUserGap { .. } => Input::Written(Ok(())),
                    other => panic!("{other:?}"),
                });
            }
            if inputs.is_empty() {
                break wake;
            }
            for input in inputs {
                self.poller.handle(input, now);
            }
        };
        let wake = wake.expect("nothing is under way, so the next time is known");
        self.now = wake.max(now.plus(Duration::from_millis(1)));
    }
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    /// Whatever DingTalk answers: nobody is unpolled in silence, and afterwards all are polled again by themselves.
    #[test]
    fn nobody_is_unpolled_without_a_reason_and_work_resumes(
        answers in proptest::collection::vec(0_usize..10, 1..60), users in 1_i64..6,
    ) {
        let mut world = World::new(users);
        for which in answers {
            let verdict = match which {
                0 => Some(Verdict::Outage),
                1 => Some(Verdict::Unreachable),
                2 => Some(Verdict::Throttled { pause: Duration::from_secs(1) }),
                3 => Some(Verdict::ThrottledThisMinute),
                4 => Some(Verdict::Banned),
                5 => Some(Verdict::Refused),
                6 => Some(Verdict::UnknownUser),
                7 => Some(Verdict::Forbidden),
                _ => None,
            };
            let answer = || match &verdict {
                Some(verdict) => Err(CallError { verdict: verdict.clone(), ..outage() }),
                None => Ok(Answer::Unchanged { calls: 1 }),
            };
            for _ in 0..8 {
                world.turn(answer);
                let silent = world.now.since(world.polled) > MINUTE * 3;
                prop_assert!(!silent || world.poller.open_gaps().next().is_some(), "{verdict:?}");
            }
        }
        let healed = world.now;
        let all_answered = |world: &World| {
            world.answered.values().filter(|at| **at >= healed).count() == usize::try_from(users).unwrap()
        };
        while !all_answered(&world) {
            world.turn(|| Ok(Answer::Unchanged { calls: 1 }));
            // The longest documented wait is that of a user who was refused again and again.
            prop_assert!(world.now.since(healed) <= Duration::from_hours(26));
        }
        let until = world.now.plus(MINUTE);
        while world.now < until {
            world.turn(|| Ok(Answer::Unchanged { calls: 1 }));
        }
        prop_assert_eq!(world.poller.open_gaps().count(), 0, "no reason is left");
    }
}
