//! All tests that cross rooms, in one binary: one link, one process, tests side by side.
//!
//! Guards: the house as a whole. Deliberately not here: tests of one room, which stand at the end of its files.

mod docs;
mod tidy;
