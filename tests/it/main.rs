//! Tests that cross rooms, in one binary.

mod delivery_flow;
mod delivery_harness;
mod delivery_receivers;
