//! almanac as its users meet it: the binary, a real Kafka, real files. One test binary, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, helpers included")]

mod broker;
mod pipeline;
mod real_weather;
mod secure;
mod support;
