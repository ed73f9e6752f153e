//! What goes wrong on a generated day, and when: the same seed gives the same day.
//!
//! Guards: every kind of fault that the simulator and the receiver know can be drawn; each has the longest wait that
//! `docs/failures.md` allows after its end. Deliberately not here: carrying it out (`scene`), judging it (`day`).

use std::time::Duration;

use presenced::simulator::faults::FaultTarget;
use presenced::simulator::{Fault, FaultKind};

use super::super::life::Dice;
use crate::sweep::id;

/// Users who are in meetings; one more is only on the list at times.
pub(super) const USERS: usize = 6;
const EPISODES: u64 = 12;
const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3_600;
/// The minutes of one episode; shorter than the hour in which nothing is given up for its age after a jump.
const LONGEST_S: u64 = 50 * MINUTE_S;
/// Waits of a refused user, in seconds, and what a hash adds to each at most.
const REFUSED_S: [u64; 4] = [60, 600, 3_600, 86_400];
const SPREAD: u64 = 24;
/// So often in a row a call hangs; it is waited for in real time, so after that the connection ends instead.
const HANGS: u64 = 6;

/// What DingTalk does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This kind as it is.
    Plain(FaultKind, FaultTarget),
    /// A refusal of every user with this status and code.
    Code(u16, &'static str),
    /// The same for one user.
    OfOne(usize, u16, &'static str),
    /// With a `Retry-After` of a day.
    RetryAfter(FaultKind),
    /// Late or never: only a few times, then no connection.
    Late(FaultKind, FaultTarget),
    /// Tokens are worthless, and fetching one fails so.
    Tokens(FaultKind),
}

/// What each user waits for at most after the end of a trouble, beyond the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Usual,
    Ban,
    Month,
    RetryAfter,
    /// Each user by themselves.
    Refused,
    /// The organisation, once three users are refused who were answered within a day; until then each by themselves.
    Refusals,
}

use FaultKind as Kind;

const UNKNOWN: &str = "Meeting.Lookup.NotAllowedToday";

const TROUBLES: &[Trouble] = &[
    Trouble::Code(400, UNKNOWN),
    Trouble::Code(403, UNKNOWN),
    Trouble::Code(400, "param.error"),
    Trouble::Code(400, "missing.user.info"),
    Trouble::Code(403, "acrossOrgAccessForbidden"),
    Trouble::OfOne(2, 400, UNKNOWN),
    Trouble::OfOne(3, 400, "param.error"),
    Trouble::OfOne(1, 500, "system.error"),
    Trouble::Code(403, "Forbidden.AccessDenied.QpmLimitForAppkeyAndApi"),
    Trouble::Plain(Kind::Qps, FaultTarget::Lists),
    Trouble::Plain(Kind::QpsOfAll, FaultTarget::Lists),
    Trouble::Plain(Kind::Busy, FaultTarget::All),
    Trouble::RetryAfter(Kind::Busy),
    Trouble::RetryAfter(Kind::ServerError),
    Trouble::RetryAfter(Kind::ErrorPage),
    Trouble::Plain(Kind::Ban, FaultTarget::All),
    Trouble::Plain(Kind::BanPage, FaultTarget::Lists),
    Trouble::Plain(Kind::MonthSpent, FaultTarget::Lists),
    Trouble::Plain(Kind::ServerError, FaultTarget::Lists),
    Trouble::Plain(Kind::ErrorPage, FaultTarget::All),
    Trouble::Plain(Kind::Errcode, FaultTarget::Lists),
    Trouble::Plain(Kind::Garbage, FaultTarget::Lists),
    Trouble::Plain(Kind::NoBody, FaultTarget::Lists),
    Trouble::Plain(Kind::OtherPerson, FaultTarget::Lists),
    Trouble::Plain(Kind::NoMeetings, FaultTarget::Lists),
    Trouble::Plain(Kind::NoMeetings, FaultTarget::OrgMeetings),
    Trouble::Plain(Kind::Truncated, FaultTarget::Lists),
    Trouble::Plain(Kind::Truncated, FaultTarget::MeetingMembers),
    Trouble::Plain(Kind::ServerError, FaultTarget::MeetingInfo),
    Trouble::Plain(Kind::Drop, FaultTarget::All),
    Trouble::Late(Kind::Hang, FaultTarget::Lists),
    Trouble::Late(Kind::Slow, FaultTarget::Lists),
    Trouble::Late(Kind::Late, FaultTarget::Tokens),
    Trouble::Plain(Kind::BadToken, FaultTarget::Lists),
    Trouble::Plain(Kind::Permission, FaultTarget::Lists),
    Trouble::Plain(Kind::Address, FaultTarget::Lists),
    Trouble::Tokens(Kind::ServerError),
    Trouble::Tokens(Kind::Garbage),
    Trouble::Tokens(Kind::Drop),
    Trouble::Tokens(Kind::Busy),
    Trouble::Tokens(Kind::BanPage),
];

