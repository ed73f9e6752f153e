//! What crosses rooms, in one binary: linking once is most of the cost of a test.

mod delivery_flow;
mod delivery_harness;
mod delivery_receivers;
mod store_fixture;
mod store_open;
mod store_recording;
mod store_views;
mod store_writer;
