//! `presenced poll`: polls one user now; prints the request, the answer and what it changed.
//!
//! Guards: while the daemon runs, the daemon polls, so that the call is counted and no event is emitted twice; without the
//! daemon nothing is stored. Shows no token. Not here: the meaning of an answer (`dingtalk`, `presence`).

use std::fmt::Write as _;

use anyhow::Context;

use super::daemon::{ask_daemon, exit, unexpected};
use super::open_readonly::{block_on, unfound};
use super::output::{Cell, Column, GOOD, Printer, Row, Style, WARNING, harmless, harmless_lines, write_out};
use super::readable::load_readable;
use super::{Exit, Failure, Globals, OutputFormat};
use crate::clock::{SharedClock, SystemClock};
use crate::config::secrets::{self, SecretSource};
use crate::config::{App, Config, Loaded, Org};
use crate::control::{PollFailure, PollOutcome, PollReport, Request, Response, request_line};
use crate::dingtalk::client::{Answer, Client, Credentials};
use crate::presence::attendance::{AttendStatus, Attendance};
use crate::presence::event::EventType;
use crate::presence::observation::{Entry, Observation};
use crate::secret::Secret;
use crate::store::history::{Person, who};

/// Options of `poll`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The user: a name, a unionId, or a unique part of one
    #[arg(value_name = "WHO")]
    who: String,
    /// Do not store the result or send events
    #[arg(long)]
    dry_run: bool,
    /// Also print the parsed answer, and the codes that DingTalk's support asks for
    #[arg(long)]
    debug: bool,
}

const COLUMNS: &[Column] = &[
    Column::new("meeting", "MEETING").shrinking(),
    Column::table_only("STATUS"),
    Column::data_only("status"),
    Column::data_only("status_code"),
    Column::new("joined_at", "JOINED"),
    Column::new("left_at", "LEFT"),
    Column::new("role", "ROLE"),
    Column::new("device", "DEVICE").shrinking(),
    Column::data_only("nick"),
    Column::data_only("external"),
    Column::data_only("by_phone"),
];

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { who, dry_run, debug } = args;
    let (Loaded { config, .. }, refused) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let report = block_on(poll(&config, refused, who, dry_run, &printer))??;
    show(&printer, &report, debug)?;
    match &report.outcome {
        PollOutcome::Seen { .. } => Ok(Exit::Done),
        PollOutcome::Failed(failure) => {
            let text = format!("{}: {}", failure.class, failure.text);
            Err(Failure::new(exit(failure.advice), text).into())
        }
    }
}

async fn poll(
    config: &Config,
    refused: Option<Failure>,
    who: String,
    dry_run: bool,
    printer: &Printer,
) -> anyhow::Result<PollReport> {
    let request = Request::Poll { who: who.clone(), dry_run };
    match ask_daemon(&config.file, &request).await? {
        Some(Response::Poll(report)) => Ok(*report),
        Some(_) => Err(unexpected().into()),
        None => {
            if let Some(refused) = refused {
                return Err(refused.into());
            }
            printer.remark(
                "The daemon does not run: polling directly. The result is not stored, and the call is missing from the count of\n`presenced status` (DingTalk counts it towards the monthly limit).",
            );
            poll_directly(config, &who, std::sync::Arc::new(SystemClock)).await
        }
    }
}

/// Polls without the daemon, so that there is no state to compare the answer with.
async fn poll_directly(config: &Config, who: &str, clock: SharedClock) -> anyhow::Result<PollReport> {
    let people: Vec<Person> = config.users.iter().zip(0..).map(person).collect();
    let person = who::find(&people, who).map_err(|error| unfound(&error))?;
    let user = usize::try_from(person.person_id).ok().and_then(|index| config.users.get(index));
    let user = user.context("the user found is in the config")?;
    let org = config.orgs.iter().find(|org| org.name == user.identity.org);
    let org = org.context("a user's organisation is in the config")?;
    let client = Client::new(org, credentials(org).await?, clock.clone())?;
    let asked_at = clock.now();
    let answer = client.ongoing(&user.identity.union_id, None).await;
    let took = clock.now().since(asked_at);
    let outcome = match answer {
        Ok(Answer::Observed { observation, .. }) => PollOutcome::Seen { observation, events: None },
        // No earlier digest was passed, so the answer cannot be unchanged.
        Ok(_) => anyhow::bail!("the answer is unchanged from an unknown one"),
        Err(error) => PollOutcome::Failed(PollFailure::from(&error)),
    };
    Ok(PollReport {
        org: person.org.clone(),
        union_id: person.union_id.clone(),
        name: person.name.clone(),
        request: request_line(&org.api_base, &person.union_id),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        recorded: false,
        outcome,
    })
}

