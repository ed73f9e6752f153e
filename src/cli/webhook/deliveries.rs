//! `presenced webhook deliveries`: what became of each event at each receiver.
//!
//! Guards: reads only; a dead letter is shown with its reason. Deliberately not here: sending again (`replay`).

use clap::ValueEnum;

use super::named;
use crate::cli::output::{Column, FAINT, GOOD, Row, Style, WARNING};
use crate::cli::reading::{Reading, read};
use crate::cli::{Exit, Globals, number};
use crate::store::outbox::reader::{DeliveryQuery, DeliveryRow};

/// Options of `webhook deliveries`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// To this webhook only
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Dead letters only: what was given up
    #[arg(long, conflicts_with = "state")]
    dead: bool,
    /// In this state only
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<State>,
    /// Of this event only
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = number::whole(1_u32, None))]
    limit: u32,
}

/// A delivery's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// It waits, or is in flight
    Pending,
    /// The receiver has it
    Delivered,
    /// Given up
    Dead,
    /// Too old to be sent
    Expired,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
        }
    }
}

const COLUMNS: &[Column] = &[
    Column::new("recorded_at", "RECORDED"),
    Column::new("webhook", "WEBHOOK"),
    Column::new("state", "STATE"),
    Column::data_only("trigger"),
    Column::new("attempts", "TRIES"),
    Column::new("last_status", "STATUS"),
    Column::new("type", "TYPE").shrinking(),
    Column::new("who", "WHO").shrinking(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::data_only("next_at"),
    Column::data_only("finished_at"),
    Column::data_only("event_id"),
    Column::data_only("sequence"),
    Column::data_only("delivery_id"),
    Column::new("last_error", "ERROR").shrinking(),
];

/// Runs it.
pub(super) fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { webhook, dead, state, event, limit } = args;
    read(globals, async |reading: &Reading| {
        if let Some(name) = &webhook
            && !reading.ledger.known().await?.contains(name)
        {
            named(&reading.config, name)?;
        }
        let state = if dead { Some(State::Dead) } else { state };
        let query = DeliveryQuery { webhook, state: state.map(State::name), event, limit };
        let rows = reading.ledger.deliveries(&query).await?;
        if rows.is_empty() {
            let why = if dead { "No dead letters." } else { "No deliveries match." };
            reading.printer.print_nothing(COLUMNS, why)?;
            return Ok(Exit::Nothing);
        }
        let full = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
        let rows: Vec<Row> = rows.into_iter().map(row).collect();
        reading.printer.print(COLUMNS, &rows)?;
        if full {
            reading.printer.remark(&format!("Only the newest {limit}: more by --limit."));
        }
        Ok(Exit::Done)
    })
}

fn row(delivery: DeliveryRow) -> Row {
    let style = style(&delivery.state);
    Row::new(vec![
        delivery.recorded.into(),
        delivery.webhook.into(),
        delivery.state.into(),
        delivery.trigger.into(),
        delivery.attempts.into(),
        delivery.last_status.into(),
        delivery.event_type.into(),
        delivery.name.into(),
        delivery.org.into(),
        delivery.union_id.into(),
        delivery.next_at.into(),
        delivery.finished.into(),
        delivery.event_id.into(),
        delivery.sequence.into(),
        delivery.delivery_id.into(),
        delivery.last_error.into(),
    ])
    .styled(style)
}

fn style(state: &str) -> Style {
    match state {
        "delivered" => GOOD,
        "dead" => WARNING,
        "expired" => FAINT,
        _ => Style::new(),
    }
}
