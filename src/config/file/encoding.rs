//! Text that is not UTF-8, and characters that look like those of TOML: where they are, and what to write instead.
//!
//! Guards: no byte of an unreadable file is shown, because it may be part of a secret. Not here: errors of the parser
//! (`file`).

use std::ops::Range;

use crate::invisible::{is_invisible, named, narrow};

/// A file that is not UTF-8.
#[derive(Debug)]
pub(in crate::config) struct NotUtf8 {
    /// What could be read before the first wrong byte.
    pub(in crate::config) before: String,
    /// Its encoding as `iconv` calls it, as far as can be guessed: in China a text that is no Unicode is GBK or its
    /// successor.
    pub(in crate::config) encoding: &'static str,
}

/// The text of a file. UTF-16 is known by its mark, or by every other byte of the first few being 0.
pub(in crate::config) fn decoded(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    let head = &bytes[..bytes.len().min(64)];
    let zeros = head.iter().filter(|byte| matches!(byte, 0)).count();
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || zeros > head.len() / 4 {
        // Without a mark `iconv` takes it for little-endian.
        let encoding = if head[0] == 0 { "UTF-16BE" } else { "UTF-16" };
        return Err(NotUtf8 { before: String::new(), encoding });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        NotUtf8 { before, encoding: "GB18030" }
    })
}

/// What to write instead of a character that looks like one of TOML, where the parser stopped.
pub(super) fn look_alike(text: &str, at: &Range<usize>) -> Option<String> {
    let here = text[at.start..].trim_start_matches([' ', '\t']).chars().next()?;
    let meant = match here {
        '：' => '=',
        '【' => '[',
        '】' => ']',
        '、' => ',',
        // Quotes have their own help.
        '＂' => return None,
        _ if here.is_whitespace() && !here.is_ascii() => {
            return Some(format!("{} looks like a blank: write a blank", named(here)));
        }
        _ if is_invisible(here) && !here.is_ascii_whitespace() => {
            return Some(format!("{} is invisible: delete it", named(here)));
        }
        // A letter may be one of a secret.
        _ if here.is_alphanumeric() && !here.is_ascii() && is_in_value(text, at.start) => {
            narrow(here)?;
            return Some("this character is full-width: write it in ASCII".to_owned());
        }
        _ => narrow(here)?,
    };
    Some(format!("{} is full-width: write `{meant}`", named(here)))
}

/// Whether something that looks like `=` stands before it on its line.
fn is_in_value(text: &str, at: usize) -> bool {
    text[..at].rsplit('\n').next().is_some_and(|line| line.contains(['=', '＝', ':', '：']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_encodings_are_distinguished_from_utf8() {
        let utf16 = |units: &[u16]| units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>();
        let text: Vec<u16> = "a = 1\nb = 2\n".encode_utf16().collect();
        let marked = [&[0xfeff], &text[..]].concat();
        let swapped =
            |bytes: Vec<u8>| bytes.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect::<Vec<_>>();
        for (bytes, encoding) in [
            (utf16(&text), "UTF-16"),
            (utf16(&marked), "UTF-16"),
            (swapped(utf16(&marked)), "UTF-16"),
            (swapped(utf16(&text)), "UTF-16BE"),
        ] {
            let error = decoded(bytes).unwrap_err();
            assert_eq!((error.before.as_str(), error.encoding), ("", encoding));
        }
        let error = decoded(b"a = 1\nb = \"\xb6\xa4\"".to_vec()).unwrap_err();
        assert_eq!((error.before.as_str(), error.encoding), ("a = 1\nb = \"", "GB18030"));
        for text in ["", "a = 1\n", "\u{feff}a = \"钉钉\"\n"] {
            assert_eq!(decoded(text.as_bytes().to_vec()).ok().as_deref(), Some(text));
        }
    }

    #[test]
    fn look_alikes_are_named_with_what_to_write() {
        let help = |text: &str| look_alike(text, &(0..0));
        assert_eq!(help(" ＝ 1").as_deref(), Some("`＝` (U+FF1D) is full-width: write `=`"));
        assert_eq!(help("［poll］").as_deref(), Some("`［` (U+FF3B) is full-width: write `[`"));
        assert_eq!(help("５").as_deref(), Some("`５` (U+FF15) is full-width: write `5`"));
        assert!(help("：").is_some_and(|help| help.ends_with("write `=`")));
        assert!(
            help("\u{3000}a")
                .is_some_and(|help| help.starts_with("U+3000 IDEOGRAPHIC SPACE looks like a blank"))
        );
        assert!(help("\u{a0}a").is_some_and(|help| help.ends_with("write a blank")));
        let secret = "app_secret = ｈunter2";
        let said = look_alike(secret, &(13..16));
        assert_eq!(said.as_deref(), Some("this character is full-width: write it in ASCII"));
        assert!(help("\u{200b}a").is_some_and(|help| help.ends_with("delete it")));
        assert!(["a", "=", "钉", "“", "＂", "", "\n"].iter().all(|text| help(text).is_none()));
    }
}
