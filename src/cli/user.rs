//! `presenced user`: lists watched users, and finds unionIds in the contacts.
//!
//! Guards: found users are printed ready to paste; writes nothing; the calls do not count for the month. Not here: the
//! calls (`dingtalk::contacts`).

use std::fmt::Write as _;
use std::sync::Arc;

use super::open_readonly::block_on;
use super::output::{Cell, Column, Printer, Row, counted, harmless, write_out};
use super::readable::load_readable;
use super::{Exit, Failure, Globals, daemon, load_config, number, poll};
use crate::clock::{Clock, SystemClock};
use crate::config::{Cadence, Config, Loaded, Org, User};
use crate::control::PollFailure;
use crate::dingtalk::client::Client;
use crate::dingtalk::contacts::Contact;
use crate::dingtalk::error::{CallError, Verdict};
use crate::store::Store;
use crate::store::history::Filter;
use crate::store::history::report::KnownUser;

/// How often a rate-limited contacts call is repeated.
const MAX_REPEATS: usize = 5;

/// Options of `user`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List watched users and how often they are polled
    List,
    /// Find unionIds in DingTalk's contacts, as [[user]] tables ready to paste; costs no calls
    Find(Find),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Sought {
    /// Find users by their userid
    #[arg(value_name = "USERID")]
    userids: Vec<String>,
    /// Find the members of a department (1 is the root)
    #[arg(long, value_name = "ID", allow_negative_numbers = true, value_parser = number::whole(1_u64, None))]
    department: Option<u64>,
    /// Find the user with this mobile number
    #[arg(long, value_name = "PHONE")]
    mobile: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Find {
    #[command(flatten)]
    sought: Sought,
    /// Include the departments below
    #[arg(long, requires = "department")]
    recursive: bool,
    /// Search this organisation (needed if there are several)
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
}

const WATCHED: &[Column] = &[
    Column::new("who", "WHO").shrinking(),
    Column::new("org", "ORG"),
    Column::new("union_id", "UNION ID").shrinking(),
    Column::new("groups", "GROUPS").shrinking(),
    Column::new("looks", "POLLED"),
];

const FOUND: &[Column] = &[
    Column::new("name", "NAME").shrinking(),
    Column::new("org", "ORG"),
    Column::new("union_id", "UNION ID").shrinking(),
    Column::new("userid", "USERID").shrinking(),
];

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::List => list(globals),
        What::Find(find) => {
            let config = load_config(globals)?;
            block_on(look_up(&config, &Printer::new(globals, config.time_zone), find))?
        }
    }
}

fn list(globals: &Globals) -> anyhow::Result<Exit> {
    let (Loaded { config, .. }, refused) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let rows: Vec<Row> = if refused.is_none() {
        config.users.iter().map(watched).collect()
    } else {
        printer.remark("The config file is invalid now (`presenced check` shows why); these are the users of the database.");
        block_on(stored(&config))??
    };
    if rows.is_empty() {
        printer.print_nothing(WATCHED, "No user is watched: add a [[user]] to the config.")?;
        return Ok(Exit::Nothing);
    }
    printer.print(WATCHED, &rows)?;
    Ok(Exit::Done)
}

/// The users of the database, with what the config still says of them.
async fn stored(config: &Config) -> anyhow::Result<Vec<Row>> {
    let store = Store::open_readonly(&config.history.path).await?;
    let users = store.history().report().users(&Filter::default()).await;
    store.close().await;
    let row = |known: KnownUser| {
        let is_known = |user: &&User| {
            user.identity.org.as_str() == known.org && user.identity.union_id.as_str() == known.union_id
        };
        match config.users.iter().find(is_known) {
            Some(user) => watched(user),
            None => Row::new(vec![
                known.name.into(),
                known.org.into(),
                known.union_id.into(),
                Cell::from(None::<String>),
                Cell::from(None::<String>),
            ]),
        }
    };
    Ok(users?.into_iter().filter(|known| known.watched).map(row).collect())
}

fn watched(user: &User) -> Row {
    let polled = match &user.cadence {
        Cadence::Auto => "auto".to_owned(),
        Cadence::Every(interval) => humantime::format_duration(*interval).to_string(),
        Cadence::Cron(cron) => cron.as_str().to_owned(),
    };
    Row::new(vec![
        user.name.clone().into(),
        user.identity.org.as_str().into(),
        user.identity.union_id.as_str().into(),
        user.groups.join(" ").into(),
        polled.into(),
    ])
}

