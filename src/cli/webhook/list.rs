//! `presenced webhook list`: how each receiver stands.
//!
//! Guards: webhooks that left the config are shown as long as something of theirs is kept. Deliberately not here:
//! single deliveries (`deliveries`).

use crate::cli::output::{Column, FAINT, GOOD, Row, Style, WARNING};
use crate::cli::reading::{Reading, read};
use crate::cli::{Exit, Globals};
use crate::config::{Format, Webhook};
use crate::store::outbox::reader::WebhookRow;

const COLUMNS: &[Column] = &[
    Column::new("webhook", "WEBHOOK"),
    Column::data_only("format"),
    Column::new("state", "STATE"),
    Column::new("down_since", "SINCE"),
    Column::new("waiting", "WAITING"),
    Column::new("oldest_waiting_at", "OLDEST"),
    Column::new("dead", "DEAD"),
    Column::data_only("failures"),
    Column::data_only("next_probe_at"),
    Column::data_only("alert"),
    Column::data_only("configured"),
    Column::new("why", "WHY").shrinking(),
];

/// Runs it.
pub(super) fn run(globals: &Globals) -> anyhow::Result<Exit> {
    read(globals, async |reading: &Reading| {
        let mut names: Vec<String> =
            reading.config.webhooks.iter().map(|webhook| webhook.name.to_string()).collect();
        for known in reading.ledger.known().await? {
            if !names.contains(&known) {
                names.push(known);
            }
        }
        if names.is_empty() {
            reading.printer.print_nothing(COLUMNS, "There is no [[webhook]] in the config.")?;
            return Ok(Exit::Nothing);
        }
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            let webhook = reading.config.webhooks.iter().find(|webhook| webhook.name.as_str() == name);
            rows.push(row(webhook, reading.ledger.webhook(&name).await?));
        }
        reading.printer.print(COLUMNS, &rows)?;
        Ok(Exit::Done)
    })
}

fn row(webhook: Option<&Webhook>, standing: WebhookRow) -> Row {
    let style = style(webhook.is_some(), &standing.state);
    let why = match webhook {
        None => Some("no longer in the config".to_owned()),
        Some(_) => standing.why,
    };
    Row::new(vec![
        standing.webhook.into(),
        webhook.map(|webhook| format_name(webhook.format)).into(),
        standing.state.into(),
        standing.down_since.into(),
        standing.waiting.into(),
        standing.oldest_waiting.into(),
        standing.dead.into(),
        i64::from(standing.failures).into(),
        standing.probe_at.into(),
        (standing.alert != "silent").then_some(standing.alert).into(),
        webhook.is_some().into(),
        why.into(),
    ])
    .styled(style)
}

fn style(configured: bool, state: &str) -> Style {
    match state {
        _ if !configured => FAINT,
        "up" => GOOD,
        "paused" => FAINT,
        _ => WARNING,
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Standard => "standard",
        Format::CloudEvents => "cloudevents",
        Format::DingtalkRobot => "dingtalk_robot",
        Format::Template => "template",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::OutputFormat;
    use crate::cli::output::Printer;
    use crate::time::Timestamp;

    fn standing(webhook: &str, state: &str) -> WebhookRow {
        WebhookRow {
            webhook: webhook.to_owned(),
            state: state.to_owned(),
            failures: 0,
            down_since: None,
            probe_at: None,
            why: None,
            alert: "silent".to_owned(),
            waiting: 0,
            oldest_waiting: None,
            dead: 0,
        }
    }

    #[test]
    fn one_that_left_the_config_says_so() {
        let at = Timestamp::from_ms(1_699_347_312_301);
        let down = WebhookRow {
            down_since: Some(at),
            failures: 5,
            waiting: 1200,
            oldest_waiting: Some(at),
            dead: 3,
            alert: "down".to_owned(),
            ..standing("old", "down")
        };
        let printer =
            Printer { format: OutputFormat::Table, time_zone: chrono_tz::UTC, width: 120, quiet: false };
        let text = printer.render(COLUMNS, &[row(None, down.clone())]);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
            [
                "old",
                "down",
                "2023-11-07",
                "08:55:12",
                "1200",
                "2023-11-07",
                "08:55:12",
                "3",
                "no",
                "longer",
                "in",
                "the",
                "config"
            ]
        );
        let json = Printer { format: OutputFormat::Jsonl, ..printer }.render(COLUMNS, &[row(None, down)]);
        assert_eq!(
            json.trim_end(),
            r#"{"webhook":"old","format":null,"state":"down","down_since":"2023-11-07T08:55:12.301Z","waiting":1200,"oldest_waiting_at":"2023-11-07T08:55:12.301Z","dead":3,"failures":5,"next_probe_at":null,"alert":"down","configured":false,"why":"no longer in the config"}"#
        );
    }
}
