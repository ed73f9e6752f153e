//! The tests that cross rooms, in one binary: linking once is what makes them cheap.

mod config_check;
mod config_example;
