//! One event as a row of a table, of CSV, or as the stored JSON.
//!
//! Guards: the JSON of an event is the stored body, byte for byte. Not here: which events are printed (`super`, `follow`).

use crate::cli::output::{Cell, Column, FAINT, GOOD, Row, Style};
use crate::presence::event::EventType;
use crate::store::history::EventRow;
use crate::time::duration_ms;

const COLUMNS: &[Column] = &[
    Column::new("sequence", "SEQ"),
    Column::new("id", "ID"),
    Column::new("time", "TIME"),
    Column::new("type", "TYPE"),
    Column::new("who", "WHO").shrinking_last(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::table_only("MEETING").shrinking(),
    Column::data_only("meeting"),
    Column::data_only("title"),
    Column::data_only("recorded_at"),
    Column::data_only("noticed_after_s"),
];

/// The columns; in tables the ids of events only if `wide`.
pub(super) fn columns(wide: bool) -> Vec<Column> {
    let mut columns = COLUMNS.to_vec();
    if !wide {
        columns[1] = Column::data_only("id");
    }
    columns
}

pub(super) fn row(event: &EventRow) -> Row {
    let noticed_ms = duration_ms(event.recorded.since(event.time));
    Row::new(vec![
        event.sequence.into(),
        event.id.as_str().into(),
        event.time.into(),
        event.event_type.as_str().into(),
        event.name.as_deref().into(),
        event.org.as_deref().into(),
        event.union_id.as_deref().into(),
        event.conference_id.as_deref().map(|id| Cell::titled(event.title.as_deref(), id)).into(),
        event.conference_id.as_deref().into(),
        event.title.as_deref().into(),
        event.recorded.into(),
        Cell::Tenths(noticed_ms / 100),
    ])
    .styled(style(&event.event_type))
    .with_json(event.body.clone())
}

/// Which events are not printed, because their JSON may not be what was sent.
pub(super) fn left_out<'e>(damaged: impl IntoIterator<Item = &'e EventRow>) -> Option<String> {
    let list: Vec<String> = damaged.into_iter().map(|event| event.sequence.to_string()).collect();
    (!list.is_empty()).then(|| {
        let list = list.join(", ");
        format!("damaged events are left out (sequence {list}): `presenced db check` shows the damage and what to do")
    })
}

pub(super) fn style(event_type: &str) -> Style {
    if event_type == EventType::ParticipantJoined.name() {
        GOOD
    } else if event_type == EventType::ParticipantLeft.name() {
        Style::new()
    } else {
        FAINT
    }
}
