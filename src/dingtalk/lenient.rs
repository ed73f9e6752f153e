//! Reads values in all forms that DingTalk may write: numbers and booleans also as text, texts with any content.
//!
//! Guards: a value of the wrong kind is an error that names the field and quotes nothing of the value, because values are
//! ids and names of people. Not here: which fields exist (`wire`).

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A number: an integer, a float without a fraction, or either as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Number {
    /// Missing, null, or an empty text.
    #[default]
    Absent,
    /// An integer.
    Value(i64),
    /// A number with a fraction, or beyond 64 bits.
    Odd,
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl Visitor<'_> for Numbers {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number::Value(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(i64::try_from(value).map_or(Number::Odd, Number::Value))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(integral(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let text = text.trim();
                if text.is_empty() {
                    return Ok(Number::Absent);
                }
                if let Ok(value) = text.parse::<i64>() {
                    return Ok(Number::Value(value));
                }
                // `parse::<f64>` also accepts "inf" and "NaN", which are not numbers here.
                if !text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
                    return Err(E::custom("not a number"));
                }
                text.parse::<f64>().map(integral).map_err(|_| E::custom("not a number"))
            }
            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number::Absent)
            }
        }
        deserializer.deserialize_any(Numbers)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range and the fraction are checked in the same line"
)]
fn integral(value: f64) -> Number {
    // Up to 2^53 every integer has its own float.
    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
        Number::Value(value as i64)
    } else {
        Number::Odd
    }
}

/// A boolean: `true`, `"true"`, 1 or `"1"`. Missing, null and an empty text are `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Flags;
        impl Visitor<'_> for Flags {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Flag, E> {
                match value {
                    0 => Ok(Flag(false)),
                    1 => Ok(Flag(true)),
                    _ => Err(E::custom("not a boolean")),
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Flag, E> {
                let text = text.trim();
                if text.eq_ignore_ascii_case("true") || text == "1" {
                    Ok(Flag(true))
                } else if text.is_empty() || text.eq_ignore_ascii_case("false") || text == "0" {
                    Ok(Flag(false))
                } else {
                    Err(E::custom("not a boolean"))
                }
            }
            fn visit_unit<E>(self) -> Result<Flag, E> {
                Ok(Flag(false))
            }
        }
        deserializer.deserialize_any(Flags)
    }
}

/// An id or a key, which must be a text. Borrowed from the body unless it holds escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ids;
        impl<'de> Visitor<'de> for Ids {
            type Value = Id<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Id<'de>, E> {
                Ok(Id(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Id<'de>, E> {
                Ok(Id(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Ids)
    }
}

/// A text for people: a name or a device. Invalid UTF-8 and a lone surrogate (half of an emoji, from a cut that counts
/// UTF-16 units) become U+FFFD, so that they do not spoil the whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayText<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for DisplayText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = DisplayText<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<DisplayText<'de>, E> {
                Ok(DisplayText(String::from_utf8_lossy(bytes)))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<DisplayText<'de>, E> {
                Ok(DisplayText(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
            }
        }
        deserializer.deserialize_bytes(Texts)
    }
}

impl DisplayText<'_> {
    /// The text, trimmed and cut after `most` characters, without control and direction characters, which rearrange a
    /// terminal or a page. `None` if nothing is left.
    pub fn clean(&self, most: usize) -> Option<String> {
        let text = self.0.trim();
        let short = text.len() <= most;
        if short && !text.is_empty() && !text.chars().any(is_hidden) {
            return Some(text.to_owned());
        }
        let kept: String = text.chars().filter(|&c| !is_hidden(c)).take(most).collect();
        let kept = kept.trim();
        (!kept.is_empty()).then(|| kept.to_owned())
    }
}

/// A text that decides nothing: a value of another kind counts as missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaybeText<'a>(pub Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for MaybeText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = MaybeText<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<MaybeText<'de>, E> {
                Ok(MaybeText(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<MaybeText<'de>, E> {
                Ok(MaybeText(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_bool<E>(self, _: bool) -> Result<MaybeText<'de>, E> {
                Ok(MaybeText(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<MaybeText<'de>, E> {
                Ok(MaybeText(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<MaybeText<'de>, E> {
                Ok(MaybeText(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<MaybeText<'de>, E> {
                Ok(MaybeText(None))
            }
            fn visit_unit<E>(self) -> Result<MaybeText<'de>, E> {
                Ok(MaybeText(None))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<MaybeText<'de>, A::Error> {
                while list.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(MaybeText(None))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<MaybeText<'de>, A::Error> {
                while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
                Ok(MaybeText(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Control characters, line and paragraph separators, the byte order mark, and characters that change text direction.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(json: &str) -> Option<Number> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn numbers_in_every_form() {
        for json in ["7", "7.0", "\"7\"", "\"7.0\"", "\" 7 \"", "7e0", "\"0.7e1\""] {
            assert_eq!(number(json), Some(Number::Value(7)), "{json}");
        }
        assert_eq!(number("1.699347295876e12"), Some(Number::Value(1_699_347_295_876)));
        assert_eq!(number("-3"), Some(Number::Value(-3)));
        for json in ["null", "\"\"", "\" \""] {
            assert_eq!(number(json), Some(Number::Absent), "{json}");
        }
        for json in ["7.5", "18446744073709551615", "1e300", "\"7.5\"", "\"99999999999999999999\""] {
            assert_eq!(number(json), Some(Number::Odd), "{json}");
        }
        for json in ["true", "\"seven\"", "\"NaN\"", "\"inf\"", "[]", "{}", "\"0x7\""] {
            assert_eq!(number(json), None, "{json}");
        }
    }

    #[test]
    fn booleans_in_every_form() {
        for (json, value) in [
            ("true", true),
            ("\"true\"", true),
            ("\"True\"", true),
            ("1", true),
            ("\"1\"", true),
            ("false", false),
            ("\"false\"", false),
            ("0", false),
            ("null", false),
            ("\"\"", false),
        ] {
            assert_eq!(serde_json::from_str::<Flag>(json).ok(), Some(Flag(value)), "{json}");
        }
        for json in ["2", "-1", "1.5", "\"yes\"", "[]", "{}"] {
            assert!(serde_json::from_str::<Flag>(json).is_err(), "{json}");
        }
    }

    fn words(json: &[u8]) -> Option<String> {
        serde_json::from_slice::<DisplayText<'_>>(json).unwrap().clean(8)
    }

    #[test]
    fn texts_lose_what_rearranges_a_screen() {
        assert_eq!(words(b"\"Li Wei\""), Some("Li Wei".into()));
        assert_eq!(words("\"\u{202E}evil\u{2066}\"".as_bytes()), Some("evil".into()));
        assert_eq!(words(b"\"a\\u001b[2Jb\\n\""), Some("a[2Jb".into()));
        assert_eq!(words(b"\" \\u0000 \""), None);
        assert_eq!(words("\"王王王王王王王王王王\"".as_bytes()), Some("王王王王王王王王".into()));
    }

    #[test]
    fn half_an_emoji_does_not_cost_the_answer() {
        assert_eq!(words(b"\"ab\\ud83d\""), Some("ab\u{FFFD}\u{FFFD}\u{FFFD}".into()));
        assert_eq!(words(b"\"ab\xff\""), Some("ab\u{FFFD}".into()));
    }
}