fn person((user, index): (&crate::config::User, i64)) -> Person {
    Person {
        person_id: index,
        org: user.identity.org.as_str().to_owned(),
        union_id: user.identity.union_id.as_str().to_owned(),
        name: user.name.clone(),
        watched: true,
    }
}

pub(super) async fn credentials(org: &Org) -> anyhow::Result<Credentials> {
    let (secret, suite_ticket) = match &org.app {
        App::Internal { secret, .. } => (secret, None),
        App::ThirdParty { secret, suite_ticket, .. } => (secret, suite_ticket.as_ref()),
        App::Token { access_token } => (access_token, None),
    };
    let suite_ticket = match suite_ticket {
        Some(source) => Some(resolved(source).await?),
        None => None,
    };
    Ok(Credentials { secret: resolved(secret).await?, suite_ticket })
}

async fn resolved(source: &SecretSource) -> anyhow::Result<Secret> {
    let resolved = secrets::resolve(source).await;
    Ok(resolved.map_err(|error| Failure::new(Exit::Config, error.to_string()))?)
}

fn show(printer: &Printer, report: &PollReport, debug: bool) -> anyhow::Result<()> {
    let text = match printer.format {
        OutputFormat::Table => text(printer, report, debug)?,
        OutputFormat::Json | OutputFormat::Jsonl => data(printer, report)?,
        OutputFormat::Csv => printer.render(COLUMNS, &rows(report)),
    };
    if printer.is_table() {
        write_out(anstream::stdout().lock(), &text)?;
    } else {
        write_out(std::io::stdout().lock(), &text)?;
    }
    Ok(())
}

/// The report for programs: one object; its meetings have the columns of the table.
fn data(printer: &Printer, report: &PollReport) -> anyhow::Result<String> {
    let json = Printer { format: OutputFormat::Json, ..*printer };
    let meetings: serde_json::Value = serde_json::from_str(&json.render(COLUMNS, &rows(report)))?;
    let mut object = serde_json::json!({
        "who": report.name, "org": report.org, "union_id": report.union_id,
        "request": report.request, "took_ms": report.took_ms, "recorded": report.recorded,
    });
    match &report.outcome {
        PollOutcome::Seen { events, .. } => {
            object["meetings"] = meetings;
            object["events"] = serde_json::to_value(events)?;
        }
        PollOutcome::Failed(failure) => object["error"] = serde_json::to_value(failure)?,
    }
    Ok(object.to_string() + "\n")
}

/// Request, answer and changes for people.
fn text(printer: &Printer, report: &PollReport, debug: bool) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(text, "asked     {} ({})", harmless(&report.request), harmless(&report.name))?;
    match &report.outcome {
        PollOutcome::Seen { observation, events } => {
            let meetings = super::output::counted(observation.entries.len(), "meeting", "meetings");
            writeln!(text, "answered  200 in {} ms: {meetings}", report.took_ms)?;
            text += &printer.render(COLUMNS, &rows(report));
            writeln!(text, "{}", changes(events.as_deref(), report.recorded))?;
            if debug {
                writeln!(text, "parsed\n{}", harmless_lines(&serde_json::to_string_pretty(observation)?))?;
            }
        }
        PollOutcome::Failed(failure) => {
            let status = failure.status.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
            writeln!(text, "answered  {status} in {} ms", report.took_ms)?;
            writeln!(text, "changed   nothing: a failed poll does not change presence")?;
            if debug {
                writeln!(text, "code      {}", harmless(failure.code.as_deref().unwrap_or("-")))?;
                writeln!(text, "request   {}", harmless(failure.request_id.as_deref().unwrap_or("-")))?;
            }
        }
    }
    Ok(text)
}

fn changes(events: Option<&[EventType]>, recorded: bool) -> String {
    let names =
        |events: &[EventType]| events.iter().copied().map(EventType::name).collect::<Vec<_>>().join(", ");
    match (events, recorded) {
        (None, _) => "changed   unknown: without the daemon there is no state to compare with".to_owned(),
        (Some([]), _) => "changed   nothing".to_owned(),
        (Some(events), true) => format!("changed   {}", names(events)),
        (Some(events), false) => format!("changes   {} (dry run: nothing was stored)", names(events)),
    }
}

fn rows(report: &PollReport) -> Vec<Row> {
    let PollOutcome::Seen { observation: Observation { entries, .. }, .. } = &report.outcome else {
        return Vec::new();
    };
    entries
        .iter()
        .map(|(conference, entry)| {
            let record = match entry {
                Entry::Record(record) => Some(record),
                Entry::ListedOnly => None,
            };
            Row::new(vec![
                conference.as_str().into(),
                record.map_or_else(|| "listed, no record".to_owned(), status).into(),
                record.and_then(|r| r.status).map(AttendStatus::name).into(),
                record.and_then(|r| r.status).map(AttendStatus::code).into(),
                record.and_then(|r| r.joined).into(),
                record.and_then(|r| r.left).into(),
                record.map(|r| r.role.name()).into(),
                record.and_then(|r| r.device.as_deref()).into(),
                record.and_then(|r| r.nick.as_deref()).into(),
                record.map_or(Cell::Nothing, |r| r.external.into()),
                record.map_or(Cell::Nothing, |r| r.by_phone.into()),
            ])
            .styled(match record.and_then(|r| r.status).map(AttendStatus::code) {
                Some(3) => GOOD,
                None => WARNING,
                Some(_) => Style::new(),
            })
        })
        .collect()
}

