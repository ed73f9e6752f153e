//! The language of a message and the time zone of its times.
//!
//! Guards: one rule for all formats: the time zone determines the language, unless the config or the end of the template's
//! name does. Deliberately not here: the sentences (`sentence`).

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// A language of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Chinese, simplified.
    Zh,
}

/// Time zones where Chinese is read.
const CHINESE_ZONES: [Tz; 13] = [
    Tz::Asia__Shanghai,
    Tz::Asia__Chongqing,
    Tz::Asia__Chungking,
    Tz::Asia__Harbin,
    Tz::Asia__Urumqi,
    Tz::Asia__Kashgar,
    Tz::Asia__Hong_Kong,
    Tz::Asia__Macau,
    Tz::Asia__Macao,
    Tz::Asia__Taipei,
    Tz::PRC,
    Tz::ROC,
    Tz::Hongkong,
];

impl Language {
    pub fn of_zone(zone: Tz) -> Self {
        if CHINESE_ZONES.contains(&zone) { Self::Zh } else { Self::En }
    }

    /// `en` or `zh`.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

/// Language and time zone of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The language of the sentences.
    pub language: Language,
    /// The time zone of the times.
    pub zone: Tz,
}

impl Style {
    /// The time zone, and the language for it.
    pub fn of_zone(zone: Tz) -> Self {
        Self { language: Language::of_zone(zone), zone }
    }

    /// In this language, or else in that for the time zone.
    pub fn new(zone: Tz, language: Option<Language>) -> Self {
        Self { language: language.unwrap_or_else(|| Language::of_zone(zone)), zone }
    }

    /// Splits `-en` or `-zh` off the end of a template's name, and uses that language instead of the usual one.
    pub fn of_name(name: &str, usual: Self) -> (&str, Self) {
        for language in [Language::En, Language::Zh] {
            let bare = name.strip_suffix(language.code()).and_then(|rest| rest.strip_suffix('-'));
            if let Some(bare) = bare {
                return (bare, Self { language, ..usual });
            }
        }
        (name, usual)
    }

    /// Formats an RFC 3339 time in the time zone: the time of day, preceded by the date unless it is the date of
    /// `today`. A text that is not a time is returned as it is.
    pub fn clock(&self, instant: &str, today: &str) -> String {
        let local = |text: &str| {
            let instant: DateTime<Utc> = text.parse().ok()?;
            Some(instant.with_timezone(&self.zone))
        };
        match (local(instant), local(today)) {
            (Some(at), Some(today)) if at.date_naive() == today.date_naive() => {
                at.format("%H:%M:%S").to_string()
            }
            (Some(at), _) => at.format("%Y-%m-%d %H:%M:%S").to_string(),
            (None, _) => instant.to_owned(),
        }
    }

    /// Formats a duration with at most two units.
    pub fn length(&self, ms: i64) -> String {
        let seconds = ms.max(0) / 1000;
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        let units = match self.language {
            Language::En => [" d", " h", " min", " s"],
            Language::Zh => [" 天", " 小时", " 分钟", " 秒"],
        };
        let counts = [days, hours, minutes, seconds % 60];
        let first = counts.iter().position(|&count| count > 0).unwrap_or(3);
        let two = first..(first + 2).min(4);
        let parts = two.filter(|&i| counts[i] > 0 || i == first);
        parts.map(|i| format!("{}{}", counts[i], units[i])).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHANGHAI: Style = Style { language: Language::Zh, zone: Tz::Asia__Shanghai };

    #[test]
    fn the_zone_determines_the_language_unless_the_name_does() {
        assert_eq!(Style::of_name("slack", Style::of_zone(Tz::Asia__Shanghai)), ("slack", SHANGHAI));
        assert_eq!(Style::of_name("slack", Style::of_zone(Tz::UTC)).1.language, Language::En);
        assert_eq!(Style::of_name("slack", Style::of_zone(Tz::Asia__Singapore)).1.language, Language::En);
        assert_eq!(
            Style::of_name("slack-zh", Style::of_zone(Tz::UTC)),
            ("slack", Style { language: Language::Zh, zone: Tz::UTC })
        );
        assert_eq!(Style::of_name("slack-en", Style::of_zone(Tz::PRC)).1.language, Language::En);
        assert_eq!(Style::of_name("-en", Style::of_zone(Tz::UTC)).0, "");
        assert_eq!(Style::of_name("zen", Style::of_zone(Tz::UTC)).0, "zen");
    }

    #[test]
    fn times_are_local_and_have_a_date_only_on_another_day() {
        let clock = |at| SHANGHAI.clock(at, "2023-11-07T08:55:12.301Z");
        assert_eq!(clock("2023-11-07T08:54:55.876Z"), "16:54:55");
        assert_eq!(clock("2023-11-06T15:59:59.000Z"), "2023-11-06 23:59:59");
        assert_eq!(clock("2023-11-06T16:00:00.000Z"), "00:00:00");
        assert_eq!(clock("soon"), "soon");
        assert_eq!(SHANGHAI.clock("2023-11-07T08:54:55Z", ""), "2023-11-07 16:54:55");
    }

    #[test]
    fn lengths_have_two_units() {
        let english = Style { language: Language::En, ..SHANGHAI };
        for (ms, text) in [
            (-5, "0 s"),
            (999, "0 s"),
            (45_000, "45 s"),
            (60_000, "1 min"),
            (25 * 60_000 + 4_000, "25 min 4 s"),
            (3_600_000 + 5 * 60_000, "1 h 5 min"),
            (86_400_000 + 59_000, "1 d"),
            (i64::MAX, "106751991167 d 7 h"),
        ] {
            assert_eq!(english.length(ms), text);
        }
        assert_eq!(SHANGHAI.length(3_905_000), "1 小时 5 分钟");
    }
}
