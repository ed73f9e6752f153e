//! `presenced webhook test`: sends a test event and explains the answer.
//!
//! Guards: the verdict is that of a real delivery; secret header values and the path of the URL are not shown. Not here:
//! the request (`webhook::send`).

use std::fmt::Write as _;

use super::client::{WebhookClient, named};
use crate::cli::daemon::unexpected;
use crate::cli::open_readonly::block_on;
use crate::cli::output::{GOOD, WARNING, harmless, write_out};
use crate::cli::{Exit, Globals};
use crate::config::{Format, Text, Webhook};
use crate::control::webhook::{TestReport, WebhookRequest, WebhookResponse};

/// Runs the command.
pub(super) fn run(globals: &Globals, name: &str) -> anyhow::Result<Exit> {
    let client = WebhookClient::new(globals)?;
    let webhook = named(&client.config, name)?;
    let done = block_on(client.ask(WebhookRequest::Test { webhook: name.to_owned() }))??;
    let WebhookResponse::Tested(report) = done else {
        return Err(unexpected().into());
    };
    let verdict = verdict(&report, webhook.format);
    if client.printer.is_table() {
        write_out(anstream::stdout().lock(), &text(&report, webhook, &verdict)?)?;
    } else {
        let mut json = serde_json::to_value(&*report)?;
        json["verdict"] = serde_json::json!(verdict);
        json["to"] = serde_json::json!(destination(webhook));
        write_out(std::io::stdout().lock(), &format!("{json}\n"))?;
    }
    Ok(if report.outcome == "accepted" { Exit::Done } else { Exit::Failed })
}

fn text(report: &TestReport, webhook: &Webhook, verdict: &[String]) -> anyhow::Result<String> {
    let mut text = String::new();
    if report.headers.is_empty() {
        writeln!(text, "sent      nothing")?;
    } else {
        writeln!(text, "sent      POST {}", harmless(&destination(webhook)))?;
        for (name, value) in &report.headers {
            writeln!(text, "          {name}: {}", harmless(value))?;
        }
        writeln!(text, "body      {}", harmless(&report.body))?;
    }
    match report.status {
        Some(status) => writeln!(text, "answered  {status} in {} ms", report.took_ms)?,
        None => writeln!(text, "answered  nothing, after {} ms", report.took_ms)?,
    }
    if !report.answered.is_empty() {
        writeln!(text, "          {}", harmless(&report.answered))?;
    }
    let style = if report.outcome == "accepted" { GOOD } else { WARNING };
    for (n, line) in verdict.iter().enumerate() {
        let label = if n == 0 { "verdict" } else { "" };
        writeln!(text, "{label:<10}{}{}{}", style.render(), harmless(line), style.render_reset())?;
    }
    Ok(text)
}

/// The URL without path and query, which often hold a secret.
fn destination(webhook: &Webhook) -> String {
    let Text::Plain(url) = &webhook.url else { return "(a secret URL)".to_owned() };
    match reqwest::Url::parse(url) {
        Ok(url) => {
            let origin = url.origin().ascii_serialization();
            if url.path() == "/" && url.query().is_none() {
                format!("{origin}/")
            } else {
                format!("{origin}/...")
            }
        }
        Err(_) => "(a URL that does not parse)".to_owned(),
    }
}

