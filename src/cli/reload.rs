//! `presenced reload`: makes the running daemon reload its config, and prints what changed.
//!
//! Guards: waits until the new config is active or refused; if it is refused, nothing has changed and the exit code is
//! that of `check`. Not here: the work (`app::reload`).

use super::daemon::{ask_running, unexpected};
use super::open_readonly::block_on;
use super::output::{FLAT, Printer, WARNING, counted, flat};
use super::readable::config_files;
use super::{Exit, Globals, OutputFormat};
use crate::control::{ReloadReport, Request, Response};

/// Options of `reload`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(globals: &Globals, _args: Args) -> anyhow::Result<Exit> {
    match block_on(ask_running(&config_files(globals), &Request::Reload))?? {
        Response::Reloaded(report) => show(globals, &report).map(|()| Exit::Done),
        _ => Err(unexpected().into()),
    }
}

fn show(globals: &Globals, report: &ReloadReport) -> anyhow::Result<()> {
    match globals.output {
        Some(OutputFormat::Json) => anstream::println!("{}", serde_json::to_string_pretty(report)?),
        Some(OutputFormat::Jsonl) => anstream::println!("{}", serde_json::to_string(report)?),
        Some(OutputFormat::Csv) => {
            Printer::new(globals, chrono_tz::UTC).print(FLAT, &flat(&serde_json::to_value(report)?))?;
        }
        None | Some(OutputFormat::Table) => anstream::print!("{}", text(report, globals.quiet)),
    }
    Ok(())
}

fn text(report: &ReloadReport, quiet: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    if !quiet {
        lines.extend(report.warnings.iter().map(|warning| format!("{WARNING}{warning}{WARNING:#}")));
        lines.extend(report.changes.iter().cloned());
        let what = match report.changes.len() {
            0 => "Nothing changed in the config; secrets were read again".to_owned(),
            count => counted(count, "change", "changes"),
        };
        lines.push(format!("{what}. {} watched.", counted(report.people, "person is", "people are")));
    }
    if !report.restart_for.is_empty() {
        lines.push("Some changes need a restart: run `systemctl restart presenced`.".to_owned());
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_differences_and_what_they_wait_for() {
        let report = ReloadReport {
            people: 3,
            changes: vec!["+ user default/u3".into(), "~ [http]: listen (needs a restart)".into()],
            restart_for: vec!["~ [http]: listen (needs a restart)".into()],
            warnings: Vec::new(),
        };
        let expected = "\
+ user default/u3
~ [http]: listen (needs a restart)
2 changes. 3 people are watched.
Some changes need a restart: run `systemctl restart presenced`.
";
        assert_eq!(text(&report, false), expected);
        let same = ReloadReport { people: 1, changes: vec![], restart_for: vec![], warnings: vec![] };
        assert_eq!(
            text(&same, false),
            "Nothing changed in the config; secrets were read again. 1 person is watched.\n"
        );
        assert_eq!(text(&same, true), "");
    }
}
