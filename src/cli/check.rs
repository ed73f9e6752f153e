//! `presenced check`: validates the config and prints every problem with its place and a fix.
//!
//! Guards: needs no network, no root and no daemon; the last line says how many problems there are, or what to do next.
//! Not here: the rules (`config`).

use std::path::Path;

use serde::Serialize;

use super::output::{ERROR, WARNING, counted};
use super::{Exit, Failure, Globals, OutputFormat};
use crate::config::problem::{Problem, Severity, Sources, foremost, render_one};
use crate::config::{Config, load, locate};

mod online;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exit with 3 when there are warnings
    #[arg(long)]
    pub strict: bool,
    /// Also get a token and poll one user of each organisation (one call each)
    #[arg(long)]
    pub online: bool,
}

/// Runs the command.
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
            return Err(Failure::new(Exit::Usage, "`check` prints text, or JSON with `-o json`").into());
        }
        None | Some(OutputFormat::Table) => {
            show(globals, &problems, &sources);
            if let Some(config) = config.as_ref().filter(|_| !globals.quiet) {
                anstream::println!("{}", summary(&path, config, problems.len()));
            }
        }
    }
    let ended = ending(&problems, args.strict);
    match config.filter(|_| args.online) {
        None => Ok(ended),
        Some(config) => Ok(worse(ended, print_online(globals, &online::ask(&config)?))),
    }
}

/// What is valid, and the next step.
fn summary(path: &Path, config: &Config, warnings: usize) -> String {
    let people = counted(config.users.len(), "person", "people");
    let webhooks = counted(config.webhooks.len(), "webhook", "webhooks");
    let state = match warnings {
        0 => "is fine".to_owned(),
        _ => format!("can be used, with {}", counted(warnings, "warning", "warnings")),
    };
    format!("{} {state}: {people}, {webhooks}; next: presenced run", path.display())
}

/// Prints the results of `--online`. With `-o json`, the JSON is about the file only, and these go to stderr.
fn print_online(globals: &Globals, found: &[online::Found]) -> Exit {
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

/// A refusal by DingTalk counts more than a warning.
fn worse(file: Exit, online: Exit) -> Exit {
    if online == Exit::Done { file } else { online }
}

/// An error decides; a warning only with `--strict`.
fn ending(problems: &[Problem], strict: bool) -> Exit {
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        Exit::Config
    } else if strict && !problems.is_empty() {
        Exit::Warnings
    } else {
        Exit::Done
    }
}

/// Prints to stdout, because the problems are the answer. `-q` omits warnings.
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
