//! The binary: a shim, so that everything can be called from tests; and whose memory it is.

/// The system's own takes a third of a poll's time, and keeps twice the memory, once a long watch list was read and
/// most of what that took was given back (`docs/benchmarks.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    presenced::cli::main()
}