async fn look_up(config: &Config, printer: &Printer, find: Find) -> anyhow::Result<Exit> {
    let org = organisation(config, find.org.as_deref())?;
    let client = Client::new(org, poll::credentials(org).await?, Arc::new(SystemClock))?;
    let Found { users: found, missing, failure } = contacts(&client, &find, printer).await;
    for what in &missing {
        printer.remark(&format!("Not found in the contacts: {}", harmless(what)));
    }
    let (known, unknown): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| one.union_id.is_some());
    for one in &unknown {
        printer.remark(&format!("{} has no unionId", harmless(&one.userid)));
    }
    if known.is_empty() {
        let nothing = || Failure::new(Exit::Nothing, "no user was found").into();
        return Err(failure.as_ref().map_or_else(nothing, failed));
    }
    if printer.is_table() {
        let several = config.orgs.len() > 1;
        write_out(std::io::stdout().lock(), &tables(&known, several.then_some(org), config))?;
        printer.remark(&format!("{}, ready to paste", counted(known.len(), "person", "people")));
    } else {
        let rows: Vec<Row> = known.iter().map(|one| row(one, org)).collect();
        let text = printer.render(FOUND, &rows);
        write_out(std::io::stdout().lock(), &text)?;
    }
    // What was found is printed; the exit code says that the rest is missing.
    failure.map_or(Ok(Exit::Done), |error| Err(failed(&error)))
}

fn organisation<'a>(config: &'a Config, name: Option<&str>) -> anyhow::Result<&'a Org> {
    let names = || config.orgs.iter().map(|org| org.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, config.orgs.as_slice()) {
        (Some(name), orgs) => orgs.iter().find(|org| org.name.as_str() == name).ok_or_else(|| {
            let text = format!("there is no organisation `{}`; there are: {}", harmless(name), names());
            Failure::new(Exit::Usage, text).into()
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::new(
            Exit::Usage,
            format!("there are several organisations: add `--org` with one of {}", names()),
        )
        .into()),
    }
}

/// The result of a search.
#[derive(Debug, Default)]
struct Found {
    /// Each user once.
    users: Vec<Contact>,
    /// Numbers and userids that were not found.
    missing: Vec<String>,
    /// Why the search ended early.
    failure: Option<CallError>,
}

/// Looks up everything; keeps what was found before a failure.
async fn contacts(client: &Client, find: &Find, printer: &Printer) -> Found {
    let mut sought = Found::default();
    sought.failure = search(client, find, printer, &mut sought).await.err();
    let mut seen = std::collections::HashSet::new();
    sought.users.retain(|one| seen.insert(one.userid.clone()));
    sought
}

async fn search(
    client: &Client,
    find: &Find,
    printer: &Printer,
    sought: &mut Found,
) -> Result<(), CallError> {
    let mut userids = find.sought.userids.clone();
    for mobile in &find.sought.mobile {
        match with_repeats(printer, async || client.userid_by_mobile(mobile).await).await? {
            Some(userid) => userids.push(userid),
            None => sought.missing.push(mobile.clone()),
        }
    }
    for userid in userids {
        match with_repeats(printer, async || client.contact(&userid).await).await? {
            Some(one) => sought.users.push(one),
            None => sought.missing.push(userid),
        }
    }
    if let Some(department) = find.sought.department {
        let departments = if find.recursive {
            with_repeats(printer, async || client.departments_below(department).await).await?
        } else {
            vec![department]
        };
        for department in departments {
            sought.users.extend(with_repeats(printer, async || client.members(department).await).await?);
        }
    }
    Ok(())
}

/// Repeats a rate-limited call after the pause that DingTalk asks for.
async fn with_repeats<T>(
    printer: &Printer,
    call: impl AsyncFn() -> Result<T, CallError>,
) -> Result<T, CallError> {
    for _ in 0..MAX_REPEATS {
        match call().await {
            Err(CallError { verdict: Verdict::Throttled { pause }, .. }) => {
                printer.remark("Rate limited by DingTalk; waiting, then continuing.");
                SystemClock.sleep_until(SystemClock.now().plus(pause)).await;
            }
            other => return other,
        }
    }
    call().await
}

/// [[user]] tables as in a config; users that are watched already are marked.
fn tables(found: &[Contact], org: Option<&Org>, config: &Config) -> String {
    let mut text = String::new();
    for one in found {
        let union_id = one.union_id.as_deref().unwrap_or_default();
        let is_watched = config.users.iter().any(|user| user.identity.union_id.as_str() == union_id);
        let remark = if is_watched { "  # already watched" } else { "" };
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "[[user]]{remark}\nunion_id = {}\nname = {}", quoted(union_id), quoted(&one.name));
        if let Some(org) = org {
            let _ = writeln!(text, "org = {}", quoted(org.name.as_str()));
        }
        text.push('\n');
    }
    text
}

/// A TOML basic string, which has the escapes of JSON; characters that would control the terminal are replaced.
fn quoted(text: &str) -> String {
    serde_json::Value::from(harmless(text)).to_string()
}

fn row(one: &Contact, org: &Org) -> Row {
    let union_id = one.union_id.clone().map_or(Cell::Nothing, Cell::from);
    Row::new(vec![one.name.clone().into(), org.name.as_str().into(), union_id, one.userid.clone().into()])
}

fn failed(error: &CallError) -> anyhow::Error {
    let failure = PollFailure::from(error);
    let text = format!("{}: {}", failure.class, failure.text);
    Failure::new(daemon::exit(failure.advice), text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_toml_reads_them() {
        for name in ["Li \"Wei\" \\ 李", "a\nb", "plain"] {
            let text = format!("name = {}", quoted(name));
            let table: toml::Table = text.parse().expect("valid TOML");
            assert_eq!(table["name"].as_str(), Some(harmless(name).as_str()));
        }
    }
}
