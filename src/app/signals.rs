//! Being told to stop: SIGTERM or SIGINT softly, the second one at once. Being told to read the config again: SIGHUP.
//!
//! Guards: the first signal drains, the second ends the process without waiting for anything. Deliberately not here: what
//! draining means (`app`).

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell expects of a process that ends by SIGINT: 128 + 2.
const AT_ONCE: i32 = 130;

/// SIGHUP: reload. From here on it does not end the process any more.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Cancels `stop` at the first signal and exits at the second. Runs until then.
pub async fn watch(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut asked_before = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if asked_before {
            tracing::warn!("second signal: ending at once");
            std::process::exit(AT_ONCE);
        }
        asked_before = true;
        tracing::info!("stopping: calls and deliveries in flight may end, a second signal ends at once");
        stop.cancel();
    }
}
