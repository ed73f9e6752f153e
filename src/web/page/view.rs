//! What every page is drawn for: the language, the visitor, the time; and the frame around each page.
//!
//! Guards: text enters a page only escaped, by `maud`; no page has inline styles or scripts, so the policy allows none. Not
//! here: the pages.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use chrono_tz::Tz;
use maud::{DOCTYPE, Markup, html};

use super::assets;
use crate::config::{Scope, Show};
use crate::policy::civil;
use crate::time::Timestamp;
use crate::web::proxy::Client;
use crate::web::rights::Grant;
use crate::web::session;
use crate::web::state::State;
use crate::web::visitor::{TOKEN, Visitor, cookie, pairs};

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lang {
    En,
    Zh,
}

impl Lang {
    /// The text in this language.
    pub(super) fn of(self, en: &'static str, zh: &'static str) -> &'static str {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }

    /// Its tag in HTML.
    pub(super) fn tag(self) -> &'static str {
        self.of("en", "zh-CN")
    }

    /// By `?lang=`, else by a cookie, else what the browser prefers.
    pub(super) fn wanted(uri: &Uri, headers: &HeaderMap) -> Self {
        let own = pairs(uri).find(|(name, _)| name == "lang").map(|(_, value)| value);
        let kept = own.or_else(|| cookie(headers, "lang").map(str::to_owned));
        let accepted = || {
            let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok())?;
            accepted.split(',').map(str::trim).find(|tag| tag.starts_with("zh") || tag.starts_with("en"))
        };
        let is_chinese = kept.as_deref().or_else(accepted).is_some_and(|tag| tag.starts_with("zh"));
        if is_chinese { Self::Zh } else { Self::En }
    }
}

/// Who looks at a page, and how.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) lang: Lang,
    /// What links begin with.
    pub(super) base: String,
    pub(super) grant: Grant,
    /// The hidden field of forms; `None`: no action is possible.
    pub(super) form: Option<String>,
    pub(super) now: Timestamp,
    pub(super) zone: Tz,
    /// For a screen on a wall: no menu, large.
    pub(super) kiosk: bool,
    /// `light` or `dark`, if asked for.
    theme: Option<&'static str>,
    /// The address has a token, which must not stay there.
    pub(super) by_url: bool,
    uri: Uri,
}

impl FromRequestParts<State> for View {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Self::Rejection> {
        let (uri, headers) = (&parts.uri, &parts.headers);
        let client = parts.extensions.get::<Client>();
        let base = client.map(|client| client.prefix.clone()).unwrap_or_default();
        // A page without a visitor opens nothing.
        let visitor = parts.extensions.get::<Visitor>().cloned();
        let form = visitor.as_ref().and_then(|visitor| {
            let cookie = visitor.cookie.as_deref()?;
            (visitor.grant.scope == Scope::Operator).then(|| session::form_token(&visitor.grant, cookie))
        });
        let by_url = visitor.as_ref().is_some_and(|visitor| visitor.by_url);
        let grant = visitor.map_or_else(Grant::nothing, |visitor| visitor.grant);
        let value = |wanted: &str| pairs(uri).find(|(name, _)| name == wanted).map(|(_, value)| value);
        let theme =
            value("theme").and_then(|theme| ["light", "dark"].into_iter().find(|known| *known == theme));
        Ok(Self {
            lang: Lang::wanted(uri, headers),
            base,
            form,
            now: state.0.clock.now(),
            zone: state.settings().time_zone,
            kiosk: value("kiosk").is_some_and(|value| value != "0"),
            theme,
            by_url,
            uri: uri.clone(),
            grant,
        })
    }
}

