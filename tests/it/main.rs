//! What crosses rooms, in one binary: each file is a story over real sockets and real files.

mod simulator_api;
mod simulator_cli;
mod simulator_faults;
mod simulator_receiver;
