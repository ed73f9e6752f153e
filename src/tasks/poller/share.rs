//! How the month's calls are shared: what fixed intervals and cron expressions will take, and the open time over which
//! the rest is spread.
//!
//! Guards: calls are spread over open time, not over nights and weekends. Not here: the interval that follows
//! (`policy::quota`).

use std::time::Duration;

use chrono_tz::Tz;

use super::org::OrgPoller;
use super::roster::PollSchedule;
use super::roster::WindowKey;
use crate::policy::poll_time;
use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// How long a computed share is used.
const SHARE_FRESH: Duration = Duration::from_mins(1);

/// What the users of one organisation need of the month's calls.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Number of paced users, by window.
    paced: Vec<(WindowKey, u32)>,
    /// Calls a second of open time that fixed intervals and cron expressions make, by window.
    fixed: Vec<(WindowKey, f64)>,
    /// Open time left in the month, summed over the paced users.
    pub(super) open: Duration,
    /// Calls that fixed intervals and cron expressions will make until the month ends.
    pub(super) fixed_calls: u64,
    fresh_until: Timestamp,
}

impl Share {
    /// Number of users paced by the calls that are left.
    pub(super) fn paced_people(&self) -> u32 {
        self.paced.iter().map(|(_, people)| people).sum()
    }
}

impl OrgPoller {
    /// Counts again how the month's calls are shared; to be called whenever the watch list or a schedule has changed.
    pub(super) fn recount(&mut self, now: Timestamp) {
        let mut share = Share::default();
        let mut counted: Vec<(PollSchedule, WindowKey, f64)> = Vec::new();
        for watched in self.users.values().filter(|watched| !watched.gone) {
            let window = watched.window;
            if watched.schedule == PollSchedule::Auto {
                match share.paced.iter_mut().find(|(of, _)| *of == window) {
                    Some((_, people)) => *people += 1,
                    None => share.paced.push((window, 1)),
                }
                continue;
            }
            let known =
                counted.iter().find(|(schedule, of, _)| *schedule == watched.schedule && *of == window);
            let calls = if let Some((.., calls)) = known {
                *calls
            } else {
                let open = &self.windows[window].open;
                let calls = calls_a_second(&watched.schedule, open, self.settings.time_zone, now);
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
        self.upstream.share = share;
        self.refresh_share(now);
    }

    /// Open time between two instants, summed over the paced users of an organisation.
    pub(super) fn open_between(&self, from: Timestamp, to: Timestamp) -> Duration {
        let open = |of: WindowKey| {
            let open = &self.windows[of].open;
            if open.is_always() { to.since(from) } else { open.open_between(from, to) }
        };
        let paced = &self.upstream.share.paced;
        paced.iter().map(|&(of, people)| open(of).saturating_mul(people)).sum()
    }

    /// Computes the open time left in the month where it is outdated.
    pub(super) fn refresh_share(&mut self, now: Timestamp) {
        let upstream = &mut self.upstream;
        // A clock that was set back makes it outdated too.
        let fresh = upstream.share.fresh_until > now && upstream.share.fresh_until.since(now) <= SHARE_FRESH;
        if fresh || upstream.budget.limit().is_none() {
            return;
        }
        let ends = upstream.budget.month_ends_at(now);
        let windows = &self.windows;
        let left = |of: WindowKey| {
            let open = &windows[of].open;
            if open.is_always() { ends.since(now) } else { open.open_between(now, ends) }
        };
        let share = &mut upstream.share;
        share.open = share.paced.iter().map(|&(of, people)| left(of).saturating_mul(people)).sum();
        let fixed: f64 = share.fixed.iter().map(|&(of, calls)| left(of).as_secs_f64() * calls).sum();
        share.fixed_calls = whole(fixed);
        share.fresh_until = now.plus(SHARE_FRESH).min(ends);
    }
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
