//! The questions of `presenced init` on a terminal.
//!
//! Guards: three questions, each with an answer that Enter gives; a secret is not shown while it is typed. Not here: what
//! the answers lead to (`super`).

use std::io::{BufRead as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::choice::{Choice, Site, Source, likely_site};
use crate::cli::output::FAINT;
use crate::cli::{Exit, Failure};
use crate::secret::Secret;

/// Asks, and returns the answers.
pub(super) fn ask(calls: u64) -> anyhow::Result<Choice> {
    let (first, second) = match likely_site() {
        Site::Mainland => (Site::Mainland, Site::International),
        Site::International => (Site::International, Site::Mainland),
    };
    anstream::println!("1. Where does presence come from?");
    anstream::println!("   1) the built-in DingTalk, to try it: no account needed");
    for (number, site) in [(2, first), (3, second)] {
        anstream::println!("   {number}) an app at DingTalk {}", place(site));
    }
    let source = match answer("   [1] ")?.as_str() {
        "" | "1" => Source::BuiltIn,
        "2" => app(first, calls)?,
        "3" => app(second, calls)?,
        _ => return Err(Failure::new(Exit::Usage, "write 1, 2 or 3").into()),
    };
    let mut users = Vec::new();
    if matches!(source, Source::BuiltIn) {
        anstream::println!("2. Who is watched? {FAINT}The seven people of the built-in DingTalk.{FAINT:#}");
    } else {
        anstream::println!("2. Who is watched? unionIds of people who agreed, separated by blanks;");
        anstream::println!("   Enter for none yet ({FAINT}`presenced user find` finds them{FAINT:#})");
        let typed = answer("   ")?;
        users = typed.split([' ', ',']).filter(|id| !id.is_empty()).map(str::to_owned).collect();
    }
    anstream::println!("3. Where do callbacks go? An http or https URL;");
    anstream::println!(
        "   Enter for {}",
        match source {
            Source::BuiltIn => "the built-in receiver, which verifies and prints them",
            Source::App { .. } => "none yet",
        }
    );
    let url = answer("   ")?;
    anstream::println!();
    Ok(Choice { source, users, webhook: Some(url).filter(|url| !url.is_empty()) })
}

fn place(site: Site) -> &'static str {
    match site {
        Site::Mainland => "in mainland China (api.dingtalk.com)",
        Site::International => "outside mainland China (api.dingtalk.io)",
    }
}

fn app(site: Site, calls: u64) -> anyhow::Result<Source> {
    anstream::println!("   The app needs the permission VideoConference.Conference.Read.");
    let key = answer("   AppKey (Client ID): ")?;
    let secret = hidden("   AppSecret (Client Secret, not shown): ")?;
    anstream::println!(
        "   {FAINT}It may spend {calls} calls a month: the standard edition has 5000 for all apps.{FAINT:#}"
    );
    Ok(Source::App {
        site,
        key: Some(key).filter(|key| !key.is_empty()),
        secret: Some(secret).filter(|secret| !secret.is_empty()).map(|secret| Secret::new(&secret)),
        calls,
    })
}

/// One line. The end of the input ends the command.
fn answer(prompt: &str) -> anyhow::Result<String> {
    anstream::print!("{prompt}");
    std::io::stdout().flush()?;
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(Failure::new(Exit::Failed, "no answer; nothing was written").into());
    }
    Ok(line.trim().to_owned())
}

/// One line that the terminal does not show.
fn hidden(prompt: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &silent)?;
    let typed = answer(prompt);
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    anstream::println!();
    typed
}
