//! Arrival profile: the expected number of joins and leaves of an organisation by weekday and minute.
//!
//! Guards: memory is bounded; the same changes in the same order give the same numbers. Not here: forecasts for single
//! users (`pace`).

const DAY_MINUTES: usize = 1440;
/// Weight of older days, applied once a week.
const FADE: f64 = 0.8;
/// Share of the forecast that comes from the same weekday; the rest comes from all days.
const SAME_WEEKDAY: f64 = 0.75;

/// Counts of joins and leaves by weekday and minute.
#[derive(Clone, Debug)]
pub struct ArrivalProfile {
    changes: Vec<[f64; 7]>,
    /// Number of days seen by weekday, faded.
    days: [f64; 7],
    /// The newest day counted.
    newest: Option<i32>,
}

impl Default for ArrivalProfile {
    fn default() -> Self {
        Self { changes: vec![[0.0; 7]; DAY_MINUTES], days: [0.0; 7], newest: None }
    }
}

impl ArrivalProfile {
    /// Starts a local day (since 1970-01-01); days must come in order.
    pub fn start_day(&mut self, day: i32) {
        let weekday = weekday(day);
        if self.newest.is_some_and(|newest| newest >= day) {
            return;
        }
        self.newest = Some(day);
        for minute in &mut self.changes {
            minute[weekday] *= FADE;
        }
        self.days[weekday] = self.days[weekday] * FADE + 1.0;
    }

    /// Counts one join or leave on the newest day, spread over the minutes `from..to`.
    pub fn record_change(&mut self, from: usize, to: usize) {
        let Some(day) = self.newest else { return };
        let (from, to) = (from.min(DAY_MINUTES - 1), to.clamp(from + 1, DAY_MINUTES.max(from + 1)));
        let to = to.min(DAY_MINUTES);
        for minute in &mut self.changes[from..to] {
            minute[weekday(day)] += 1.0 / count(to - from);
        }
    }

    /// Expected joins and leaves in each minute of this day.
    pub fn expected(&self, day: i32) -> Vec<f64> {
        let same = weekday(day);
        let of_days: f64 = self.days.iter().sum();
        let raw: Vec<f64> = self
            .changes
            .iter()
            .map(|minute| {
                let all = minute.iter().sum::<f64>() / of_days.max(1.0);
                if self.days[same] > 0.0 {
                    SAME_WEEKDAY * minute[same] / self.days[same] + (1.0 - SAME_WEEKDAY) * all
                } else {
                    all
                }
            })
            .collect();
        // Smoothed over five minutes: lateness differs from week to week.
        let near = |minute: usize| {
            let window = &raw[minute.saturating_sub(2)..(minute + 3).min(raw.len())];
            window.iter().sum::<f64>() / count(window.len())
        };
        (0..raw.len()).map(near).collect()
    }
}

fn weekday(day: i32) -> usize {
    usize::try_from(day.rem_euclid(7)).unwrap_or(0)
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weekly_meeting_is_expected_on_its_weekday() {
        let mut profile = ArrivalProfile::default();
        for day in 0..28 {
            profile.start_day(day);
            if day % 7 == 2 {
                for _ in 0..6 {
                    profile.record_change(600, 601);
                }
            }
        }
        let around = |day: i32| profile.expected(day)[596..606].iter().sum::<f64>();
        assert!((4.0..=6.5).contains(&around(30)), "{}", around(30));
        assert!(around(31) < 0.5);
        let whole: f64 = profile.expected(30).iter().sum();
        assert!(around(30) > 0.99 * whole);
    }

    #[test]
    fn nothing_known_expects_nothing() {
        assert!(ArrivalProfile::default().expected(3).iter().all(|changes| *changes == 0.0));
    }
}
