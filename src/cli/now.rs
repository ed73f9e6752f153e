//! `presenced now`: prints who is in a meeting, or was at another time.
//!
//! Guards: an unknown state is shown as unknown, never as absent. Not here: deriving the state (`presence`), the state at
//! an earlier time (`at`), following changes (`watch`), rows (`rows`).

use super::filter::FilterArgs;
use super::open_readonly::{Session, open_readonly};
use super::output::Row;
use super::{Exit, Failure, Globals};
use crate::store::history::{Filter, MAX_ROWS, UserPresence as Standing};

mod at;
mod rows;
mod watch;

use rows::{COLUMNS, empty_text, row, summary};

/// Options of `now`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Show one user: a name, a unionId, or a unique part of one
    #[arg(value_name = "WHO", conflicts_with = "all")]
    who: Option<String>,
    /// Show all watched users, not only those in a meeting
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    only: FilterArgs,
    /// Redraw when something changes, until Ctrl-C
    #[arg(short, long, conflicts_with_all = ["at", "check"])]
    watch: bool,
    /// Show who was inside, outside or unknown at that time
    #[arg(long, value_name = "WHEN", conflicts_with = "check")]
    at: Option<String>,
    /// Only tell by the exit code: 0 inside, 4 not inside, 75 unknown, 2 no such user
    #[arg(long, requires = "who")]
    check: bool,
}

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { who, all, only, watch, at, check } = args;
    open_readonly(globals, async |session: &Session| {
        let filter = match only.filter(session, who.as_deref()).await {
            Err(error) if check => return Err(no_such_user(error)),
            filter => filter?,
        };
        if let Some(at) = at {
            return at::at(session, &at, &filter, all).await;
        }
        if watch {
            return watch::watch(session, &filter, all).await;
        }
        let states = session.history.now(&filter, all, MAX_ROWS).await?;
        if check {
            return Ok(checked(&states));
        }
        print(session, &states, &filter).await
    })
}

async fn print(session: &Session, states: &[Standing], filter: &Filter) -> anyhow::Result<Exit> {
    let counts = session.history.counts(filter).await?;
    if states.is_empty() {
        session.printer.print_nothing(COLUMNS, &empty_text(counts, session.now))?;
    } else {
        let rows: Vec<Row> = states.iter().map(|state| row(state, session.now)).collect();
        session.printer.print(COLUMNS, &rows)?;
        if filter.person_id.is_none() {
            session.printer.remark(&summary(counts, session.now));
        }
    }
    Ok(Exit::Done)
}

/// For a script, a name that fits no user is a wrong command line.
fn no_such_user(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(failure) => Failure { exit: Exit::Usage, ..failure }.into(),
        Err(error) => error,
    }
}

fn checked(states: &[Standing]) -> Exit {
    match states.first().map(|state| state.presence.as_str()) {
        Some("inside") => Exit::Done,
        Some("outside") => Exit::Nothing,
        _ => Exit::TryLater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_check_is_the_presence() {
        let state = |presence: &str| Standing {
            person_id: 1,
            org: "default".into(),
            union_id: "u1".into(),
            name: "Li".into(),
            presence: presence.into(),
            groups: Vec::new(),
            watched: true,
            last_ok: None,
            next_poll: None,
            meeting: None,
        };
        assert_eq!(checked(&[state("inside"), state("inside")]), Exit::Done);
        assert_eq!(checked(&[state("outside")]), Exit::Nothing);
        assert_eq!(checked(&[state("unknown")]), Exit::TryLater);
        let nobody = no_such_user(Failure::new(Exit::Nothing, "no user").into());
        assert_eq!(nobody.downcast::<Failure>().unwrap().exit, Exit::Usage);
    }
}
