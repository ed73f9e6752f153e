//! `presenced user`: who is watched, and which unionIds other people have.
//!
//! Guards: what is found is printed as it is pasted; nothing is written, and the calls do not count for the month.
//! Deliberately not here: the calls themselves (`dingtalk::contacts`).

use std::fmt::Write as _;
use std::sync::Arc;

use super::output::{Cell, Column, Printer, Row, counted, harmless, write_out};
use super::reading::block_on;
use super::{Exit, Failure, Globals, load_config, number, poll};
use crate::clock::{Clock, SystemClock};
use crate::config::{Cadence, Config, Org, User};
use crate::control::PollFailure;
use crate::dingtalk::client::Client;
use crate::dingtalk::contacts::Contact;
use crate::dingtalk::error::{CallError, Verdict};

/// A contacts call that is refused for the rate of calls is repeated so often.
const MOST_REPEATS: usize = 5;

/// Options of `user`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Who is watched, and how often
    List,
    /// Look up unionIds in DingTalk's contacts, printed as [[user]] tables ready to paste; costs no calls of the month
    Find(Find),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Sought {
    /// People by their userid in the contacts
    #[arg(value_name = "USERID")]
    userids: Vec<String>,
    /// The members of a department (1 is the root)
    #[arg(long, value_name = "ID", allow_negative_numbers = true, value_parser = number::whole(1_u64, None))]
    department: Option<u64>,
    /// The person with this mobile number
    #[arg(long, value_name = "NUMBER")]
    mobile: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Find {
    #[command(flatten)]
    sought: Sought,
    /// Also the departments below
    #[arg(long, requires = "department")]
    recursive: bool,
    /// Which organisation to ask; needed when there are several
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
}

const WATCHED: &[Column] = &[
    Column::new("who", "WHO").shrinking(),
    Column::new("org", "ORG"),
    Column::new("union_id", "UNION ID").shrinking(),
    Column::new("groups", "GROUPS").shrinking(),
    Column::new("looks", "LOOKS"),
];

const FOUND: &[Column] = &[
    Column::new("name", "NAME").shrinking(),
    Column::new("org", "ORG"),
    Column::new("union_id", "UNION ID").shrinking(),
    Column::new("userid", "USERID").shrinking(),
];

/// Runs it.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let config = load_config(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    match args.what {
        What::List => list(&config, &printer),
        What::Find(find) => block_on(look_up(&config, &printer, find))?,
    }
}

fn list(config: &Config, printer: &Printer) -> anyhow::Result<Exit> {
    let rows: Vec<Row> = config.users.iter().map(watched).collect();
    if rows.is_empty() {
        printer.print_nothing(WATCHED, "Nobody is watched: add a [[user]].")?;
        return Ok(Exit::Nothing);
    }
    printer.print(WATCHED, &rows)?;
    Ok(Exit::Done)
}

fn watched(user: &User) -> Row {
    let looks = match &user.cadence {
        Cadence::Auto => "auto".to_owned(),
        Cadence::Every(interval) => humantime::format_duration(*interval).to_string(),
        Cadence::Cron(cron) => cron.as_str().to_owned(),
    };
    Row::new(vec![
        user.name.clone().into(),
        user.identity.org.as_str().into(),
        user.identity.union_id.as_str().into(),
        user.groups.join(" ").into(),
        looks.into(),
    ])
}

async fn look_up(config: &Config, printer: &Printer, find: Find) -> anyhow::Result<Exit> {
    let org = organisation(config, find.org.as_deref())?;
    let client = Client::new(org, poll::credentials(org).await?, Arc::new(SystemClock))?;
    let Found { users: found, missing, failure } = contacts(&client, &find, printer).await;
    for what in &missing {
        printer.remark(&format!("Not in the contacts: {}", harmless(what)));
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
    // What was found is printed; the rest is missing, and the exit code says so.
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
        (None, _) => {
            Err(Failure::new(Exit::Usage, format!("several organisations: say `--org`, of {}", names()))
                .into())
        }
    }
}

/// What the contacts answered.
#[derive(Debug, Default)]
struct Found {
    /// Each user once.
    users: Vec<Contact>,
    /// What the contacts do not have.
    missing: Vec<String>,
    /// Why the search ended early.
    failure: Option<CallError>,
}

/// Looks everything up; what was found before a failure is kept.
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
        match patiently(printer, async || client.userid_by_mobile(mobile).await).await? {
            Some(userid) => userids.push(userid),
            None => sought.missing.push(mobile.clone()),
        }
    }
    for userid in userids {
        match patiently(printer, async || client.contact(&userid).await).await? {
            Some(one) => sought.users.push(one),
            None => sought.missing.push(userid),
        }
    }
    if let Some(department) = find.sought.department {
        let departments = if find.recursive {
            patiently(printer, async || client.departments_below(department).await).await?
        } else {
            vec![department]
        };
        for department in departments {
            sought.users.extend(patiently(printer, async || client.members(department).await).await?);
        }
    }
    Ok(())
}

/// Repeats a call that is refused for the rate of calls, after the pause that is asked for.
async fn patiently<T>(
    printer: &Printer,
    call: impl AsyncFn() -> Result<T, CallError>,
) -> Result<T, CallError> {
    for _ in 0..MOST_REPEATS {
        match call().await {
            Err(CallError { verdict: Verdict::Throttled { pause }, .. }) => {
                printer.remark("DingTalk is busy; waiting and going on.");
                SystemClock.sleep_until(SystemClock.now().plus(pause)).await;
            }
            other => return other,
        }
    }
    call().await
}

/// As they stand in a config; who is watched already is said so.
fn tables(found: &[Contact], org: Option<&Org>, config: &Config) -> String {
    let mut text = String::new();
    for one in found {
        let union_id = one.union_id.as_deref().unwrap_or_default();
        let is_watched = config.users.iter().any(|user| user.identity.union_id.as_str() == union_id);
        let remark = if is_watched { "  # is watched already" } else { "" };
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

/// A TOML basic string: JSON's escapes are TOML's, and what would steer a terminal is taken out before.
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
    Failure::new(poll::exit(failure.advice), text).into()
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
