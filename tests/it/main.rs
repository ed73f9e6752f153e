//! All tests that cross rooms, in one binary: one link, one process, tests side by side.
//!
//! Guards: the house as a whole. Deliberately not here: tests of one room, which stand at the end of its files.

mod address_corpus;
mod budget_crash;
mod cli_reading;
mod config_check;
mod config_example;
mod config_formats;
mod crash;
mod delivery_filters;
mod delivery_flow;
mod delivery_formats;
mod delivery_harness;
mod delivery_outage;
mod delivery_receivers;
mod delivery_replay;
mod delivery_rotation;
mod dingtalk_fake;
mod dingtalk_hostile;
mod dingtalk_secrets;
mod dingtalk_token;
mod docs;
mod flow;
mod harness;
mod house;
mod isolation;
mod recipes;
mod reload;
mod schemas;
mod simulator_api;
mod simulator_cli;
mod simulator_faults;
mod simulator_receiver;
mod standard_webhooks;
mod store_fixture;
mod store_open;
mod store_recording;
mod store_views;
mod store_writer;
mod tidy;
mod user_find;
mod verdicts;
mod web_api;
mod webhook_cli;
mod webhook_operator;
