//! Runs the future of a command on a runtime.
//!
//! Guards: the end of a command does not wait for calls that cannot be interrupted. Not here: the commands.

use std::pin::Pin;

/// Runs a command, or the daemon, on a runtime with one thread. One thread is enough: SQLite has its own thread, a poll is
/// a few microseconds of work between waits, and moving it to another thread costs more than the work.
///
/// Returns without waiting for blocking calls: the resolver of the system can hang for minutes on a name and cannot be
/// interrupted. Nothing that must finish runs as a blocking call.
pub(super) fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    let mut output = None;
    drive(Box::pin(async { output = Some(future.await) }))?;
    output.ok_or_else(|| std::io::Error::other("the command did not finish"))
}

/// The part that is compiled once.
fn drive(future: Pin<Box<dyn Future<Output = ()> + '_>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(future);
    runtime.shutdown_background();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_server_that_never_answers_does_not_keep_the_process_alive() {
        let (answer, never) = mpsc::channel::<()>();
        let (ended, done) = mpsc::channel();
        std::thread::spawn(move || {
            let patience = Duration::from_millis(1);
            let lookup = async {
                let hangs = tokio::task::spawn_blocking(move || never.recv());
                tokio::time::timeout(patience, hangs).await.is_ok()
            };
            ended.send(block_on(lookup).unwrap()).unwrap();
        });
        let looked_up = done.recv_timeout(Duration::from_secs(30)).expect("the end does not wait");
        assert!(!looked_up);
        drop(answer);
    }
}
