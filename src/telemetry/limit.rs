//! Limits the log: at most sixty lines per minute, and at most twenty of one kind.
//!
//! Guards: the log stays readable and does not fill the disk, however many users and webhooks fail at once; many lines of
//! one kind do not suppress others, and errors keep room of their own; suppressed lines are counted, and the next line has
//! their number. Debug and trace lines are not limited. Not here: the format of lines (`log`).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::SharedClock;
use crate::time::Timestamp;

/// Lines per minute.
const LINES: usize = 60;
/// Lines per minute that are reserved for errors.
const FOR_ERRORS: usize = 10;
/// Lines per minute of one kind, which is one place in the program.
const LINES_OF_A_KIND: usize = 20;
const MINUTE: Duration = Duration::from_mins(1);

/// The lines of the last minute.
pub(super) struct Limit {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// At most as many times as lines are allowed.
    written: VecDeque<Timestamp>,
    kinds: HashMap<Identifier, VecDeque<Timestamp>>,
    left_out: u64,
}

impl Limit {
    /// A limit without lines.
    pub(super) fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    /// Whether a line may be written; if so, the number of lines suppressed before it.
    fn permit(&self, metadata: &Metadata<'_>) -> Option<u64> {
        // A finer level compares as greater.
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { written, kinds, left_out } = &mut *state;
        let most = if *metadata.level() == Level::ERROR { LINES } else { LINES - FOR_ERRORS };
        let of_kind = kinds.entry(metadata.callsite()).or_default();
        if !(has_room(of_kind, LINES_OF_A_KIND, now) && has_room(written, most, now)) {
            *left_out += 1;
            return None;
        }
        of_kind.push_back(now);
        written.push_back(now);
        Some(std::mem::take(left_out))
    }
}

/// Drops times older than a minute. If the clock was set back, all times are dropped.
fn has_room(written: &mut VecDeque<Timestamp>, most: usize, now: Timestamp) -> bool {
    while written.front().is_some_and(|at| *at > now || now.since(*at) >= MINUTE) {
        written.pop_front();
    }
    written.len() < most
}

/// A format with a limit.
pub(super) struct Limited<F> {
    pub(super) format: F,
    /// Shared by all lines.
    pub(super) limit: Arc<Limit>,
    /// Adds the number of suppressed lines to a line.
    pub(super) mark: fn(&mut String, u64),
}

impl<F, S, N> FormatEvent<S, N> for Limited<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.limit.permit(event.metadata()) {
            None => Ok(()),
            Some(0) => self.format.format_event(context, writer, event),
            Some(left_out) => {
                let mut line = String::new();
                self.format.format_event(context, Writer::new(&mut line), event)?;
                (self.mark)(&mut line, left_out);
                writer.write_str(&line)
            }
        }
    }
}

/// Adds the number at the end of a text line.
pub(super) fn mark_text(line: &mut String, left_out: u64) {
    let end = line.trim_end().len();
    line.insert_str(end, &format!(" left_out={left_out}"));
}

/// Adds the number as a member of a JSON object.
pub(super) fn mark_json(line: &mut String, left_out: u64) {
    if let Some(end) = line.rfind('}') {
        line.insert_str(end, &format!(",\"left_out\":{left_out}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    /// One place in the program each.
    fn kinds() -> [&'static Metadata<'static>; 5] {
        macro_rules! kind {
            ($level:expr) => {{
                use tracing::callsite::{Callsite, DefaultCallsite};
                static CALLSITE: DefaultCallsite = DefaultCallsite::new(&META);
                static META: Metadata<'static> = tracing::metadata! {
                    name: "test", target: "presenced", level: $level, fields: &[],
                    callsite: &CALLSITE, kind: tracing::metadata::Kind::EVENT,
                };
                CALLSITE.metadata()
            }};
        }
        [kind!(Level::ERROR), kind!(Level::WARN), kind!(Level::WARN), kind!(Level::INFO), kind!(Level::DEBUG)]
    }

    #[test]
    fn no_minute_has_more_than_sixty_lines_and_every_kind_has_its_share() {
        let clock = ManualClock::at(Timestamp::from_ms(0));
        let limit = Limit::new(Arc::new(clock.clone()));
        let kinds = kinds();
        let (mut written, mut said, mut asked) = (Vec::new(), 0, 0);
        // Ten minutes of a hundred of each every second; the first kind is rare.
        for second in 0..600_u32 {
            for (at, kind) in kinds[..4].iter().enumerate() {
                let times = if at == 0 { u32::from(second % 30 == 29) } else { 100 };
                for _ in 0..times {
                    asked += 1;
                    if let Some(left_out) = limit.permit(kind) {
                        said += 1 + left_out;
                        written.push((clock.now(), at));
                    }
                }
            }
            clock.advance(Duration::from_secs(1));
        }
        for (index, (from, _)) in written.iter().enumerate() {
            let minute = written[index..].iter().take_while(|(at, _)| at.since(*from) < MINUTE);
            assert!(minute.count() <= LINES, "from {from}");
        }
        for (kind, least) in [(0, 10), (1, 180), (2, 180)] {
            assert!(
                written.iter().filter(|(_, at)| *at == kind).count() >= least,
                "kind {kind}: {written:?}"
            );
        }
        clock.advance(MINUTE);
        said += limit.permit(kinds[0]).expect("a quiet minute later there is room");
        assert_eq!(said, asked, "what is left out is said");
    }

    #[test]
    fn finer_lines_and_clocks_put_back_are_no_trouble() {
        let clock = ManualClock::at(Timestamp::from_ms(1_000_000));
        let limit = Limit::new(Arc::new(clock.clone()));
        let [error, .., debug] = kinds();
        assert!((0..1000).all(|_| limit.permit(debug) == Some(0)));
        assert_eq!((0..100).filter(|_| limit.permit(error).is_some()).count(), LINES_OF_A_KIND);
        clock.set(Timestamp::from_ms(0));
        assert_eq!(limit.permit(error), Some(80));
    }

    #[test]
    fn the_number_left_out_is_part_of_the_line() {
        let (mut text, mut json) = ("a line\n".to_owned(), "{\"a\":{}}\n".to_owned());
        mark_text(&mut text, 3);
        mark_json(&mut json, 3);
        assert_eq!((text.as_str(), json.as_str()), ("a line left_out=3\n", "{\"a\":{},\"left_out\":3}\n"));
    }
}
