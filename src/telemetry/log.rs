//! Log lines: their filter and their format.
//!
//! Guards: a stderr that is not read blocks nothing: lines wait in a bounded queue, and dropped ones are counted; for
//! journald and as JSON one event is one line; text lines have no invisible characters; libraries that would log URLs are
//! limited to warnings; journald gets priorities and no second timestamp. Not here: what is logged.

use std::fmt;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, OnceLock};

use chrono_tz::Tz;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{self, DefaultFields, FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::limit::{self, Limit, Limited};
use crate::clock::{Clock as _, SystemClock};
use crate::config::LogFormat;
use crate::invisible::{REPLACEMENT, replaced};
use crate::policy::civil;

/// Libraries whose debug lines have URLs, headers or SQL.
const CAPPED: [&str; 7] = ["hyper", "reqwest", "sqlx", "rustls", "tower", "axum", "h2"];

/// Size of the queue for stderr.
const QUEUED_LINES: usize = 4_096;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Why logging cannot start or change.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("log level `{text}` is not understood ({why}): write `info`, or `info,presenced::tasks=debug`")]
    Level {
        /// The level from the config.
        text: String,
        /// The error of the parser.
        why: String,
    },
    /// A logger is already set.
    #[error("logging has already started")]
    Begun,
    /// The logger has ended.
    #[error("logging has ended")]
    Ended,
}

/// Changes the level of a running daemon.
#[derive(Clone)]
pub struct LogHandle {
    filter: reload::Handle<Targets, tracing_subscriber::Registry>,
    /// Writes queued lines when the last handle is dropped, for at most a second.
    _writer: Arc<WorkerGuard>,
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle").finish_non_exhaustive()
    }
}

impl LogHandle {
    /// Sets the filter. `verbosity` as in [`init`].
    pub fn set_level(&self, level: &str, verbosity: i8) -> Result<(), LogError> {
        let filter = targets(level, verbosity)?;
        self.filter.reload(filter).map_err(|_| LogError::Ended)
    }
}

/// Starts logging to stderr for the life of the process. `level`: a filter as in `[log] level`;
/// `verbosity`: how often `-v` was given, or -1 for `-q`; `zone`: of the times on a terminal.
pub fn init(level: &str, format: LogFormat, verbosity: i8, zone: Tz) -> Result<LogHandle, LogError> {
    let (filter, handle) = reload::Layer::new(targets(level, verbosity)?);
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).finish(std::io::stderr());
    // Logging starts once.
    let _ = DROPPED.set(writer.error_counter());
    let terminal = std::io::stderr().is_terminal().then_some(zone);
    let lines = lines(resolved(format), writer, Limit::new(Arc::new(SystemClock)), terminal);
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().map_err(|_| LogError::Begun)?;
    Ok(LogHandle { filter: handle, _writer: Arc::new(guard) })
}

/// Lines dropped since the start, because stderr was not read and the queue was full.
pub fn dropped_lines() -> usize {
    DROPPED.get().map_or(0, ErrorCounter::dropped_lines)
}

/// Parses a filter, and limits the libraries to warnings.
pub fn targets(level: &str, verbosity: i8) -> Result<Targets, LogError> {
    let wrong = |why: &dyn fmt::Display| LogError::Level { text: level.to_owned(), why: why.to_string() };
    let asked: Targets = level.parse().map_err(|error| wrong(&error))?;
    let usual = asked.default_level().unwrap_or(LevelFilter::INFO);
    let usual = match verbosity {
        ..=-1 => usual.min(LevelFilter::WARN),
        0 => usual,
        1 => usual.max(LevelFilter::DEBUG),
        2.. => LevelFilter::TRACE,
    };
    let cap = usual.min(LevelFilter::WARN);
    let is_capped = |name: &str| CAPPED.iter().any(|capped| name.starts_with(capped));
    let named = asked.into_iter().filter(|(name, _)| !name.is_empty()).map(|(name, level)| {
        let level = if is_capped(&name) { level.min(LevelFilter::WARN) } else { level };
        (name, level)
    });
    Ok(Targets::new()
        .with_default(usual)
        .with_targets(CAPPED.map(|name| (name, cap)))
        .with_targets(named.collect::<Vec<_>>()))
}

fn resolved(format: LogFormat) -> LogFormat {
    match format {
        LogFormat::Auto if goes_to_journal() => LogFormat::Journald,
        LogFormat::Auto => LogFormat::Text,
        given => given,
    }
}

/// systemd gives device and inode of the socket of the journal, so that a redirected stream can be distinguished.
fn goes_to_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    match std::fs::metadata("/proc/self/fd/2") {
        Ok(stream) => named == format!("{}:{}", stream.dev(), stream.ino()),
        // Without /proc the variable is the only sign.
        Err(_) => !std::io::stderr().is_terminal(),
    }
}

