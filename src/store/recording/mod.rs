//! Writing what polls found: state, snapshots, visits, events with their sequence, deliveries.
//!
//! Guards: a batch of polls takes a handful of statements, whatever its size; an id has one body for ever; the sequence
//! has no gaps, and no number is used twice. Deliberately not here: the transaction around it (`writer`), what a poll
//! means (`presence`).
//!
//! ```text
//! request        what the writer is asked to write, and the order of its statements
//! polls          users: state, snapshots, visits
//! meetings       what is known of meetings
//! events         events: sequence, body, deliveries, lanes
//! system_counts  how many system events there are
//! ```

mod events;
mod meetings;
mod polls;
mod request;
pub(super) mod system_counts;

pub(super) use self::events::EventWriter;
pub(super) use self::polls::{EXTEND_SNAPSHOTS, ExtensionRow};
pub(super) use self::request::{WriteRequest, write};
pub(super) use self::system_counts::Counts;
