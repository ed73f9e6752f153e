//! `presenced webhook deliveries`: prints deliveries and their results.
//!
//! Guards: reads only; a dead letter is shown with its reason. Not here: sending again (`replay`).

use clap::ValueEnum;

use super::client::named;
use crate::cli::open_readonly::{Session, open_readonly};
use crate::cli::output::{Column, FAINT, GOOD, Row, Style, WARNING};
use crate::cli::{Exit, Globals, number};
use crate::store::outbox::reader::{DeliveryQuery, DeliveryRow};

/// Options of `webhook deliveries`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show deliveries to this webhook
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
    /// Show dead letters, which are not retried
    #[arg(long, conflicts_with = "state")]
    dead: bool,
    /// Show deliveries in this state
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<State>,
    /// Show deliveries of this event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Show at most N, the newest
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = number::whole(1_u32, None))]
    limit: u32,
}

/// A delivery's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Waiting or being sent
    Pending,
    /// Accepted by the receiver
    Delivered,
    /// Given up after the last attempt
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
    Column::data_only("last_status"),
    Column::data_only("type"),
    Column::table_only("TYPE").shrinking_last(),
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

/// Runs the command.
pub(super) fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { webhook, dead, state, event, limit } = args;
    open_readonly(globals, async |session: &Session| {
        if let Some(name) = &webhook
            && !session.ledger.known().await?.contains(name)
        {
            named(&session.config, name)?;
        }
        let state = if dead { Some(State::Dead) } else { state };
        let query = DeliveryQuery { webhook, state: state.map(State::name), event, limit, before: None };
        let rows = session.ledger.deliveries(&query).await?;
        if rows.is_empty() {
            let why = if dead { "No dead letters." } else { "No deliveries match." };
            session.printer.print_nothing(COLUMNS, why)?;
            return Ok(Exit::Nothing);
        }
        let full = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
        let rows: Vec<Row> = rows.into_iter().map(row).collect();
        session.printer.print(COLUMNS, &rows)?;
        if full {
            session.printer.remark(&format!("Shows the newest {limit}; use --limit N for more."));
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
        delivery.event_type.as_str().into(),
        short_type(&delivery.event_type).into(),
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

/// What distinguishes the types of events in a narrow table: `joined` for `meeting.participant_joined`.
fn short_type(event_type: &str) -> &str {
    event_type.strip_prefix("meeting.participant_").unwrap_or(event_type)
}

fn style(state: &str) -> Style {
    match state {
        "delivered" => GOOD,
        "dead" => WARNING,
        "expired" => FAINT,
        _ => Style::new(),
    }
}
