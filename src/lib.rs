//! Daily weather reports through Apache Kafka into month-by-month statistics, counted exactly once.
//!
//! `ARCHITECTURE.md` is the map.

pub mod report;
pub mod source;
