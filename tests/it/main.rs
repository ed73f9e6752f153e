//! What crosses rooms, or needs real sockets and files, in one binary: one link, one start.
//!
//! Guards: no test here sleeps, retries or depends on another. Deliberately not here: rules of one room, which are
//! tested in their own files.

mod cli_reading;
mod dingtalk_fake;
mod dingtalk_hostile;
mod dingtalk_token;
mod store_fixture;
mod store_open;
mod store_recording;
mod store_views;
mod store_writer;
mod web_api;
