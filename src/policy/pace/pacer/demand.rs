//! How many calls the rest of the month is expected to need, in units of the square root of the price.
//!
//! A user whose state changes with probability `h` a minute is polled best every `sqrt(2 price / h)` minutes, so a
//! minute takes `sqrt(h / 2) / sqrt(price)` calls. Summed over users and open minutes this is the demand: the calls that
//! remain are spent by the end if the price is `(demand / calls)^2`.
//!
//! Guards: computed once a day. Not here: the chances (`join_model`, `duration_model`), the price (`shadow_price`).
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

use super::super::visit_history::{SLOT_MINUTES, SLOTS};
use super::calendar::Calendar;
use super::learning::Learned;
use super::user::{DAY_MS, PacerUser};

const SLOT_MS: i64 = 900_000;
/// Largest number of users whose demand is computed: it stands for that of all.
const SAMPLE: usize = 48;

/// The expected demand of the rest of a plan, as seen on one day.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// The local day on which it was computed, and the end of the plan.
    day: i32,
    until: i64,
    /// Local midnight of that day.
    midnight: i64,
    /// Demand of each quarter of that day and the six after it.
    week: Vec<[f64; SLOTS]>,
    /// Demand before each quarter of that day, and in total.
    passed: [f64; SLOTS + 1],
    /// Demand of the later days.
    later: f64,
    /// Demand of a mean day of the coming week.
    mean_day: f64,
}

impl Demand {
    /// The demand from the day of `at` to `until`. `before`: what was expected earlier; only the first day and days
    /// that it lacks are computed.
    pub(super) fn of(
        before: Option<&Self>,
        at: i64,
        until: i64,
        users: &[PacerUser],
        learned: &Learned,
        calendar: &mut Calendar,
    ) -> Self {
        let day = calendar.day_of(at);
        let midnight = i64::from(day) * DAY_MS - (calendar.local(at) - at);
        let known =
            |of: i32| before.and_then(|before| before.week.get(usize::try_from(of - before.day).ok()?));
        let week: Vec<[f64; SLOTS]> = (0..7)
            .map(|ahead| match known(day + ahead).filter(|_| ahead > 0) {
                Some(known) => *known,
                None => of_day(day + ahead, users, learned, calendar),
            })
            .collect();
        let mut passed = [0.0; SLOTS + 1];
        for slot in 0..SLOTS {
            passed[slot + 1] = passed[slot] + week[0][slot];
        }
        let sums: Vec<f64> = week.iter().map(|slots| slots.iter().sum()).collect();
        let from = midnight + DAY_MS;
        let open_of = |from: i64| calendar.open_minutes(from, from + DAY_MS);
        let mut later = 0.0;
        for ahead in 1.. {
            let begins = from + (ahead as i64 - 1) * DAY_MS;
            if begins >= until {
                break;
            }
            let like = ahead % 7;
            let usual = open_of(midnight + like as i64 * DAY_MS);
            let share = if usual > 0.0 {
                (calendar.open_minutes(begins, (begins + DAY_MS).min(until)) / usual).min(1.5)
            } else {
                0.0
            };
            later += sums[like] * share;
        }
        Self { day, until, midnight, week, passed, later, mean_day: sums.iter().sum::<f64>() / 7.0 }
    }

    /// Whether it is the demand of the rest of this plan, as seen on this day.
    pub(super) fn holds(&self, day: i32, until: i64) -> bool {
        self.day == day && self.until == until
    }

    /// Demand of the day before `at`.
    fn passed_by(&self, at: i64) -> f64 {
        let ms = (at.min(self.until) - self.midnight).clamp(0, SLOTS as i64 * SLOT_MS);
        let slot = usize::try_from(ms / SLOT_MS).unwrap_or(0).min(SLOTS - 1);
        let part = (ms - slot as i64 * SLOT_MS) as f64 / SLOT_MS as f64;
        self.passed[slot] + part * (self.passed[slot + 1] - self.passed[slot])
    }

    /// Demand from `at` on.
    pub(super) fn rest(&self, at: i64) -> f64 {
        self.later + self.passed_by(self.until) - self.passed_by(at)
    }

    /// Demand of the day between two instants.
    pub(super) fn between(&self, from: i64, to: i64) -> f64 {
        (self.passed_by(to) - self.passed_by(from)).max(0.0)
    }

    /// Demand of a mean day of the coming week.
    pub(super) fn mean_day(&self) -> f64 {
        self.mean_day
    }
}

/// The demand of all users on a day, from a sample of them.
fn of_day(day: i32, users: &[PacerUser], learned: &Learned, calendar: &mut Calendar) -> [f64; SLOTS] {
    let step = users.len().div_ceil(SAMPLE).max(1);
    let mut demand = [0.0; SLOTS];
    for (index, user) in users.iter().enumerate().step_by(step) {
        let of_user = of_user(day, index, user, learned, calendar);
        for (sum, one) in demand.iter_mut().zip(of_user) {
            *sum += one * step as f64;
        }
    }
    demand
}

/// The demand of one user on a day, by quarter.
pub(super) fn of_user(
    day: i32,
    index: usize,
    user: &PacerUser,
    learned: &Learned,
    calendar: &mut Calendar,
) -> [f64; SLOTS] {
    let mut demand = [0.0; SLOTS];
    let open = calendar.open_on(user.open, day);
    if open == 0 {
        return demand;
    }
    let days = calendar.comparable_days(user.open, day);
    let joins = learned.joins.ahead(&learned.join_rates[index], &learned.histories[index], &days);
    let leaves = 1.0 / learned.durations.mean_minutes();
    let mut inside = 0.0;
    for (minute, chance) in joins.chance.iter().enumerate() {
        let slot = minute / SLOT_MINUTES;
        if open >> slot & 1 == 1 {
            demand[slot] += (1.0 - inside) * (chance / 2.0).sqrt() + inside * (leaves / 2.0).sqrt();
        }
        inside += (1.0 - inside) * chance - inside * leaves;
    }
    demand
}