/// `terminal`: the zone of the times, if a person reads the lines on a terminal.
fn lines<S, W>(
    format: LogFormat,
    writer: W,
    limit: Arc<Limit>,
    terminal: Option<Tz>,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Json => {
            let format = format::format().json().flatten_event(true);
            let limited = Limited { format, limit, mark: limit::mark_json };
            layer.with_ansi(false).fmt_fields(JsonFields::new()).event_format(limited).boxed()
        }
        LogFormat::Journald => {
            let limited = Limited { format: Journald, limit, mark: limit::mark_text };
            layer.with_ansi(false).fmt_fields(VisibleFields).event_format(limited).boxed()
        }
        LogFormat::Text | LogFormat::Auto => {
            let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
            let layer = layer.with_ansi(colours).fmt_fields(VisibleFields);
            let mark = limit::mark_text;
            match terminal {
                Some(zone) => {
                    let format = format::format().with_target(false).with_timer(WallClock(zone));
                    layer.event_format(Limited { format, limit, mark }).boxed()
                }
                None => layer.event_format(Limited { format: format::format(), limit, mark }).boxed(),
            }
        }
    }
}

/// Times on a terminal: the time of day where the user is.
struct WallClock(Tz);

impl FormatTime for WallClock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", civil::wall(SystemClock.now(), self.0).format("%H:%M:%S"))
    }
}

/// Fields in text lines, without invisible characters, control characters and direction marks.
struct VisibleFields;

impl<'w> FormatFields<'w> for VisibleFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&replaced(&text, |c| if c == '\n' { c } else { REPLACEMENT }))
    }
}

/// `<6>presenced::tasks: message field=value`: the prefix journald takes its priority from (sd-daemon(3)).
struct Journald;

impl<S, N> FormatEvent<S, N> for Journald
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        // A line end would start a second entry of the journal.
        let text = text.replace(['\n', '\r'], " ");
        writeln!(writer, "<{priority}>{}: {text}", event.metadata().target())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::ManualClock;

    #[derive(Clone, Default)]
    struct Sheet(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, log: impl FnOnce()) -> String {
        let sheet = Sheet::default();
        let writer = sheet.clone();
        let limit = Limit::new(Arc::new(ManualClock::default()));
        let layer = lines(format, move || writer.clone(), limit, None);
        let filter = targets("info", 0).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
        tracing::subscriber::with_default(subscriber, log);
        let bytes = sheet.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn journald_gets_one_line_with_a_priority_and_no_time() {
        let text = written(LogFormat::Journald, || {
            tracing::warn!(target: "presenced::tasks", org = "acme", "throttled\nfor a while");
            tracing::error!(target: "presenced::store", "disk full");
        });
        assert_eq!(
            text,
            "<4>presenced::tasks: throttled for a while org=\"acme\"\n<3>presenced::store: disk full\n"
        );
    }

    #[test]
    fn json_lines_are_json() {
        let text = written(LogFormat::Json, || tracing::info!(polls = 3, "a\n\"line\""));
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["message"], &line["polls"]), (&"a\n\"line\"".into(), &3.into()));
    }

    #[test]
    fn lines_for_people_hold_nothing_invisible_and_json_is_exact() {
        let name = "a\u{202e}b\u{200b}c\u{1b}[31m\nd";
        let log = || tracing::info!(title = %name, "{name}");
        for format in [LogFormat::Text, LogFormat::Journald] {
            let text = written(format, log);
            assert_eq!(text.matches("a\u{fffd}b\u{fffd}c").count(), 2, "{text:?}");
            assert!(!text.contains(['\u{202e}', '\u{200b}', '\u{1b}']), "{text:?}");
        }
        let line: serde_json::Value = serde_json::from_str(&written(LogFormat::Json, log)).unwrap();
        assert_eq!(line["title"], name);
    }

    #[test]
    fn a_flood_is_cut_off_in_every_format() {
        for format in [LogFormat::Text, LogFormat::Json, LogFormat::Journald] {
            let text = written(format, || {
                (0..100).for_each(|n| tracing::warn!(n, "again and again"));
                tracing::error!("something else");
            });
            assert_eq!(text.lines().count(), 21, "{text}");
            assert!(text.lines().last().is_some_and(|line| line.contains("left_out") && line.contains("80")));
        }
    }

    #[test]
    fn libraries_that_know_urls_say_little_whatever_is_asked() {
        for (level, verbosity) in [("trace", 0), ("info", 2), ("info,hyper_util=trace,reqwest=debug", 0)] {
            let filter = targets(level, verbosity).unwrap();
            for library in ["hyper_util::client", "reqwest::connect", "sqlx::query", "hyper"] {
                assert!(!filter.would_enable(library, &Level::INFO), "{library} at {level}");
                assert!(filter.would_enable(library, &Level::WARN), "{library} at {level}");
            }
        }
    }

    #[test]
    fn verbosity_moves_the_usual_level_only() {
        let enabled = |level: &str, verbosity, target: &str, at: Level| {
            targets(level, verbosity).unwrap().would_enable(target, &at)
        };
        assert!(enabled("info", 0, "presenced", Level::INFO));
        assert!(!enabled("info", 0, "presenced", Level::DEBUG));
        assert!(enabled("info", 1, "presenced", Level::DEBUG));
        assert!(enabled("info", 2, "presenced", Level::TRACE));
        assert!(!enabled("info", -1, "presenced", Level::INFO));
        assert!(enabled("info,presenced::tasks=debug", 0, "presenced::tasks::poller", Level::DEBUG));
        assert!(!enabled("off", 0, "hyper", Level::ERROR));
    }

    #[test]
    fn a_level_that_is_none_is_refused_with_an_example() {
        let error = targets("presenced=chatty", 0).unwrap_err().to_string();
        assert!(error.contains("presenced=chatty") && error.contains("`info`"), "{error}");
    }
}
