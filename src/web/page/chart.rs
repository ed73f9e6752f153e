//! Bar charts.
//!
//! Guards: drawn with attributes only; each bar says its value in words. Not here: what is drawn.

use maud::{Markup, html};

/// A bar, with a second part on top of it.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) other: f64,
    pub(super) title: String,
}

const HEIGHT: f64 = 100.0;

/// A chart as wide as its place; every `step`-th bar has its name.
pub(super) fn bars(bars: &[Bar], step: usize, unit: &str) -> Markup {
    let most = most(bars);
    let width = 100.0 / count(bars);
    html! {
        svg.chart role="img" aria-label=(words(bars, unit)) {
            text x="0" y="9" { (shown(most)) " " (unit) }
            line.axis-line x1="0" x2="100%" y1="116" y2="116" {}
            @for (n, bar) in bars.iter().enumerate() {
                (column(bar, place(n) * width, width, most, 16.0))
                @if n % step == 0 { text x=(percent(place(n) * width)) y="129" { (bar.name) } }
            }
        }
    }
}

/// A small one without names.
pub(super) fn spark(bars: &[Bar], label: &str) -> Markup {
    let (most, width) = (most(bars), 100.0 / count(bars));
    html! {
        svg.spark role="img" aria-label=(label) {
            @for (n, bar) in bars.iter().enumerate() {
                @let (first, second) = (bar.value / most * 24.0, bar.other / most * 24.0);
                rect.b x=(percent(place(n) * width)) y=(format!("{:.1}", 26.0 - first)) width=(percent(width * 0.75)) height=(format!("{first:.1}")) { title { (bar.title) } }
                rect.b2 x=(percent(place(n) * width)) y=(format!("{:.1}", 26.0 - first - second)) width=(percent(width * 0.75)) height=(format!("{second:.1}")) {}
            }
        }
    }
}

fn column(bar: &Bar, x: f64, width: f64, most: f64, top: f64) -> Markup {
    let (first, second) = (bar.value / most * HEIGHT, bar.other / most * HEIGHT);
    html! {
        g {
            title { (bar.title) }
            rect.b x=(percent(x)) y=(format!("{:.1}", top + HEIGHT - first)) width=(percent(width * 0.72)) height=(format!("{first:.1}")) rx="2" {}
            rect.b2 x=(percent(x)) y=(format!("{:.1}", top + HEIGHT - first - second)) width=(percent(width * 0.72)) height=(format!("{second:.1}")) {}
        }
    }
}

fn most(bars: &[Bar]) -> f64 {
    // An empty chart has a scale too.
    bars.iter().map(|bar| bar.value + bar.other).fold(0.0, f64::max).max(0.1)
}

#[expect(clippy::cast_precision_loss, reason = "a chart has a few dozen bars")]
fn place(n: usize) -> f64 {
    n as f64
}

fn count(bars: &[Bar]) -> f64 {
    place(bars.len().max(1))
}

fn percent(number: f64) -> String {
    format!("{number:.2}%")
}

fn shown(number: f64) -> String {
    if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

fn words(bars: &[Bar], unit: &str) -> String {
    let all: Vec<&str> =
        bars.iter().filter(|bar| bar.value + bar.other > 0.0).map(|bar| &*bar.title).collect();
    if all.is_empty() { format!("0 {unit}") } else { all.join("; ") }
}
