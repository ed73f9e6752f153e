//! How the month's calls are shared: what fixed intervals and cron expressions will take, and the open time over which
//! the rest is spread.
//!
//! Guards: calls are spread over open time, not over nights and weekends. Not here: the interval that follows
//! (`policy::quota`).

use std::time::Duration;

use chrono_tz::Tz;

use super::pacer::Share;
use super::roster::{PollSchedule, WindowKey};
use super::state::OrgState;
use crate::policy::poll_time;
use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// How long a computed share is used.
const SHARE_FRESH: Duration = Duration::from_mins(1);

/// Counts again how the month's calls are shared; to be called whenever the watch list or a schedule has changed.
pub(super) fn recount(org: &mut OrgState, now: Timestamp) {
    let mut share = Share::default();
    let mut counted: Vec<(PollSchedule, WindowKey, f64)> = Vec::new();
    for watched in org.users.values().filter(|watched| !watched.gone) {
        let window = watched.window;
        if watched.schedule == PollSchedule::Auto {
            match share.paced.iter_mut().find(|(of, _)| *of == window) {
                Some((_, people)) => *people += 1,
                None => share.paced.push((window, 1)),
            }
            continue;
        }
        let known = counted.iter().find(|(schedule, of, _)| *schedule == watched.schedule && *of == window);
        let calls = if let Some((.., calls)) = known {
            *calls
        } else {
            let open = org.windows.times(window);
            let calls = calls_a_second(&watched.schedule, open, org.settings.time_zone, now);
            if counted.len() < 1000 {
                counted.push((watched.schedule.clone(), window, calls));
            }
            calls
        };
        match share.fixed.iter_mut().find(|(of, _)| *of == window) {
            Some((_, sum)) => *sum += calls,
            None => share.fixed.push((window, calls)),
        }
    }
    org.pacer.share = share;
    refresh_share(org, now);
}

/// Open time between two instants, summed over the paced users of an organisation.
pub(super) fn open_between(org: &OrgState, from: Timestamp, to: Timestamp) -> Duration {
    let open = |of: WindowKey| {
        let open = org.windows.times(of);
        if open.is_always() { to.since(from) } else { open.open_between(from, to) }
    };
    let paced = &org.pacer.share.paced;
    paced.iter().map(|&(of, people)| open(of).saturating_mul(people)).sum()
}

/// Computes the open time left in the month where it is outdated.
pub(super) fn refresh_share(org: &mut OrgState, now: Timestamp) {
    // A clock that was set back makes it outdated too.
    let fresh = org.pacer.share.fresh_until > now && org.pacer.share.fresh_until.since(now) <= SHARE_FRESH;
    if fresh || org.limits.budget().limit().is_none() {
        return;
    }
    let ends = org.limits.budget().month_ends_at(now);
    let windows = &org.windows;
    let left = |of: WindowKey| {
        let open = windows.times(of);
        if open.is_always() { ends.since(now) } else { open.open_between(now, ends) }
    };
    let share = &mut org.pacer.share;
    share.open = share.paced.iter().map(|&(of, people)| left(of).saturating_mul(people)).sum();
    let fixed: f64 = share.fixed.iter().map(|&(of, calls)| left(of).as_secs_f64() * calls).sum();
    share.fixed_calls = whole(fixed);
    share.fresh_until = now.plus(SHARE_FRESH).min(ends);
}

/// Calls a second of open time that this schedule makes.
fn calls_a_second(schedule: &PollSchedule, open: &OpenTime, zone: Tz, now: Timestamp) -> f64 {
    match schedule {
        PollSchedule::Auto => 0.0,
        PollSchedule::Every(interval) => 1.0 / interval.as_secs_f64().max(0.001),
        PollSchedule::At(cron) => poll_time::instants_a_second(cron, zone, open, now),
    }
}

/// A number of calls: not negative, and far below what a float holds exactly.
fn whole(calls: f64) -> u64 {
    // There is no lossless conversion; through a duration's seconds it is checked.
    Duration::try_from_secs_f64(calls.max(0.0)).map_or(u64::MAX, |as_seconds| as_seconds.as_secs())
}
