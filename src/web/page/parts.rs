//! Small parts that several pages share.
//!
//! Guards: a colour stands for the same user or meeting everywhere. Not here: pages.

use maud::{Markup, html};

use super::view::View;
use crate::time::Timestamp;

/// Number of colours of the style.
const COLOURS: u32 = 8;

/// The class of a colour that a text always gets.
pub(super) fn colour(text: &str) -> String {
    let hash =
        text.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    format!("c{}", (hash ^ hash >> 15) % COLOURS)
}

/// A circle with up to two letters.
pub(super) fn avatar(name: &str) -> Markup {
    let words = name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let is_han = |c: char| c > '\u{2e80}';
    let letters: Vec<char> = words.take(2).collect();
    let shown: String = match letters.as_slice() {
        [first, ..] if is_han(*first) => first.to_string(),
        letters => letters.iter().flat_map(|c| c.to_uppercase()).collect(),
    };
    html! { span.avatar.(colour(name)) aria-hidden="true" { (shown) } }
}

/// What a meeting is called: its title, if one is known and may be shown, else when it began.
pub(super) fn meeting_name(view: &View, title: Option<&str>, id: &str, first: Timestamp) -> String {
    match title.filter(|_| view.has_names()) {
        Some("(hidden)") => view.t("(title hidden)", "（标题已隐藏）").to_owned(),
        Some(title) => title.to_owned(),
        None if view.has_names() => {
            let short: String = id.chars().skip(id.chars().count().saturating_sub(4)).collect();
            format!("{} {} …{short}", view.t("Meeting of", "会议"), view.clock(first))
        }
        None => format!("{} {}", view.t("Meeting of", "会议"), view.clock(first)),
    }
}

/// A heading with a link back.
pub(super) fn title(view: &View, title: &str, back: Option<(&str, &str)>) -> Markup {
    html! {
        div.title {
            @if let Some((path, name)) = back { a.back href=(view.link(path)) { "← " (name) } }
            h1 { (title) }
        }
    }
}
