//! `presenced now --at`: prints who was in a meeting at an earlier time.
//!
//! Guards: what was not observed is unknown, with the reason. Not here: deciding it (`store::history::at_instant`).

use crate::cli::open_readonly::Session;
use crate::cli::output::{Cell, Column, Row, counted};
use crate::cli::{Exit, Failure, when};
use crate::store::history::Filter;
use crate::store::history::at_instant::{State, StateAt};

use super::rows::style;

const COLUMNS: &[Column] = &[
    Column::new("who", "WHO").shrinking_last(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::new("presence", "WAS"),
    Column::new("why_unknown", "WHY UNKNOWN").shrinking().dull(),
    Column::table_only("MEETING").shrinking(),
    Column::data_only("meeting"),
    Column::data_only("title"),
    Column::new("joined_at", "JOINED"),
    Column::new("left_at", "LEFT"),
    Column::new("role", "ROLE").dull(),
    Column::data_only("at"),
];

/// Prints users who were inside or unknown; with `all` or for one user, also those outside.
pub(super) async fn at(session: &Session, text: &str, filter: &Filter, all: bool) -> anyhow::Result<Exit> {
    let at = when::since(text, session.now, session.printer.time_zone)?;
    if at > session.now {
        return Err(Failure::new(Exit::Usage, format!("--at {text} is in the future")).into());
    }
    let states = session.history.report().at(at, filter, session.now).await?;
    let count = |wanted: State| states.iter().filter(|state| state.state == wanted).count();
    let (inside, unknown, outside) = (count(State::Inside), count(State::Unknown), count(State::Outside));
    let summary = format!(
        "At {} ({}): {} inside, {unknown} unknown, {outside} outside{}.",
        session.printer.local(at),
        session.printer.time_zone,
        counted(inside, "person", "people"),
        if all || outside == 0 { "" } else { " (`--all` shows them)" },
    );
    let shown = |state: &&StateAt| all || filter.person_id.is_some() || state.state != State::Outside;
    let rows: Vec<Row> = states.iter().filter(shown).map(|state| row(state, at)).collect();
    if rows.is_empty() {
        session.printer.print_nothing(COLUMNS, &summary)?;
        return Ok(Exit::Done);
    }
    session.printer.print(COLUMNS, &rows)?;
    session.printer.remark(&summary);
    Ok(Exit::Done)
}

fn row(state: &StateAt, at: crate::time::Timestamp) -> Row {
    let StateAt { user, state, why, visit } = state;
    let visit = visit.as_ref();
    Row::new(vec![
        user.name.as_str().into(),
        user.org.as_str().into(),
        user.union_id.as_str().into(),
        state.name().into(),
        why.as_deref().into(),
        visit.map(|visit| Cell::titled(visit.title.as_deref(), &visit.conference_id)).into(),
        visit.map(|visit| visit.conference_id.as_str()).into(),
        visit.and_then(|visit| visit.title.as_deref()).into(),
        visit.map(|visit| visit.joined).into(),
        visit.and_then(|visit| visit.left).into(),
        visit.map(|visit| visit.role.as_str()).into(),
        at.into(),
    ])
    .styled(style(state.name()))
}