impl Trouble {
    pub(super) fn faults(self) -> Vec<Fault> {
        match self {
            Self::Plain(kind, on) => vec![Fault::new(kind).on(on)],
            Self::Code(status, code) => vec![refusal(status, code)],
            Self::OfOne(user, status, code) => vec![refusal(status, code).who(&id(user))],
            Self::RetryAfter(kind) => {
                vec![Fault { retry_after: Some(Duration::from_hours(24)), ..Fault::new(kind) }]
            }
            Self::Late(kind, on) => {
                vec![Fault::new(kind).on(on).times(HANGS), Fault::new(FaultKind::Drop).on(on)]
            }
            Self::Tokens(kind) => vec![Fault::new(kind).on(FaultTarget::Tokens)],
        }
    }

    /// An answer that shows nobody in a meeting is understood, and wrong.
    pub(super) fn lies(self) -> bool {
        self == Self::Plain(FaultKind::NoMeetings, FaultTarget::Lists)
    }

    pub(super) fn wait(self) -> Wait {
        match self {
            // Text that is no JSON may be a ban, too.
            Self::Plain(FaultKind::Ban | FaultKind::BanPage | FaultKind::Garbage, _)
            | Self::Tokens(FaultKind::BanPage | FaultKind::Garbage) => Wait::Ban,
            Self::Plain(FaultKind::MonthSpent, _) => Wait::Month,
            Self::RetryAfter(_) => Wait::RetryAfter,
            Self::OfOne(_, 400, _) | Self::Code(_, "acrossOrgAccessForbidden") => Wait::Refused,
            Self::Code(400, _) | Self::Code(_, UNKNOWN) => Wait::Refusals,
            _ => Wait::Usual,
        }
    }
}

fn refusal(status: u16, code: &str) -> Fault {
    Fault { code: Some(code.to_owned()), ..Fault::new(FaultKind::ServerError).status(status) }
}

/// The longest wait of a refused user who was refused for `lasted_s`.
pub(super) fn refused_wait_s(lasted_s: u64) -> u64 {
    let (mut polled_s, mut wait_s) = (0, 0);
    for step in REFUSED_S {
        wait_s = step + step / SPREAD;
        polled_s += step;
        if polled_s > lasted_s {
            break;
        }
    }
    wait_s
}

/// What the receiver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Answers(u16, &'static str),
    /// A few times never an answer, then no connection.
    Hangs,
    /// The connection ends; after the request is taken.
    HangsUp,
    /// Connections are refused: the config names a wrong port.
    WrongPort,
}

const MOODS: &[Mood] = &[
    Mood::Answers(500, ""),
    Mood::Answers(422, ""),
    Mood::Answers(301, "location: http://127.0.0.1:9/\r\n"),
    Mood::Answers(429, "retry-after: 86400\r\n"),
    Mood::Answers(429, ""),
    Mood::Answers(503, "retry-after: 120\r\n"),
    Mood::Hangs,
    Mood::HangsUp,
    Mood::WrongPort,
];

/// A config for `[poll]`, and who is on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variation {
    pub(super) interval_s: u64,
    pub(super) backoff_max_s: u64,
    pub(super) confirm: bool,
    pub(super) guest: bool,
}

