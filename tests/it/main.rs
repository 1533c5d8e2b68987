//! almanac as its users meet it: the binary, a real Kafka, real files. One test binary, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, helpers included")]

mod append;
mod bad_checkpoints;
mod bad_input;
mod broker;
mod compose;
mod crash;
mod crash_points;
mod dashboard;
mod dashboard_page;
mod debug;
mod durability;
mod fold;
mod fuzz;
mod group;
mod help;
mod hostile_batches;
mod instructions;
mod kafka_away;
mod kills;
mod layers;
mod licences;
mod limits;
mod log_faults;
mod metrics;
mod network;
mod owner;
mod pipeline;
mod placement;
mod plot;
mod producer_kills;
mod proxy;
mod raw_produce;
mod readme;
mod real_weather;
mod records;
mod recreation;
mod second_fold;
mod secure;
mod shell;
mod status;
mod support;
mod terminal;
mod up;
mod verify;
