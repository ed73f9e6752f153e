//! `presenced webhook test --dry-run`: shows the body that a webhook would send for an event.
//!
//! Guards: sends nothing, and needs neither the daemon nor the network; the body is made by the code that makes real ones.
//! Not here: sending a test (`test`), signatures, which depend on the time.

use serde_json::Value;

use super::client::named;
use crate::cli::output::{Printer, harmless_lines, write_out};
use crate::cli::readable::load_readable;
use crate::cli::{Exit, Failure, Globals};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, User};
use crate::message::sample;
use crate::presence::event::EventType;
use crate::webhook::format::BodyFormat;

/// Options of `webhook test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the webhook in the config
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// Show the body for an event of this type
    #[arg(
        long = "type",
        value_name = "TYPE",
        requires = "dry_run",
        default_value = "meeting.participant_joined"
    )]
    event_type: String,
    /// Show the body for an event of this user
    #[arg(long, value_name = "WHO", requires = "dry_run")]
    user: Option<String>,
    /// Send nothing; show the body that an event would have
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Prints the body.
pub(super) fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    let (loaded, _) = load_readable(globals)?;
    let webhook = named(&loaded.config, &args.name)?;
    let Some(sample) = sample::body(&args.event_type) else {
        return Err(unknown_type(&args.event_type).into());
    };
    let mut event: Value = serde_json::from_str(sample)?;
    if let Some(who) = &args.user {
        put(&mut event, user(&loaded.config, who)?);
    }
    let Some(format) = BodyFormat::of(webhook, None) else {
        return Err(Failure::new(Exit::Config, "the template of this webhook cannot be used").into());
    };
    let id = event["id"].as_str().unwrap_or("evt_sample").to_owned();
    let body = format.compose(&id, vec![serde_json::to_vec(&event)?], SystemClock.now());
    let body = body.map_err(|error| Failure::new(Exit::Failed, error))?;
    let text = String::from_utf8_lossy(&body);
    let printer = Printer::new(globals, loaded.config.time_zone);
    if !printer.is_table() {
        let json = serde_json::json!({ "content_type": format.content_type(), "body": text });
        write_out(std::io::stdout().lock(), &format!("{json}\n"))?;
        return Ok(Exit::Done);
    }
    printer.remark(&format!("content-type: {}", format.content_type()));
    let pretty = serde_json::from_slice::<Value>(&body).and_then(|json| serde_json::to_string_pretty(&json));
    write_out(
        anstream::stdout().lock(),
        &(harmless_lines(&pretty.unwrap_or_else(|_| text.into_owned())) + "\n"),
    )?;
    Ok(Exit::Done)
}

fn unknown_type(text: &str) -> Failure {
    let near = EventType::suggestion_for(text).map(|near| format!("did you mean `{near}`?"));
    let all = || {
        let names: Vec<&str> = EventType::ALL.iter().map(|event| event.name()).collect();
        format!("there are {}", names.join(", "))
    };
    Failure::new(Exit::Usage, format!("there is no event `{text}`; {}", near.unwrap_or_else(all)))
}

/// A user of the config, by name or unionId.
fn user<'a>(config: &'a Config, who: &str) -> Result<&'a User, Failure> {
    let is_whole = |user: &&User| user.name == who || user.identity.union_id.as_str() == who;
    let has_part = |user: &&User| user.name.contains(who) || user.identity.union_id.as_str().contains(who);
    let mut parts = config.users.iter().filter(has_part);
    match (config.users.iter().find(is_whole), parts.next(), parts.next()) {
        (Some(user), ..) | (None, Some(user), None) => Ok(user),
        (None, Some(_), Some(_)) => {
            Err(Failure::new(Exit::Usage, format!("`{who}` fits several users; write more of it")))
        }
        _ => Err(Failure::new(Exit::Nothing, format!("the config has no user `{who}`"))),
    }
}

/// Puts a user into an event about one.
fn put(event: &mut Value, user: &User) {
    if event["data"]["user"].is_null() {
        return;
    }
    let (org, union_id) = (user.identity.org.to_string(), user.identity.union_id.to_string());
    event["subject"] = format!("{org}/{union_id}").into();
    event["partitionkey"] = event["subject"].clone();
    let data = &mut event["data"];
    data["org"] = org.into();
    data["user"]["union_id"] = union_id.into();
    data["user"]["name"] = user.name.as_str().into();
    data["user"]["nick"] = user.name.as_str().into();
    data["user"]["groups"] = serde_json::json!(user.groups);
    data["user"]["tags"] = serde_json::json!(user.tags);
}