fn status(record: &Attendance) -> String {
    match record.status {
        Some(status) => format!("{} {}", status.code(), status.name()),
        None => "not given".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Advice;
    use crate::ids::ConferenceId;
    use crate::presence::attendance::Role;
    use crate::presence::observation::Evidence;
    use crate::time::Timestamp;

    const JOINED: Timestamp = Timestamp::from_ms(1_699_347_295_876);

    fn seen(events: Option<Vec<EventType>>, recorded: bool) -> PollReport {
        let conference = ConferenceId::parse("654058f2411fe90147e68780").unwrap();
        let record = Attendance {
            conference_id: conference.clone(),
            status: Some(AttendStatus::Active),
            joined: Some(JOINED),
            left: None,
            duration_ms: None,
            role: Role::Host,
            external: false,
            by_phone: false,
            device: Some("Win".into()),
            nick: Some("李伟".into()),
        };
        let entries = [
            (conference, Entry::Record(record)),
            (ConferenceId::parse("listed").unwrap(), Entry::ListedOnly),
        ];
        let observation = Observation {
            observed_at: JOINED,
            entries: entries.into_iter().collect(),
            evidence: Evidence::Explicit,
        };
        report(PollOutcome::Seen { observation, events }, recorded)
    }

    fn report(outcome: PollOutcome, recorded: bool) -> PollReport {
        PollReport {
            org: "default".into(),
            union_id: "2iPOLbpUNMLzB5LuwggiiqiPwiEiE".into(),
            name: "李伟".into(),
            request: request_line("https://api.dingtalk.io", "2iPOLbpUNMLzB5LuwggiiqiPwiEiE"),
            took_ms: 134,
            recorded,
            outcome,
        }
    }

    fn printed(report: &PollReport, debug: bool) -> String {
        let zone = chrono_tz::Asia::Shanghai;
        let printer =
            Printer { format: OutputFormat::Table, time_zone: zone, width: 80, ..Printer::default() };
        anstream::adapter::strip_str(&text(&printer, report, debug).unwrap()).to_string()
    }

    #[test]
    fn a_look_that_changed_something() {
        let events = vec![EventType::ParticipantJoined, EventType::PresenceChanged];
        insta::assert_snapshot!(printed(&seen(Some(events), true), false));
    }

    #[test]
    fn as_json_times_are_rfc_3339() {
        let zone = chrono_tz::Asia::Shanghai;
        let printer =
            Printer { format: OutputFormat::Json, time_zone: zone, width: 80, ..Printer::default() };
        let events = vec![EventType::ParticipantJoined];
        insta::assert_snapshot!(data(&printer, &seen(Some(events), true)).unwrap());
    }

    #[test]
    fn a_look_without_the_daemon_compares_with_nothing() {
        assert!(printed(&seen(None, false), false).ends_with("there is no state to compare with\n"));
        let dry = printed(&seen(Some(vec![EventType::ParticipantLeft]), false), false);
        assert!(dry.ends_with("changes   meeting.participant_left (dry run: nothing was stored)\n"));
        assert!(printed(&seen(Some(vec![]), true), false).ends_with("changed   nothing\n"));
    }

    #[test]
    fn a_failure_says_that_nothing_changed() {
        let failure = PollFailure {
            class: "throttled".into(),
            text: "slow down".into(),
            code: Some("Forbidden.AccessDenied.QpsLimitForApi".into()),
            request_id: Some("R-1".into()),
            status: Some(403),
            advice: Advice::TryLater,
        };
        insta::assert_snapshot!(printed(&report(PollOutcome::Failed(failure), false), true));
    }

    #[test]
    fn what_is_understood_is_shown_on_request() {
        assert!(printed(&seen(None, false), true).contains("\"evidence\": \"explicit\""));
    }

    #[test]
    fn each_advice_has_its_exit_code() {
        let codes = [
            Advice::TryLater,
            Advice::Refused,
            Advice::Unreachable,
            Advice::Misconfigured,
            Advice::Nothing,
            Advice::Usage,
            Advice::Failed,
        ]
        .map(|advice| exit(advice) as u8);
        assert_eq!(codes, [75, 77, 69, 78, 4, 2, 1]);
    }
}
