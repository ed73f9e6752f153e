//! `presenced db export-trace`: prints all visits, for `plan --replay` and for other tools.
//!
//! Guards: the four members of a line are a contract. Not here: replaying them (`plan`).

use crate::cli::open_readonly::{Session, open_readonly};
use crate::cli::output::write_out;
use crate::cli::{Exit, Failure, Globals, OutputFormat};
use crate::store::history::report::TraceRow;

/// Says how to get the visits in another format.
const OTHER_FORMATS: &str = "a trace is always JSON lines: leave out `-o`. For a table, JSON or CSV, run: \
    presenced db sql \"SELECT union_id, meeting, joined_ms, left_ms FROM v_visits ORDER BY joined_ms\" -o csv";

pub(super) fn run(globals: &Globals) -> anyhow::Result<Exit> {
    if !matches!(globals.output, None | Some(OutputFormat::Jsonl)) {
        return Err(Failure::new(Exit::Usage, OTHER_FORMATS).into());
    }
    open_readonly(globals, async |session: &Session| {
        let (mut after, mut lines) = (i64::MIN, 0);
        loop {
            let page = session.history.report().trace(after).await?;
            let Some(last) = page.last() else { break };
            after = last.place;
            lines += page.len();
            let text: String = page.iter().map(line).collect();
            write_out(std::io::stdout().lock(), &text)?;
        }
        if lines == 0 {
            session.printer.remark("There are no visits yet.");
            return Ok(Exit::Nothing);
        }
        Ok(Exit::Done)
    })
}

fn line(trail: &TraceRow) -> String {
    let (user, conference) = (quoted(&trail.union_id), quoted(&trail.conference_id));
    let left = trail.left.map_or_else(|| "null".to_owned(), |left| left.as_ms().to_string());
    let joined = trail.joined.as_ms();
    format!("{{\"user\":{user},\"conference\":{conference},\"joined_ms\":{joined},\"left_ms\":{left}}}\n")
}

fn quoted(text: &str) -> serde_json::Value {
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_line_has_its_four_members() {
        let mut trail = TraceRow {
            place: 1,
            union_id: "u\"1".into(),
            conference_id: "c".into(),
            joined: Timestamp::from_ms(5),
            left: Some(Timestamp::from_ms(9)),
        };
        let expected = r#"{"user":"u\"1","conference":"c","joined_ms":5,"left_ms":9}"#;
        assert_eq!(line(&trail), format!("{expected}\n"));
        trail.left = None;
        assert!(line(&trail).ends_with("\"left_ms\":null}\n"));
    }
}
