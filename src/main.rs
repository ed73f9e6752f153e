//! The binary: a shim, so that everything can be called from tests.

fn main() -> std::process::ExitCode {
    presenced::cli::main()
}
