//! How an event's stored bytes become a request's body.
//!
//! Guards: `standard` and `cloudevents` send the stored bytes as they are, so every webhook, retry and replay gets the
//! same. Deliberately not here: the envelope itself (`presence::event`).

use crate::config::Format;

/// The `Content-Type` that goes with a format.
pub fn content_type(format: Format) -> &'static str {
    match format {
        // A structured CloudEvent says so by its media type (CloudEvents HTTP binding, section 3.2).
        Format::CloudEvents => "application/cloudevents+json",
        Format::Standard | Format::DingtalkRobot | Format::Template => "application/json",
    }
}
