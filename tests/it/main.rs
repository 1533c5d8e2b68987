//! Tests of the whole against the real things. One binary, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, helpers included")]

mod broker;
mod support;
