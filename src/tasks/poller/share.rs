//! Who shares the month's calls: what fixed intervals and instants will take, and the open time that the rest is spread
//! over.
//!
//! Guards: spending is spread over time in which anybody looks, not over nights and weekends. Deliberately not here: the
//! interval that comes of it (`policy::quota`).

use std::time::Duration;

use chrono_tz::Tz;

use super::Poller;
use super::hours::HoursKey;
use super::roster::Rhythm;
use crate::policy::poll_time;
use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// What is left of the month's open time is worked out anew so often.
const SHARE_FRESH: Duration = Duration::from_mins(1);

/// What the people of one organisation will need of the month's calls.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Paced people, by their hours.
    paced: Vec<(HoursKey, u32)>,
    /// Calls in a second of open time that fixed intervals and instants make, by hours.
    fixed: Vec<(HoursKey, f64)>,
    /// Open time left in the month, summed over the paced people.
    pub(super) open: Duration,
    /// Calls that fixed intervals and instants will make until the month turns.
    pub(super) fixed_calls: u64,
    fresh_until: Timestamp,
}

impl Share {
    /// Who is paced by the calls that are left.
    pub(super) fn paced_people(&self) -> u32 {
        self.paced.iter().map(|(_, people)| people).sum()
    }
}

impl Poller {
    /// Counts anew who shares the month's calls; to be called whenever the watch list or a rhythm has changed.
    pub(super) fn recount(&mut self, now: Timestamp) {
        let mut shares: Vec<Share> = self.upstreams.iter().map(|_| Share::default()).collect();
        let mut counted: Vec<(Rhythm, HoursKey, f64)> = Vec::new();
        for watched in self.users.values().filter(|watched| !watched.gone) {
            let share = &mut shares[watched.upstream];
            let hours = watched.hours;
            if watched.rhythm == Rhythm::Auto {
                match share.paced.iter_mut().find(|(of, _)| *of == hours) {
                    Some((_, people)) => *people += 1,
                    None => share.paced.push((hours, 1)),
                }
                continue;
            }
            let known = counted.iter().find(|(rhythm, of, _)| *rhythm == watched.rhythm && *of == hours);
            let calls = if let Some((.., calls)) = known {
                *calls
            } else {
                let calls =
                    calls_a_second(&watched.rhythm, &self.hours[hours].open, self.settings.time_zone, now);
                if counted.len() < 1000 {
                    counted.push((watched.rhythm.clone(), hours, calls));
                }
                calls
            };
            match share.fixed.iter_mut().find(|(of, _)| *of == hours) {
                Some((_, sum)) => *sum += calls,
                None => share.fixed.push((hours, calls)),
            }
        }
        for (upstream, share) in self.upstreams.iter_mut().zip(shares) {
            upstream.share = share;
        }
        self.refresh_shares(now);
    }

    /// Open time between two instants, summed over the paced people of an organisation.
    pub(super) fn open_between(&self, index: usize, from: Timestamp, to: Timestamp) -> Duration {
        let open = |of: HoursKey| {
            let open = &self.hours[of].open;
            if open.is_always() { to.since(from) } else { open.open_between(from, to) }
        };
        let paced = &self.upstreams[index].share.paced;
        paced.iter().map(|&(of, people)| open(of).saturating_mul(people)).sum()
    }

    /// Works out what is left of the month's open time, where that is no longer fresh.
    pub(super) fn refresh_shares(&mut self, now: Timestamp) {
        for upstream in &mut self.upstreams {
            // A clock set back makes it stale too.
            let fresh =
                upstream.share.fresh_until > now && upstream.share.fresh_until.since(now) <= SHARE_FRESH;
            if fresh || upstream.budget.limit().is_none() {
                continue;
            }
            let ends = upstream.budget.month_ends_at(now);
            let hours = &self.hours;
            let left = |of: HoursKey| {
                let open = &hours[of].open;
                if open.is_always() { ends.since(now) } else { open.open_between(now, ends) }
            };
            let share = &mut upstream.share;
            share.open = share.paced.iter().map(|&(of, people)| left(of).saturating_mul(people)).sum();
            let fixed: f64 = share.fixed.iter().map(|&(of, calls)| left(of).as_secs_f64() * calls).sum();
            share.fixed_calls = whole(fixed);
            share.fresh_until = now.plus(SHARE_FRESH).min(ends);
        }
    }
}

/// What somebody with this rhythm needs in a second of open time.
fn calls_a_second(rhythm: &Rhythm, open: &OpenTime, zone: Tz, now: Timestamp) -> f64 {
    match rhythm {
        Rhythm::Auto => 0.0,
        Rhythm::Every(interval) => 1.0 / interval.as_secs_f64().max(0.001),
        Rhythm::At(cron) => poll_time::instants_a_second(cron, zone, open, now),
    }
}

/// A number of calls: not negative, and far below what a float holds exactly.
fn whole(calls: f64) -> u64 {
    // There is no lossless conversion; through a duration's seconds it is checked.
    Duration::try_from_secs_f64(calls.max(0.0)).map_or(u64::MAX, |as_seconds| as_seconds.as_secs())
}
