//! almanac as its users meet it: the binary, a real Kafka, real files. One test binary, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, helpers included")]

mod append;
mod bad_input;
mod broker;
mod crash;
mod debug;
mod durability;
mod group;
mod help;
mod kafka_away;
mod layers;
mod network;
mod owner;
mod pipeline;
mod placement;
mod plot;
mod proxy;
mod readme;
mod real_weather;
mod records;
mod recreation;
mod secure;
mod support;
mod up;
mod verify;