impl View {
    /// A text in the language of the page.
    pub(super) fn t(&self, en: &'static str, zh: &'static str) -> &'static str {
        self.lang.of(en, zh)
    }

    /// A parameter of the URL.
    pub(super) fn parameter(&self, wanted: &str) -> Option<String> {
        pairs(&self.uri).find(|(name, _)| name == wanted).map(|(_, value)| value)
    }

    /// Whether names are shown.
    pub(super) fn has_names(&self) -> bool {
        self.grant.show == Show::Names
    }

    /// A link to a page.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// `09:41`
    pub(super) fn clock(&self, at: Timestamp) -> String {
        civil::wall(at, self.zone).format("%H:%M").to_string()
    }

    /// `2026-11-29`
    pub(super) fn date(&self, at: Timestamp) -> String {
        civil::wall(at, self.zone).format("%Y-%m-%d").to_string()
    }

    /// The time of day, with the date if it is not today.
    pub(super) fn moment(&self, at: Timestamp) -> String {
        let date = self.date(at);
        if date == self.date(self.now) {
            self.clock(at)
        } else {
            format!("{} {}", &date[5..], self.clock(at))
        }
    }

    /// `40 s ago`, kept up to date by the script.
    pub(super) fn ago(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at.rfc3339()) data-ago=(at.as_ms()) { (ago(self.lang, self.now.since(at))) } }
    }

    /// `in 6 min`, kept up to date by the script.
    pub(super) fn ahead(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at.rfc3339()) data-in=(at.as_ms()) { (ahead(self.lang, at.since(self.now))) } }
    }

    /// `25 min`, kept up to date by the script.
    pub(super) fn lasting(&self, since: Timestamp) -> Markup {
        html! { time.num datetime=(since.rfc3339()) data-for=(since.as_ms()) { (span(self.lang, self.now.since(since))) } }
    }

    /// The address of this page without a token.
    pub(super) fn bare_address(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs(&self.uri).filter(|(key, _)| key != TOKEN));
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{query}", self.base, self.uri.path())
    }

    /// The address of this page with another value of a parameter.
    fn with(&self, name: &str, value: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in pairs(&self.uri).filter(|(key, _)| key != name && key != TOKEN) {
            query.append_pair(&key, &value);
        }
        query.append_pair(name, value);
        format!("{}{}?{}", self.base, self.uri.path(), query.finish())
    }

    /// A page with the frame around it.
    pub(super) fn page(&self, title: &str, body: &Markup) -> Markup {
        let other = self.t("zh", "en");
        html! {
            (DOCTYPE)
            html lang=(self.lang.tag()) data-now=(self.now.as_ms()) data-theme=[self.theme]
                data-stream=(self.link("/api/v1/stream")) class=[self.kiosk.then_some("kiosk")] {
                (head(title, &self.base))
                body {
                    a.skip href="#main" { (self.t("Skip to the content", "跳到正文")) }
                    @if !self.kiosk {
                        header {
                            a.brand href=(self.link("/")) { (mark()) "presenced" }
                            nav aria-label=(self.t("Pages", "页面")) { (self.menu()) }
                            span.live #live role="status" data-on=(self.t("live", "实时")) data-off=(self.t("not connected", "未连接")) {
                                i aria-hidden="true" {} span { (self.t("as of", "截至")) " " (self.clock(self.now)) }
                            }
                            a.lang href=(self.with("lang", other)) lang=(if other == "zh" { "zh-CN" } else { "en" }) hreflang=(if other == "zh" { "zh-CN" } else { "en" }) {
                                (self.t("中文", "English"))
                            }
                        }
                    }
                    main #main { (body) }
                    (patterns())
                }
            }
        }
    }

    fn menu(&self) -> Markup {
        let all = [
            ("/", self.t("Board", "看板"), Scope::Board),
            ("/day", self.t("Day", "日程"), Scope::Viewer),
            ("/webhooks", self.t("Webhooks", "Webhook"), Scope::Operator),
            ("/calls", self.t("Calls", "调用"), Scope::Operator),
            ("/health", self.t("Health", "健康"), Scope::Operator),
        ];
        let is_here = |path: &str| {
            self.uri.path() == path || (path != "/" && self.uri.path().starts_with(&format!("{path}/")))
        };
        let counts_only = self.grant.show == Show::Counts;
        html! {
            @for (path, name, scope) in all {
                @if self.grant.scope >= scope && !(counts_only && scope == Scope::Viewer) {
                    a href=(self.link(path)) aria-current=[is_here(path).then_some("page")] { (name) }
                }
            }
        }
    }
}

/// The head of every page.
pub(super) fn head(title: &str, base: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · presenced" }
            link rel="icon" href=(format!("{base}{}", assets::ICON.path()));
            link rel="stylesheet" href=(format!("{base}{}", assets::STYLE.path()));
            script src=(format!("{base}{}", assets::SCRIPT.path())) defer {}
        }
    }
}

/// The mark of the project.
pub(super) fn mark() -> Markup {
    html! { svg.mark viewBox="0 0 24 24" aria-hidden="true" { circle cx="9" cy="12" r="7" {} circle.dot cx="18" cy="12" r="4" {} } }
}

/// Patterns that drawings fill with.
fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" {
            defs {
                pattern #hatch width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    line.hatch x1="0" y1="0" x2="0" y2="7" {}
                }
            }
        }
    }
}

/// A duration in words: `40 s`, `6 min`, `1 h 20 min`.
pub(super) fn span(lang: Lang, duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (lang, seconds) {
        (Lang::En, 0..60) => format!("{seconds} s"),
        (Lang::Zh, 0..60) => format!("{seconds} 秒"),
        (Lang::En, 60..3600) => format!("{} min", seconds / 60),
        (Lang::Zh, 60..3600) => format!("{} 分钟", seconds / 60),
        (Lang::En, 3600..172_800) => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        (Lang::Zh, 3600..172_800) => format!("{} 小时 {} 分", seconds / 3600, seconds / 60 % 60),
        (Lang::En, _) => format!("{} days", seconds / 86_400),
        (Lang::Zh, _) => format!("{} 天", seconds / 86_400),
    }
}

fn ago(lang: Lang, duration: Duration) -> String {
    match lang {
        Lang::En => format!("{} ago", span(lang, duration)),
        Lang::Zh => format!("{}前", span(lang, duration)),
    }
}

fn ahead(lang: Lang, duration: Duration) -> String {
    match lang {
        _ if duration.is_zero() => lang.of("now", "现在").to_owned(),
        Lang::En => format!("in {}", span(lang, duration)),
        Lang::Zh => format!("{}后", span(lang, duration)),
    }
}
