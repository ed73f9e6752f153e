//! The gateway of DingTalk's Stream mode: opens connections and pushes events over WebSocket.
//!
//! Guards: what the gateway decides (`queue`) does no IO; frames and events are JSON by hand. Not here: the truth that events
//! announce (`world`), the faults themselves (`faults`).
//!
//! ```text
//! options         the settings of `[push]`
//! announcements   the events of a world, in order                 pure
//! frames          a frame as text
//! queue           tickets, connections, pushes, repeats           pure
//! server          the open call, the WebSocket, the driver
//! ```

pub(super) mod announcements;
pub(super) mod frames;
pub(super) mod options;
pub(super) mod queue;
pub(super) mod server;
