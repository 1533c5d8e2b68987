//! almanac as its users meet it: the binary, a real Kafka, real files. One test binary, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, helpers included")]

mod append;
mod broker;
mod crash;
mod group;
mod kafka_away;
mod pipeline;
mod readme;
mod real_weather;
mod records;
mod recreation;
mod support;
