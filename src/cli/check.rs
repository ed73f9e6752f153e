//! `presenced check`: everything that is wrong with the config, with its place and what to write instead.
//!
//! Guards: needs no network, no root and no daemon; silent when there is nothing to say. Deliberately not here: the
//! rules (`config`).

use serde::Serialize;

use super::output::{ERROR, WARNING};
use super::{Exit, Failure, Globals, OutputFormat};
use crate::config::problem::{Problem, Severity, Sources, foremost, render_one};
use crate::config::{load, locate};

mod online;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exit with 3 when there are warnings
    #[arg(long)]
    pub strict: bool,
    /// Also ask DingTalk for a token and one person of each organisation: costs a call of the month each
    #[arg(long)]
    pub online: bool,
}

/// Runs it.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let path =
        locate(globals.config.as_deref()).map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let (problems, sources, config) = match load(&path) {
        Ok(loaded) => (loaded.warnings, loaded.sources, Some(loaded.config)),
        Err(refused) => (refused.problems, refused.sources, None),
    };
    match globals.output {
        Some(OutputFormat::Json) => anstream::println!("{}", json(&problems, &sources)?),
        Some(OutputFormat::Jsonl | OutputFormat::Csv) => {
            return Err(Failure::new(Exit::Usage, "`check` prints text, or JSON by `-o json`").into());
        }
        None | Some(OutputFormat::Table) => show(globals, &problems, &sources),
    }
    let ended = ending(&problems, args.strict);
    match config.filter(|_| args.online) {
        None => Ok(ended),
        Some(config) => Ok(worse(ended, tell(globals, &online::ask(&config)?))),
    }
}

/// Beside the problems, of which `-o json` is only about the file.
fn tell(globals: &Globals, found: &[online::Found]) -> Exit {
    for one in found {
        let good = one.exit == Exit::Done;
        let help = if one.help.is_empty() { String::new() } else { format!("\n   = {}", one.help) };
        if globals.output.is_some() {
            anstream::eprintln!("{}{help}", one.line);
        } else if !good {
            anstream::println!("{ERROR}error:{ERROR:#} {}{help}", one.line);
        } else if !globals.quiet {
            anstream::println!("{}", one.line);
        }
    }
    found.iter().map(|one| one.exit).find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
}

/// What DingTalk refuses matters more than a warning.
fn worse(file: Exit, online: Exit) -> Exit {
    if online == Exit::Done { file } else { online }
}

/// Errors decide, then warnings if they count.
fn ending(problems: &[Problem], strict: bool) -> Exit {
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        Exit::Config
    } else if strict && !problems.is_empty() {
        Exit::Warnings
    } else {
        Exit::Done
    }
}

/// To the standard output: it is what was asked for. `-q` leaves warnings out.
fn show(globals: &Globals, problems: &[Problem], sources: &Sources) {
    let is_wanted = |problem: &&Problem| problem.severity == Severity::Error || !globals.quiet;
    let (shown, rest) = foremost(problems.iter().filter(is_wanted));
    for problem in shown {
        let style = match problem.severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
        };
        let (on, off) = (style.render().to_string(), style.render_reset().to_string());
        anstream::print!("{}", render_one(problem, sources, (&on, &off)));
    }
    if let Some(rest) = rest {
        anstream::println!("{rest}");
    }
}

/// One problem as programs read it. Part of the contract of `-o json`.
#[derive(Debug, Serialize)]
struct Row<'a> {
    code: &'a str,
    severity: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    help: Option<&'a str>,
}

fn json(problems: &[Problem], sources: &Sources) -> serde_json::Result<String> {
    let rows: Vec<Row<'_>> = problems
        .iter()
        .map(|problem| {
            let position = problem.place.as_ref().and_then(|place| sources.position(place));
            Row {
                code: problem.code,
                severity: problem.severity.name(),
                file: position.as_ref().map(|at| at.file),
                line: position.as_ref().map(|at| at.line),
                column: position.as_ref().map(|at| at.column),
                message: &problem.message,
                help: problem.help.as_deref(),
            }
        })
        .collect();
    serde_json::to_string_pretty(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::{Place, Source};

    #[test]
    fn errors_and_strictness_decide_the_exit_code() {
        let (error, warning) = (Problem::error("a", None, "m"), Problem::warning("b", None, "m"));
        assert_eq!(ending(&[], true), Exit::Done);
        assert_eq!(ending(std::slice::from_ref(&warning), false), Exit::Done);
        assert_eq!(ending(std::slice::from_ref(&warning), true), Exit::Warnings);
        assert_eq!(ending(&[warning, error], true), Exit::Config);
    }

    #[test]
    fn json_keeps_its_shape() {
        let mut sources = Sources::default();
        sources.add(Source::new("config.toml", "x = 1\n  y = 2\n"));
        let place = Place { source: 0, span: 8..9 };
        let problem = Problem::error("unknown-key", Some(place), "unknown key `y` in the file")
            .help("did you mean `x`?");
        let expected = r#"[
  {
    "code": "unknown-key",
    "severity": "error",
    "file": "config.toml",
    "line": 2,
    "column": 3,
    "message": "unknown key `y` in the file",
    "help": "did you mean `x`?"
  },
  {
    "code": "b",
    "severity": "warning",
    "file": null,
    "line": null,
    "column": null,
    "message": "m",
    "help": null
  }
]"#;
        let shown = json(&[problem, Problem::warning("b", None, "m")], &sources).expect("JSON");
        assert_eq!(shown, expected);
    }
}
