//! The pure middle of almanac: bytes in, values out. No IO, no clock, no C; `clippy.toml` lists what it may not call.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod checkpoint;
pub mod choice;
pub mod climate;
pub mod excerpt;
pub mod failure;
pub mod head;
pub mod log;
pub mod metrics;
pub mod owner;
pub mod place;
pub mod plot;
pub mod protocol;
pub mod rejected;
pub mod report;
pub mod schedule;
pub mod source;
pub mod split;
pub mod stats;
pub mod status;
pub mod text;
pub mod view;
