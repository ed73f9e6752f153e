//! `presenced webhook list`: prints the state of each webhook.
//!
//! Guards: a webhook that was removed from the config is shown as long as the database has deliveries of it. Not here:
//! single deliveries (`deliveries`).

use crate::cli::open_readonly::{Session, open_readonly};
use crate::cli::output::{Column, FAINT, GOOD, Row, Style, WARNING};
use crate::cli::{Exit, Globals};
use crate::config::{Format, Webhook};
use crate::store::outbox::reader::WebhookRow;

const COLUMNS: &[Column] = &[
    Column::new("webhook", "WEBHOOK"),
    Column::data_only("format"),
    Column::new("state", "STATE"),
    Column::new("down_since", "SINCE"),
    Column::new("waiting", "WAITING"),
    Column::data_only("oldest_waiting_at"),
    Column::new("dead", "DEAD"),
    Column::data_only("failures"),
    Column::new("next_probe_at", "NEXT PROBE"),
    Column::data_only("alert"),
    Column::data_only("configured"),
    Column::new("why", "WHY").shrinking(),
];

/// Runs the command.
pub(super) fn run(globals: &Globals) -> anyhow::Result<Exit> {
    open_readonly(globals, async |session: &Session| {
        let mut names: Vec<String> =
            session.config.webhooks.iter().map(|webhook| webhook.name.to_string()).collect();
        for known in session.ledger.known().await? {
            if !names.contains(&known) {
                names.push(known);
            }
        }
        if names.is_empty() {
            session.printer.print_nothing(COLUMNS, "The config has no [[webhook]].")?;
            return Ok(Exit::Nothing);
        }
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            let webhook = session.config.webhooks.iter().find(|webhook| webhook.name.as_str() == name);
            rows.push(row(webhook, session.ledger.webhook(&name).await?));
        }
        session.printer.print(COLUMNS, &rows)?;
        Ok(Exit::Done)
    })
}

fn row(webhook: Option<&Webhook>, state: WebhookRow) -> Row {
    let style = style(webhook.is_some(), &state.state);
    let why = match webhook {
        None => Some("removed from the config".to_owned()),
        Some(_) => state.why,
    };
    Row::new(vec![
        state.webhook.into(),
        webhook.map(|webhook| format_name(webhook.format)).into(),
        state.state.into(),
        state.down_since.into(),
        state.waiting.into(),
        state.oldest_waiting.into(),
        state.dead.into(),
        i64::from(state.failures).into(),
        state.probe_at.into(),
        (state.alert != "silent").then_some(state.alert).into(),
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
        let printer = Printer {
            format: OutputFormat::Table,
            time_zone: chrono_tz::UTC,
            width: 120,
            ..Printer::default()
        };
        let text = printer.render(COLUMNS, &[row(None, down.clone())]);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
            ["old", "down", "2023-11-07", "08:55:12", "1200", "3", "-", "removed", "from", "the", "config"]
        );
        let json = Printer { format: OutputFormat::Jsonl, ..printer }.render(COLUMNS, &[row(None, down)]);
        assert_eq!(
            json.trim_end(),
            r#"{"webhook":"old","format":null,"state":"down","down_since":"2023-11-07T08:55:12.301Z","waiting":1200,"oldest_waiting_at":"2023-11-07T08:55:12.301Z","dead":3,"failures":5,"next_probe_at":null,"alert":"down","configured":false,"why":"removed from the config"}"#
        );
    }
}
