//! All tests that cross rooms, in one binary: one link, one process, tests side by side.
//!
//! Guards: the house as a whole. Deliberately not here: tests of one room, which stand at the end of its files.

mod cli_reading;
mod config_check;
mod config_example;
mod crash;
mod delivery_flow;
mod delivery_harness;
mod delivery_receivers;
mod dingtalk_fake;
mod dingtalk_hostile;
mod dingtalk_token;
mod docs;
mod errors_doc;
mod flow;
mod harness;
mod operate;
mod reload;
mod simulator_api;
mod simulator_cli;
mod simulator_faults;
mod simulator_receiver;
mod store_fixture;
mod store_open;
mod store_recording;
mod store_views;
mod store_writer;
mod tidy;
mod web_api;
