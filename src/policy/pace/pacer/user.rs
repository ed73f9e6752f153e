//! The pacer's state of one user: the known presence, and the forecasts of the day and the current visit.
//!
//! Not here: past visits (`visit_history`, `co_meetings`), how forecasts are made (`forecast`).

use super::super::co_meetings::Hint;
use super::super::lookahead::{Outlook, Trend};
use super::super::visit_history::{LocalVisit, SLOTS};

pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) conference: u64,
    pub(super) day: i32,
    pub(super) visit: LocalVisit,
}

/// Forecast of the next hours from the last poll on: of the current visit, or of a rejoin soon after a leave.
#[derive(Clone, Debug)]
pub(super) struct NearForecast {
    /// Minute of the day forecast at which it begins.
    pub(super) from: usize,
    pub(super) trend: Trend,
    pub(super) outlook: Outlook,
    pub(super) chance: Vec<f64>,
}

/// Forecast of a day.
#[derive(Clone, Debug)]
pub(super) struct DayForecast {
    /// The instant of minute 0.
    pub(super) from: i64,
    /// Decisions in `[opens, until)` use it.
    pub(super) opens: i64,
    pub(super) until: i64,
    /// Local ms minus instant.
    pub(super) offset: i64,
    pub(super) chance: Vec<f64>,
    pub(super) patterns: [u8; SLOTS],
    pub(super) trend: Trend,
    pub(super) outlook: Outlook,
}

#[derive(Clone, Debug, Default)]
pub(super) struct PacerUser {
    pub(super) key: u64,
    pub(super) open: usize,
    pub(super) last_poll: Option<i64>,
    /// At this instant the known state was wrong with probability `wrong`.
    pub(super) anchor: i64,
    pub(super) wrong: f64,
    pub(super) inside: Option<Inside>,
    /// When the last known visit ended, if the user was outside at the last poll.
    pub(super) left: Option<i64>,
    pub(super) near: Option<NearForecast>,
    /// The last hint since the last poll that made the user more likely to be inside.
    pub(super) hint: Option<Hint>,
    pub(super) day_forecast: Option<Box<DayForecast>>,
    /// The forecast, cached or evicted, is for `[opens, until)` and was made at this price.
    pub(super) made: Option<(i64, i64, f64)>,
}

impl NearForecast {
    /// Its minute that is this minute of the day forecast.
    pub(super) fn minute(&self, of_day: usize) -> usize {
        of_day.saturating_sub(self.from).min(self.trend.end())
    }
}

impl DayForecast {
    pub(super) fn covers(&self, at: i64) -> bool {
        (self.opens..self.until).contains(&at)
    }
}

/// The minute of a forecast that contains an instant, clamped to the forecast.
pub(super) fn minute_of(day_forecast: &DayForecast, at: i64) -> usize {
    usize::try_from((at - day_forecast.from) / MINUTE_MS).unwrap_or(0).min(day_forecast.trend.end())
}
