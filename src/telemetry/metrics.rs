//! Counters of the daemon, and the text format of Prometheus.
//!
//! Guards: names and units follow the conventions of Prometheus; labels have names from the config and fixed words, never a
//! user; counting takes a lock and a lookup. Not here: what is read from the database for each scrape (`web::metrics`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ids::OrgName;
use crate::time::Timestamp;

/// The media type of [`Page::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Buckets for durations from milliseconds to a timeout.
const CALL_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets for delays from a second to half a day.
const DELAY_SECONDS: &[f64] =
    &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 43200.0];

/// All counters.
#[derive(Debug)]
pub struct Metrics {
    polls: Counts<(OrgName, &'static str)>,
    calls: Counts<OrgName>,
    events: Counts<&'static str>,
    attempts: Counts<(String, String)>,
    token_expiry: Mutex<BTreeMap<OrgName, Timestamp>>,
    duration: Histogram,
    lag: Histogram,
    observation_delay: Histogram,
}

impl Metrics {
    /// Counters at 0.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            polls: Counts::default(),
            calls: Counts::default(),
            events: Counts::default(),
            attempts: Counts::default(),
            token_expiry: Mutex::default(),
            duration: Histogram::new(CALL_SECONDS),
            lag: Histogram::new(DELAY_SECONDS),
            observation_delay: Histogram::new(DELAY_SECONDS),
        })
    }

    /// A poll began, `late` after it was due.
    pub fn poll_began(&self, late: Duration) {
        self.lag.observe(late);
    }

    /// A poll ended with `ok` or the class of its failure; the calls it took from the month, and its duration.
    pub fn poll_ended(&self, org: &OrgName, outcome: &'static str, calls: u32, took: Duration) {
        self.polls.add((org.clone(), outcome), 1);
        self.calls.add(org.clone(), u64::from(calls));
        self.duration.observe(took);
    }

    /// Calls that were not polls; the calls they took from the month.
    pub fn calls_made(&self, org: &OrgName, calls: u32) {
        self.calls.add(org.clone(), u64::from(calls));
    }

    /// The token in use expires then.
    pub fn token_expires(&self, org: &OrgName, at: Timestamp) {
        self.token_expiry.lock().unwrap_or_else(PoisonError::into_inner).insert(org.clone(), at);
    }

    /// An event was recorded; `delay` after it happened, if that is known.
    pub fn event(&self, event_type: &'static str, delay: Option<Duration>) {
        self.events.add(event_type, 1);
        if let Some(delay) = delay {
            self.observation_delay.observe(delay);
        }
    }

    /// A delivery was attempted; `code`: the HTTP status, `None` without an answer.
    pub fn webhook_attempt(&self, webhook: &str, code: Option<u16>) {
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        self.attempts.add((webhook.to_owned(), code), 1);
    }

    /// Writes all counters to the page.
    pub fn write(&self, page: &mut Page) {
        page.family("presenced_polls_total", "counter", "Polls of users, by outcome.");
        self.polls.each(|(org, outcome), n| page.sample(&[("org", org.as_str()), ("outcome", outcome)], n));
        page.family(
            "presenced_api_calls_total",
            "counter",
            "Calls to DingTalk that count against the month.",
        );
        self.calls.each(|org, n| page.sample(&[("org", org.as_str())], n));
        page.family("presenced_events_total", "counter", "Events recorded, by type.");
        self.events.each(|event_type, n| page.sample(&[("type", event_type)], n));
        page.family("presenced_webhook_attempts_total", "counter", "Delivery attempts, by HTTP status.");
        self.attempts.each(|(webhook, code), n| page.sample(&[("webhook", webhook), ("code", code)], n));
        page.family("presenced_token_expiry_timestamp_seconds", "gauge", "When the token in use expires.");
        for (org, at) in self.token_expiry.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            page.sample(&[("org", org.as_str())], seconds(*at));
        }
        self.duration.write(page, "presenced_poll_duration_seconds", "Duration of a poll.");
        self.lag.write(page, "presenced_poll_lag_seconds", "How long after it was due a poll begins.");
        let help = "From when something happened, if known, to when it was recorded.";
        self.observation_delay.write(page, "presenced_noticing_delay_seconds", help);
    }
}

