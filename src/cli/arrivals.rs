//! Prints a line for each callback that the built-in receiver gets, and the totals at the end.
//!
//! Guards: every line says what happened and whether the signature verified. Not here: events (`presence::event`), receiving
//! (`simulator::receiver`).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::cli::output::{ERROR, FAINT, GOOD, Style, WARNING, harmless, padded};
use crate::simulator::receiver::{Received, Verdict};

/// What has been printed so far.
#[derive(Debug)]
pub(super) struct Arrivals {
    time_zone: Tz,
    printed: usize,
    deliveries: usize,
    verified: usize,
    events: BTreeSet<String>,
}

/// The totals.
#[derive(Debug)]
pub(super) struct Summary {
    polls: u64,
    events: usize,
    deliveries: usize,
    verified: usize,
}

impl Arrivals {
    /// None yet.
    pub(super) fn new(time_zone: Tz) -> Self {
        Self { time_zone, printed: 0, deliveries: 0, verified: 0, events: BTreeSet::new() }
    }

    /// Prints the names of the columns.
    pub(super) fn heading() {
        let head = line("TIME", "WHO", "WHAT HAPPENED", "MEETING", "NOTICED");
        anstream::println!("{FAINT}{head}  SIGNATURE{FAINT:#}");
    }

    /// Prints the link to the page.
    pub(super) fn page(link: &str) {
        anstream::println!("the page: {link}\n");
    }

    /// Prints what has arrived since the last call.
    pub(super) fn print(&mut self, received: &[Received]) {
        for delivery in received.iter().skip(self.printed) {
            self.deliveries += 1;
            let good = delivery.verdict == Verdict::Verified;
            self.verified += usize::from(good);
            let event = delivery.json();
            self.events.insert(event["id"].as_str().unwrap_or_default().to_owned());
            let (what, style) = happened(&event);
            let line = line(
                &local(&event["time"], self.time_zone),
                event["data"]["user"]["name"].as_str().unwrap_or("?"),
                &what,
                &meeting(&event),
                &noticed(&event),
            );
            let (word, colour) = if good { ("good", FAINT) } else { ("BAD", ERROR) };
            anstream::println!("{style}{line}{style:#}  {colour}{word}{colour:#}");
        }
        self.printed = received.len();
    }

    /// The totals. `polls`: as counted by the simulator.
    pub(super) fn summary(self, polls: u64) -> Summary {
        Summary { polls, events: self.events.len(), deliveries: self.deliveries, verified: self.verified }
    }
}

impl Summary {
    /// The totals in one line.
    pub(super) fn line(&self) -> String {
        let Self { polls, events, deliveries, verified } = self;
        format!("{polls} polls, {events} events, {deliveries} deliveries, {verified} verified signatures")
    }

    /// Whether a delivery arrived and all of them verified.
    pub(super) fn is_good(&self) -> bool {
        self.deliveries > 0 && self.verified == self.deliveries
    }
}

fn line(time: &str, who: &str, what: &str, meeting: &str, noticed: &str) -> String {
    format!(
        "{}  {}  {}  {}  {}",
        padded(time, 8),
        padded(&harmless(who), 14),
        padded(what, 20),
        padded(meeting, 9),
        padded(noticed, 10)
    )
}

fn happened(event: &Value) -> (String, Style) {
    let data = &event["data"];
    let visit = &data["visit"];
    match event["type"].as_str().unwrap_or_default() {
        "meeting.participant_joined" if visit["rejoin"] == true => ("joined again".into(), GOOD),
        "meeting.participant_joined" => ("joined".into(), GOOD),
        "meeting.participant_left" => match visit["left_reason"].as_str() {
            Some("left") | None => ("left".into(), WARNING),
            Some(reason) => (format!("left ({reason})"), WARNING),
        },
        "meeting.participant_invited" => ("was invited".into(), FAINT),
        "meeting.participant_join_failed" => ("did not join".into(), FAINT),
        "meeting.participant_role_changed" => {
            let role = data["changes"]["role"]["to"].as_str().unwrap_or("?").replace('_', "-");
            (format!("became {role}"), Style::new())
        }
        other => (other.rsplit('.').next().unwrap_or(other).replace('_', " "), Style::new()),
    }
}

/// The last digits, in which meetings differ.
fn meeting(event: &Value) -> String {
    let id = event["data"]["meeting"]["conference_id"].as_str().unwrap_or_default();
    let tail: String = id.chars().rev().take(6).collect::<Vec<_>>().into_iter().rev().collect();
    format!("…{}", harmless(&tail))
}

/// How long after it happened the daemon observed it, in scripted time.
fn noticed(event: &Value) -> String {
    let at = |value: &Value| value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    match (at(&event["time"]), at(&event["data"]["timing"]["observed_at"])) {
        (Some(happened), Some(seen)) => format!("{} s later", (seen - happened).num_seconds().max(0)),
        _ => String::new(),
    }
}

fn local(time: &Value, time_zone: Tz) -> String {
    let parsed = time.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    parsed.map(|at| at.with_timezone(&time_zone).format("%H:%M:%S").to_string()).unwrap_or_default()
}
