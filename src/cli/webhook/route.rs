//! `presenced webhook route`: shows which webhooks get an event, and why others do not.
//!
//! Guards: the answer comes from the rule that routes events. Needs no daemon. Not here: the rule (`webhook::routing`).

use anyhow::Context as _;

use crate::cli::open_readonly::unfound;
use crate::cli::output::{Column, FAINT, GOOD, Printer, Row};
use crate::cli::{Exit, Failure, Globals, load_config};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, User};
use crate::ids::WebhookName;
use crate::presence::event::{EventType, NewEvent, UserInfo};
use crate::presence::system;
use crate::store::history::{Person, check_event_type, who};
use crate::tasks::dispatcher::subscription;

/// Options of `webhook route`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Type of the event
    #[arg(value_name = "TYPE", value_parser = known_type)]
    event_type: EventType,
    /// The user of the event: a name, a unionId, or a unique part; not for `system.*`
    #[arg(value_name = "WHO")]
    who: Option<String>,
    /// Assume that the user hosts the meeting
    #[arg(long)]
    host: bool,
    /// Assume that the event was observed late
    #[arg(long)]
    late: bool,
}

const COLUMNS: &[Column] = &[
    Column::new("webhook", "WEBHOOK"),
    Column::new("gets_it", "GETS IT"),
    Column::new("why_not", "WHY NOT").shrinking(),
];

fn known_type(text: &str) -> Result<EventType, String> {
    check_event_type(text)?;
    let mut all = EventType::ALL.iter().copied();
    all.find(|known| known.name() == text).ok_or_else(|| format!("`{text}` is a pattern: write one type"))
}

/// Runs the command.
pub(super) fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    let config = load_config(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    if config.webhooks.is_empty() {
        printer.print_nothing(COLUMNS, "The config has no [[webhook]].")?;
        return Ok(Exit::Nothing);
    }
    let card = card(&config, args)?;
    let draft = draft(args, card.as_ref())?;
    let (mut rows, mut any) = (Vec::new(), false);
    for webhook in &config.webhooks {
        let why_not = match args.event_type {
            EventType::WebhookTest => {
                Some("sent only by `presenced webhook test`, to one webhook".to_owned())
            }
            EventType::PresenceSnapshot
                if card
                    .as_ref()
                    .is_some_and(|card| subscription(webhook).is_ok_and(|one| one.admits_user(card))) =>
            {
                None
            }
            _ => subscription(webhook)?.judge(&draft, card.as_ref()).err().map(|why| why.to_string()),
        };
        any |= why_not.is_none();
        let style = if why_not.is_none() { GOOD } else { FAINT };
        let cells = vec![webhook.name.as_str().into(), why_not.is_none().into(), why_not.into()];
        rows.push(Row::new(cells).styled(style));
    }
    printer.print(COLUMNS, &rows)?;
    match args.event_type {
        EventType::PresenceSnapshot => {
            printer.remark("A snapshot is sent on request, or at the start with `snapshot_on_start`.");
        }
        EventType::SystemAlert => printer.remark("A webhook gets no alert about itself."),
        _ => {}
    }
    Ok(if any { Exit::Done } else { Exit::Nothing })
}

/// The user of the event; `None` for an event without a user.
fn card(config: &Config, args: &Args) -> anyhow::Result<Option<UserInfo>> {
    let name = args.event_type.name();
    let has_no_user = name.starts_with("system.") || name.starts_with("webhook.");
    match (&args.who, has_no_user) {
        (None, true) => Ok(None),
        (Some(_), true) => {
            Err(Failure::new(Exit::Usage, format!("`{name}` has no user: leave out WHO")).into())
        }
        (None, false) => Err(Failure::new(Exit::Usage, format!("`{name}` is about a user: add WHO")).into()),
        (Some(who), false) => {
            let people: Vec<Person> = config.users.iter().zip(0..).map(person).collect();
            let found = who::find(&people, who).map_err(|error| unfound(&error))?;
            let user = usize::try_from(found.person_id).ok().and_then(|at| config.users.get(at));
            let user = user.context("the user found is in the config")?;
            Ok(Some(UserInfo {
                identity: user.identity.clone(),
                name: user.name.clone(),
                groups: user.groups.clone(),
                tags: user.tags.clone(),
                store_nick: config.store_nick,
            }))
        }
    }
}

fn person((user, index): (&User, i64)) -> Person {
    Person {
        person_id: index,
        org: user.identity.org.as_str().to_owned(),
        union_id: user.identity.union_id.as_str().to_owned(),
        name: user.name.clone(),
        watched: true,
    }
}

/// An event with the fields that the rule uses.
fn draft(args: &Args, card: Option<&UserInfo>) -> anyhow::Result<NewEvent> {
    let no_webhook = WebhookName::parse("route")?;
    let mut draft = system::webhook_test("urn:presenced:00000000", &no_webhook, SystemClock.now(), 0);
    draft.event_type = args.event_type;
    draft.identity = card.map(|card| card.identity.clone());
    draft.data.org = draft.identity.as_ref().map(|identity| identity.org.clone());
    draft.host = args.host;
    draft.late = args.late;
    Ok(draft)
}
