//! The demo as told on a terminal: a line for each event as it arrives, and what it came to.
//!
//! Guards: every line says in words what happened and whether the signature verified. Deliberately not here: events
//! themselves (`presence::event`).

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::cli::output::{ERROR, FAINT, GOOD, Style, WARNING, harmless, padded};
use crate::simulator::receiver::{Received, Verdict};

/// What is told so far.
#[derive(Debug)]
pub(super) struct Story {
    time_zone: Tz,
    told: usize,
    deliveries: usize,
    verified: usize,
    events: BTreeSet<String>,
}

/// What it came to.
#[derive(Debug)]
pub(super) struct Summary {
    polls: u64,
    events: usize,
    deliveries: usize,
    verified: usize,
}

impl Story {
    /// Prints the head.
    pub(super) fn begin(speed: f64, time_zone: Tz, folder: &Path) -> Self {
        anstream::println!(
            "A scripted half hour of meetings at {speed} times its pace, on this machine alone:"
        );
        anstream::println!("a built-in DingTalk, the daemon that polls it, a receiver that verifies.");
        anstream::println!("database: {}\n", folder.join("presence.db").display());
        let head = line("TIME", "WHO", "WHAT HAPPENED", "MEETING", "NOTICED");
        anstream::println!("{FAINT}{head}  SIGNATURE{FAINT:#}");
        Self { time_zone, told: 0, deliveries: 0, verified: 0, events: BTreeSet::new() }
    }

    /// Prints what has arrived since.
    pub(super) fn tell(&mut self, received: &[Received]) {
        for delivery in received.iter().skip(self.told) {
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
        self.told = received.len();
    }

    /// What it came to. `polls`: as the built-in DingTalk counted them.
    pub(super) fn end(self, polls: u64) -> Summary {
        Summary { polls, events: self.events.len(), deliveries: self.deliveries, verified: self.verified }
    }
}

impl Summary {
    /// In one line.
    pub(super) fn line(&self) -> String {
        let Self { polls, events, deliveries, verified } = self;
        format!("{polls} polls, {events} events, {deliveries} deliveries, {verified} verified signatures")
    }

    /// Something arrived, and all of it verified.
    pub(super) fn is_good(&self) -> bool {
        self.deliveries > 0 && self.verified == self.deliveries
    }
}

/// How to look for oneself.
pub(super) fn look_yourself(database: &Path, kept: bool) -> String {
    let query = "SELECT who, joined_local, left_local, minutes, left_reason FROM v_visits";
    let command = format!("sqlite3 -readonly -box {} \\\n  \"{query}\"", database.display());
    if kept {
        format!("look for yourself:\n  {command}")
    } else {
        format!(
            "look for yourself: run it again with --keep, then\n  {command}\n(with the path it prints; this one is removed now)"
        )
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

/// The last digits: what one tells meetings apart by.
fn meeting(event: &Value) -> String {
    let id = event["data"]["meeting"]["conference_id"].as_str().unwrap_or_default();
    let tail: String = id.chars().rev().take(6).collect::<Vec<_>>().into_iter().rev().collect();
    format!("…{}", harmless(&tail))
}

/// How long after it happened it was noticed, in scripted time.
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
