//! `presenced webhook replay`: sends finished deliveries again.
//!
//! Guards: needs a selection: events by id, a period, or a state; a dry run only counts and needs no daemon. Not here: the
//! sending (`tasks`), the selecting (`store::outbox::replay`).

use clap::ValueEnum;

use super::client::WebhookClient;
use crate::cli::daemon::unexpected;
use crate::cli::open_readonly::block_on;
use crate::cli::output::{Column, Printer, Row};
use crate::cli::{Exit, Failure, Globals, when};
use crate::clock::{Clock, SystemClock};
use crate::control::webhook::{ReplayRequest, Replayed, WebhookRequest, WebhookResponse};
use crate::ids::WebhookName;
use crate::store::Store;
use crate::store::outbox::replay::Selection;

/// Options of `webhook replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = when::WHEN_HELP)]
pub(super) struct Args {
    /// Replay these events
    #[arg(value_name = "EVENT_ID", conflicts_with_all = ["since", "until"])]
    events: Vec<String>,
    /// Replay events recorded since then: `2h` ago, a day, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Replay events recorded until then (a day is included)
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Replay dead letters
    #[arg(long, conflicts_with = "state")]
    dead: bool,
    /// Replay deliveries with this result
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<Ended>,
    /// Replay to this webhook (repeatable); with event ids, also events it did not get
    #[arg(long, value_name = "NAME")]
    webhook: Vec<String>,
    /// Count without sending
    #[arg(long)]
    dry_run: bool,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ended {
    /// Accepted by the receiver
    Delivered,
    /// Given up after the last attempt
    Dead,
    /// Too old to be sent
    Expired,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
        }
    }
}

const COLUMNS: &[Column] = &[
    Column::new("webhook", "WEBHOOK"),
    Column::new("again", "AGAIN"),
    Column::new("waiting", "WAITING ALREADY"),
];

/// Runs the command.
pub(super) fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let client = WebhookClient::new(globals)?;
    let dry_run = args.dry_run;
    let request = request(&client, args)?;
    let counts = block_on(async {
        if dry_run {
            return count(&client, request).await;
        }
        match client.ask(WebhookRequest::Replay(request)).await? {
            WebhookResponse::Replayed { counts } => Ok(counts),
            _ => Err(unexpected().into()),
        }
    })??;
    show(&client.printer, &counts, dry_run)
}

fn request(client: &WebhookClient, args: Args) -> anyhow::Result<ReplayRequest> {
    let Args { events, since, until, dead, state, webhook: webhooks, dry_run: _ } = args;
    let state = if dead { Some(Ended::Dead) } else { state };
    if events.is_empty() && since.is_none() && until.is_none() && state.is_none() {
        let text = "select what to send again: event ids, --since/--until, --dead or --state";
        return Err(Failure::new(Exit::Usage, text).into());
    }
    for webhook in &webhooks {
        client.expect(webhook)?;
    }
    let zone = client.printer.time_zone;
    let (since, until) = when::between(since.as_deref(), until.as_deref(), SystemClock.now(), zone)?;
    Ok(ReplayRequest {
        never_meant: !events.is_empty() && !webhooks.is_empty(),
        webhooks,
        events,
        since,
        until,
        state: state.map(|state| state.name().to_owned()),
    })
}

/// Counts what would be sent again, from the database.
async fn count(client: &WebhookClient, request: ReplayRequest) -> anyhow::Result<Vec<Replayed>> {
    let store = Store::open_readonly(&client.config.history.path).await?;
    let ledger = store.outbox_reader();
    let mut webhooks: Vec<WebhookName> = Vec::new();
    for webhook in &client.config.webhooks {
        let wanted = request.webhooks.is_empty()
            || request.webhooks.iter().any(|name| *name == *webhook.name.as_str());
        if !wanted {
            continue;
        }
        if ledger.webhook(webhook.name.as_str()).await?.state == "disabled" {
            client.printer.remark(&format!(
                "`{0}` is disabled; run `presenced webhook enable {0}` first.",
                webhook.name
            ));
            continue;
        }
        webhooks.push(webhook.name.clone());
    }
    let ReplayRequest { events, never_meant, since, until, state, .. } = request;
    let states = [Ended::Delivered, Ended::Dead, Ended::Expired].map(Ended::name);
    let state = state.and_then(|state| states.into_iter().find(|known| *known == state));
    let selection = Selection { webhooks, events, never_meant, since, until, state };
    let counts = ledger.replayable(&selection).await?;
    store.close().await;
    let replayed = |(webhook, count): (String, crate::store::outbox::replay::Replayable)| Replayed {
        webhook,
        again: count.again,
        waiting: count.waiting,
    };
    Ok(counts.into_iter().map(replayed).collect())
}

fn show(printer: &Printer, counts: &[Replayed], dry_run: bool) -> anyhow::Result<Exit> {
    if counts.is_empty() {
        printer.print_nothing(COLUMNS, "No delivery matches.")?;
        return Ok(Exit::Nothing);
    }
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let rows: Vec<Row> = counts
        .iter()
        .map(|one| {
            Row::new(vec![one.webhook.as_str().into(), number(one.again).into(), number(one.waiting).into()])
        })
        .collect();
    printer.print(COLUMNS, &rows)?;
    printer.remark(if dry_run {
        "Nothing was sent; without --dry-run these are sent again."
    } else {
        "They are sent after new events, in order for each user; see `presenced webhook list`."
    });
    Ok(Exit::Done)
}
