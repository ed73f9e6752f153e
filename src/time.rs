//! Times as milliseconds since 1970-01-01 UTC, the unit of DingTalk's own fields.
//!
//! Guards: no decision uses another unit or a time zone. Deliberately not here: the clock (`clock`), civil time and
//! time zones (`policy`).

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A time in milliseconds since the epoch, UTC. Serialized as an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `ms` milliseconds after the epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Later by `by`, at most the maximum of `i64`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(duration_ms(by)))
    }

    /// Earlier by `by`, at least the minimum of `i64`.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(duration_ms(by)))
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339, UTC, with milliseconds: `2023-11-07T08:54:55.876Z`. RFC 3339 has four digits for the year, so the
    /// time is clamped to the years 1 to 9999.
    pub fn rfc3339(self) -> String {
        const FIRST_MS: i64 = -62_135_596_800_000; // 0001-01-01
        const LAST_MS: i64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z
        let ms = self.0.clamp(FIRST_MS, LAST_MS);
        DateTime::<Utc>::from_timestamp_millis(ms)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// A duration in whole milliseconds, at most the maximum of `i64`.
pub fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_time_of_dingtalk_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_ms(1_699_347_295_876).to_string(), "2023-11-07T08:54:55.876Z");
    }

    #[test]
    fn times_out_of_range_print_four_digit_years() {
        assert_eq!(Timestamp::from_ms(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_ms(i64::MIN).to_string(), "0001-01-01T00:00:00.000Z");
    }

    #[test]
    fn since_is_never_negative() {
        let (early, late) = (Timestamp::from_ms(5), Timestamp::from_ms(9));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
