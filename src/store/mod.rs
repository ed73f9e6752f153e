//! The database: one SQLite file, one writer, some readers.
//!
//! Guards: snapshot, visits, events and deliveries of a poll are written together or not at all; one daemon per database; a
//! file with a newer schema is refused and left untouched; times are UTC milliseconds. Deliberately not here: what is written
//! (`presence`), when deliveries are sent (`policy::delivery`).
//!
//! From the bottom up; no two files use each other:
//!
//! ```text
//! error           why a call failed
//! beside          the files beside the database
//! records         what tasks write and read
//! jsonb, bulk     many rows in one statement
//! connection      settings of each connection
//! schema          migrations, versions
//! local_offsets   the time zone as a table
//! checksum        whether an event is still what was written
//! read_options    reading a file without leaving traces
//! check           whether the file is intact
//! wal             the WAL, and which processes keep it from shrinking
//! lock            the lock file: one daemon per database
//! lock_contention locks of other programs
//! write_errors    failed writes
//! disk_space      a full disk, and the reserve file
//! recording       results of polls: snapshots, visits, events, deliveries
//! group           one transaction, and the answers to its callers
//! writer          the one writing connection and its queue
//! database        the shared state of an open database
//! retention       deleting old rows
//! backup          verified copies
//! erase, erase_titles, erasures, forget  erasing a person, and the list of erasures
//! clock_change    stored times after the clock was set
//! outbox          deliveries: taken, written back, sent again
//! stats           queues of webhooks, and why they are blocked; sizes of the files
//! sweep_state     what the poller learned of sweeps
//! history         reading, by question
//! recorder, watch_list, gaps, open_gaps, alert_state, call_usage, health, maintenance
//!                 further handles, one for each subject
//! handle          `Store`: one accessor for each subject
//! readonly        the same file for commands that only read
//! open            opening and closing
//! restore         putting a copy in place
//! ```

mod alert_state;
pub mod backup;
pub mod beside;
mod bulk;
mod call_usage;
pub mod check;
mod checksum;
mod clock_change;
mod connection;
mod database;
mod disk_space;
mod erase;
mod erase_titles;
mod erasures;
mod error;
pub mod forget;
pub mod gaps;
mod group;
mod handle;
mod health;
pub mod history;
mod jsonb;
mod local_offsets;
mod lock;
mod lock_contention;
mod maintenance;
mod open;
pub mod open_gaps;
pub mod outbox;
mod push_messages;
mod read_options;
mod readonly;
mod recorder;
mod recording;
mod records;
pub mod restore;
pub mod retention;
mod schema;
pub mod stats;
pub mod sweep_state;
mod texts;
mod wal;
mod watch_list;
mod write_errors;
mod writer;

pub use self::alert_state::Alerts;
pub use self::call_usage::CallUsage;
pub use self::clock_change::StoredTime;
pub use self::error::StoreError;
pub use self::forget::Erasures;
pub use self::gaps::{ClosedTime, Gaps};
pub use self::handle::Store;
pub use self::health::DatabaseHealth;
pub use self::maintenance::Maintenance;
pub use self::open::CheckedDatabase;
pub use self::push_messages::{PushMessages, PushMonth};
pub use self::readonly::ReadOnlyStore;
pub use self::recorder::Recorder;
pub use self::records::{
    Enrolled, Enrolment, MeetingFacts, MeetingSource, NewSnapshot, Outgoing, PollFailure, Recording,
    UnchangedPolls, Usage,
};
pub use self::schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use self::sweep_state::SweepStates;
pub use self::watch_list::WatchList;
