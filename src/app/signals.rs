//! Signals: SIGTERM and SIGINT stop the daemon, SIGHUP reloads the config.
//!
//! Guards: the first signal drains; the second one ends the process at once. Not here: draining (`daemon`).

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code that shells expect after SIGINT: 128 + 2.
const INTERRUPTED: i32 = 130;

/// SIGHUP, which requests a reload. From now on it does not end the process.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Cancels `stop` at the first signal and exits at the second.
pub async fn watch(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut is_stopping = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if is_stopping {
            tracing::warn!("second signal; exiting at once");
            std::process::exit(INTERRUPTED);
        }
        is_stopping = true;
        tracing::info!(
            "stopping; waiting for calls and deliveries in flight (a second signal stops at once)"
        );
        stop.cancel();
    }
}