/// Seconds since 1970, the unit of Prometheus.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a double until the year 287396")]
pub fn seconds(at: Timestamp) -> f64 {
    at.as_ms() as f64 / 1000.0
}

/// Counters of one metric, by label.
#[derive(Debug)]
struct Counts<K>(Mutex<BTreeMap<K, u64>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord> Counts<K> {
    fn add(&self, labels: K, n: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(labels).or_default();
        *count = count.saturating_add(n);
    }

    fn each(&self, mut act: impl FnMut(&K, u64)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|(labels, n)| act(labels, *n));
    }
}

/// A histogram of durations.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [f64],
    state: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    /// One more than the bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, state: Mutex::new(Buckets { counts: vec![0; bounds.len() + 1], sum: 0.0 }) }
    }

    fn observe(&self, value: Duration) {
        let value = value.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.counts[bucket] += 1;
        state.sum += value;
    }

    fn write(&self, page: &mut Page, name: &'static str, help: &str) {
        page.family(name, "histogram", help);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(&state.counts) {
            total += count;
            page.part("_bucket", &[("le", &bound)], total);
        }
        page.part("_sum", &[], state.sum);
        page.part("_count", &[], total);
    }
}

/// A page in the text format of Prometheus.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    /// Begins a metric. `kind`: counter, gauge or histogram.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One value of the current metric.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.part("", labels, value);
    }

    pub fn text(self) -> String {
        self.text
    }

    fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let family = self.family;
        self.line(format_args!("{family}{suffix}"));
        for (at, (name, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.line(format_args!("{}{name}=\"{text}\"", if at == 0 { '{' } else { ',' }));
        }
        self.line(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_written_by_name_and_label() {
        let metrics = Metrics::new();
        let org = OrgName::default_name();
        metrics.poll_began(Duration::from_millis(1));
        metrics.poll_ended(&org, "ok", 1, Duration::from_millis(25));
        metrics.poll_ended(&org, "timeout", 2, Duration::from_mins(1));
        metrics.event("meeting.participant_joined", Some(Duration::from_secs(7)));
        metrics.webhook_attempt("crm", Some(204));
        metrics.webhook_attempt("crm", None);
        metrics.token_expires(&org, Timestamp::from_ms(1_500));
        let mut page = Page::default();
        metrics.write(&mut page);
        let text = page.text();
        for line in [
            "presenced_polls_total{org=\"default\",outcome=\"ok\"} 1",
            "presenced_polls_total{org=\"default\",outcome=\"timeout\"} 1",
            "presenced_api_calls_total{org=\"default\"} 3",
            "presenced_events_total{type=\"meeting.participant_joined\"} 1",
            "presenced_webhook_attempts_total{webhook=\"crm\",code=\"204\"} 1",
            "presenced_webhook_attempts_total{webhook=\"crm\",code=\"none\"} 1",
            "presenced_token_expiry_timestamp_seconds{org=\"default\"} 1.5",
            "presenced_poll_duration_seconds_bucket{le=\"0.01\"} 0",
            "presenced_poll_duration_seconds_bucket{le=\"0.025\"} 1",
            "presenced_poll_duration_seconds_bucket{le=\"30\"} 1",
            "presenced_poll_duration_seconds_bucket{le=\"+Inf\"} 2",
            "presenced_poll_duration_seconds_sum 60.025",
            "presenced_poll_duration_seconds_count 2",
            "presenced_noticing_delay_seconds_count 1",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.family("presenced_x", "gauge", "a\\b\nc");
        page.sample(&[("user", "a\"b\\c\nd"), ("org", "李")], 1);
        assert_eq!(
            page.text(),
            "# HELP presenced_x a\\\\b\\nc\n# TYPE presenced_x gauge\npresenced_x{user=\"a\\\"b\\\\c\\nd\",org=\"李\"} 1\n"
        );
    }
}
