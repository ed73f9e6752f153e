//! `presenced webhook replay`: send again what has ended.
//!
//! Guards: nothing is sent again without saying what: events by id, a range of time, or a state; a dry run counts and
//! needs no daemon. Deliberately not here: the sending (`tasks`), the selecting (`store::outbox::replay`).

use clap::ValueEnum;

use super::{Acting, named};
use crate::cli::output::{Column, Printer, Row};
use crate::cli::reading::block_on;
use crate::cli::{Exit, Failure, Globals, when};
use crate::clock::{Clock, SystemClock};
use crate::control::webhook::{ReplayRequest, Replayed, WebhookRequest, WebhookResponse};
use crate::ids::WebhookName;
use crate::store::Store;
use crate::store::outbox::replay::Selection;

/// Options of `webhook replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = when::UNDERSTOOD)]
pub(super) struct Args {
    /// These events, by id
    #[arg(value_name = "EVENT_ID", conflicts_with_all = ["since", "until"])]
    events: Vec<String>,
    /// Of events recorded since then: `2h`, `2026-11-23`, `2026-11-23 09:05`
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Of events recorded until then; a day is included
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Dead letters only: what was given up
    #[arg(long, conflicts_with = "state")]
    dead: bool,
    /// Only what ended so
    #[arg(long, value_name = "STATE", value_enum)]
    state: Option<Ended>,
    /// To this webhook only; may be given again. With event ids also what it was never meant to get
    #[arg(long, value_name = "NAME")]
    webhook: Vec<String>,
    /// Count only
    #[arg(long)]
    dry_run: bool,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ended {
    /// The receiver has it
    Delivered,
    /// Given up
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

/// Runs it.
pub(super) fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let acting = Acting::new(globals)?;
    let dry_run = args.dry_run;
    let request = request(&acting, args)?;
    let counts = block_on(async {
        if dry_run {
            return count(&acting, request).await;
        }
        match acting.ask(WebhookRequest::Replay(request)).await? {
            WebhookResponse::Replayed { counts } => Ok(counts),
            _ => Err(Failure::new(Exit::Failed, "the daemon answered something else").into()),
        }
    })??;
    show(&acting.printer, &counts, dry_run)
}

fn request(acting: &Acting, args: Args) -> anyhow::Result<ReplayRequest> {
    let Args { events, since, until, dead, state, webhook: webhooks, dry_run: _ } = args;
    let state = if dead { Some(Ended::Dead) } else { state };
    if events.is_empty() && since.is_none() && until.is_none() && state.is_none() {
        let text = "say what to send again: event ids, --since/--until, --dead or --state";
        return Err(Failure::new(Exit::Usage, text).into());
    }
    for webhook in &webhooks {
        named(&acting.config, webhook)?;
    }
    let zone = acting.printer.time_zone;
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

/// What it would come to, by the database alone.
async fn count(acting: &Acting, request: ReplayRequest) -> anyhow::Result<Vec<Replayed>> {
    let store = Store::open_readonly(&acting.config.history.path).await?;
    let ledger = store.outbox_reader();
    let mut webhooks: Vec<WebhookName> = Vec::new();
    for webhook in &acting.config.webhooks {
        let wanted = request.webhooks.is_empty()
            || request.webhooks.iter().any(|name| *name == *webhook.name.as_str());
        if !wanted {
            continue;
        }
        if ledger.webhook(webhook.name.as_str()).await?.state == "disabled" {
            acting
                .printer
                .remark(&format!("`{0}` is disabled: `presenced webhook enable {0}` first.", webhook.name));
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
        "Counted only: without --dry-run they are sent again."
    } else {
        "They go out behind live traffic, each person's in order; see `presenced webhook list`."
    });
    Ok(Exit::Done)
}