/// What the answer means for deliveries; the first line is the result.
fn verdict(report: &TestReport, format: Format) -> Vec<String> {
    let name = &report.webhook;
    let error = report.error.as_deref().unwrap_or("no reason was given");
    let mut lines = vec![match (report.outcome.as_str(), report.status) {
        ("accepted", _) => "accepted: a delivery with this answer is finished".to_owned(),
        ("refused", Some(status @ 300..=399)) => {
            format!("refused: {status} is a redirect, which is never followed; set `url` to its target")
        }
        ("refused", _) => format!(
            "refused ({error}): the receiver rejects the request; a delivery is retried and becomes a dead letter after `attempts`"
        ),
        ("gone", _) => {
            format!("gone: a delivery with this answer disables `{name}`; the test did not")
        }
        (_, None) => format!("unavailable: {error}; a delivery is retried"),
        (_, Some(401 | 403)) => {
            format!("unavailable ({error}): does it need an `Authorization` header? A delivery is retried")
        }
        (_, Some(404)) => {
            format!("unavailable ({error}): is the path in `url` right? A delivery is retried")
        }
        (_, Some(_)) => format!("unavailable ({error}): a delivery is retried"),
    }];
    if !report.headers.is_empty() {
        lines.extend(signed(report, format));
    }
    lines.extend(match report.state.as_str() {
        "down" if report.outcome == "accepted" => {
            Some(format!("`{name}` was down; its queue is retried now"))
        }
        "down" => Some(format!("`{name}` is down; its events are queued")),
        "paused" => {
            Some(format!("`{name}` is paused; only tests are sent until `presenced webhook resume {name}`"))
        }
        "disabled" => {
            Some(format!("`{name}` is disabled; only tests are sent until `presenced webhook enable {name}`"))
        }
        _ => None,
    });
    lines
}

fn signed(report: &TestReport, format: Format) -> Option<String> {
    if matches!(format, Format::DingtalkRobot | Format::Template) {
        // These formats have their own signature, or a secret URL.
        return None;
    }
    let signatures = report.headers.iter().find(|(name, _)| name == "webhook-signature");
    Some(match signatures.map_or(0, |(_, value)| value.split(' ').count()) {
        0 => "not signed: without `secret` the receiver cannot verify the sender".to_owned(),
        1 => "signed with one secret; only the receiver knows whether it verified the signature".to_owned(),
        several => format!("signed with {several} secrets, newest first: a rotation is in progress"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: &str, status: Option<u16>) -> TestReport {
        TestReport {
            webhook: "crm".into(),
            state: "up".into(),
            event_id: "evt_1".into(),
            headers: vec![("webhook-signature".into(), "v1,abc".into())],
            body: "{}".into(),
            status,
            answered: String::new(),
            error: (outcome != "accepted").then(|| "trouble".into()),
            took_ms: 12,
            outcome: outcome.into(),
        }
    }

    fn first(outcome: &str, status: Option<u16>) -> String {
        verdict(&report(outcome, status), Format::Standard).remove(0)
    }

    #[test]
    fn the_first_line_is_the_truth() {
        assert!(first("accepted", Some(204)).starts_with("accepted"));
        assert!(first("refused", Some(302)).contains("never followed"));
        assert!(first("refused", Some(422)).contains("dead letter"));
        assert!(first("gone", Some(410)).contains("disables `crm`"));
        assert!(first("unavailable", None).starts_with("unavailable: trouble"));
        assert!(first("unavailable", Some(401)).contains("Authorization"));
        assert!(first("unavailable", Some(503)).starts_with("unavailable (trouble)"));
    }

    #[test]
    fn signatures_are_counted_where_there_can_be_any() {
        let lines = |headers: &[(&str, &str)], format| {
            let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            verdict(&TestReport { headers, ..report("accepted", Some(200)) }, format)
        };
        assert!(lines(&[("webhook-id", "e")], Format::Standard)[1].starts_with("not signed"));
        assert!(lines(&[("webhook-signature", "v1,a")], Format::CloudEvents)[1].contains("one secret"));
        assert!(lines(&[("webhook-signature", "v1,a v1,b")], Format::Standard)[1].contains("2 secrets"));
        assert_eq!(lines(&[("webhook-id", "e")], Format::DingtalkRobot).len(), 1);
        assert_eq!(lines(&[], Format::Standard).len(), 1, "nothing was sent");
    }

    #[test]
    fn a_webhook_that_is_not_up_is_said_to_be_so() {
        for (state, word) in [("down", "down"), ("paused", "resume crm"), ("disabled", "enable crm")] {
            let lines = verdict(
                &TestReport { state: state.into(), ..report("accepted", Some(200)) },
                Format::Standard,
            );
            assert!(lines.last().unwrap().contains(word), "{lines:?}");
        }
    }
}
