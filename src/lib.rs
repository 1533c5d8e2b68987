//! Daily weather reports through Apache Kafka into month-by-month statistics, counted exactly once.
//!
//! `ARCHITECTURE.md` is the map.

pub use almanac_core::{
    arguments, checkpoint, choice, climate, excerpt, failure, metrics, plot, report, schedule, stats, text,
};

pub mod broker;
pub mod cli;
pub mod commands;
pub mod dashboard;
pub mod debug;
pub mod feed;
pub mod kafka;
pub mod limits;
pub mod lock;
pub mod logging;
pub mod output;
mod parallel;
pub mod pipeline;
pub mod producer;
pub mod source;
pub mod status;
pub mod stop;
pub mod store;
pub mod verify;
pub mod view;