impl Variation {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            interval_s: [120, 300, 420][index(dice, 3)],
            backoff_max_s: [60, 900, 2 * HOUR_S][index(dice, 3)],
            confirm: dice.one_in(2),
            guest: dice.one_in(2),
        }
    }

    pub(super) fn config(self) -> String {
        let Self { interval_s, backoff_max_s, confirm, guest } = self;
        format!(
            "calls_per_month = 0\ntimeout = \"500ms\"\n[poll]\ninterval = \"{interval_s}s\"\nsweep = \"off\"\n\
             confirm_calls = {confirm}\nbackoff = {{ initial = \"20s\", max = \"{backoff_max_s}s\" }}\n{}",
            crate::sweep::users(USERS + usize::from(guest))
        )
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Upstream(Trouble),
    UpstreamIsWell,
    Receiver(Mood),
    Reload(Variation),
    Restart,
    /// Ends in the middle of its work, after so many turns of it.
    Crash(u64),
    /// The wall clock jumps under the running daemon, and it lasts.
    Jump(i64),
    /// The wall clock is set while the daemon is stopped.
    Reset(i64),
    /// A step so small that it is followed at once.
    Slew(i64),
}

/// A stretch in which things go wrong; afterwards everything is healthy.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    /// Seconds after its beginning, in order.
    pub(super) acts: Vec<(u64, Act)>,
    pub(super) length_s: u64,
    /// For so long everything stays healthy, after all is recovered.
    pub(super) calm_s: u64,
}

/// A whole day.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) first: Variation,
    pub(super) episodes: Vec<Episode>,
}

impl Plan {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let (first, mut skew_s) = (Variation::draw(dice), 0);
        let episodes = (0..EPISODES).map(|_| episode(dice, &mut skew_s)).collect();
        Self { first, episodes }
    }

    /// A line for each thing that happens.
    pub(super) fn list(&self) -> String {
        let act = |(at_s, act): &(u64, Act)| format!("  +{at_s}s {act:?}\n");
        let episode = |(number, episode): (usize, &Episode)| {
            let Episode { acts, length_s, calm_s } = episode;
            let acts: String = acts.iter().map(act).collect();
            format!("episode {number}: {length_s} s, then {calm_s} s without a fault\n{acts}")
        };
        let episodes: String = self.episodes.iter().enumerate().map(episode).collect();
        format!("starts with {:?}\n{episodes}", self.first)
    }
}

fn episode(dice: &mut Dice, skew_s: &mut i64) -> Episode {
    // Short ones are as likely as long ones.
    let length_s =
        if dice.one_in(2) { 30 + dice.roll(5 * MINUTE_S) } else { 300 + dice.roll(LONGEST_S - 300) };
    let count = 2 + dice.roll(4);
    let mut times: Vec<u64> = (0..count).map(|_| dice.roll(length_s)).collect();
    times.sort_unstable();
    let mut acts = vec![(0, Act::Upstream(TROUBLES[index(dice, TROUBLES.len())]))];
    acts.extend(times.into_iter().map(|at_s| (at_s, act(dice, skew_s))));
    Episode { acts, length_s, calm_s: dice.roll(20 * MINUTE_S) }
}

fn act(dice: &mut Dice, skew_s: &mut i64) -> Act {
    match dice.roll(16) {
        0..4 => Act::Upstream(TROUBLES[index(dice, TROUBLES.len())]),
        4 => Act::UpstreamIsWell,
        5..9 => Act::Receiver(MOODS[index(dice, MOODS.len())]),
        9 => Act::Receiver(Mood::Well),
        10..12 => Act::Reload(Variation::draw(dice)),
        12 => Act::Restart,
        13 => Act::Crash(dice.roll(200)),
        14 => Act::Slew(if dice.one_in(2) { 1 } else { -1 }),
        _ => jump(dice, skew_s),
    }
}

/// To another difference from the true time; every other jump is taken back.
fn jump(dice: &mut Dice, skew_s: &mut i64) -> Act {
    const TO_S: [i64; 6] = [600, -600, 10_800, -10_800, 3_456_000, -3_456_000];
    let to_s = if *skew_s == 0 { TO_S[index(dice, TO_S.len())] } else { 0 };
    let by_s = to_s - std::mem::replace(skew_s, to_s);
    if dice.one_in(3) { Act::Reset(by_s) } else { Act::Jump(by_s) }
}

fn index(dice: &mut Dice, of: usize) -> usize {
    usize::try_from(dice.roll(u64::try_from(of).unwrap_or(u64::MAX))).unwrap_or(0)
}
