//! Reports sent as fast as it goes: by almanac, by Kafka's own performance tool, and by peers.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::figures::{Spread, rate, table, target, three_digits};
use crate::kafka::{ANSWER_MAX, Kafka, PARTITIONS};
use crate::process::{Cores, Running};

/// The senders, and how many records each sends: so many that the start of the process counts for little.
const SENDERS: [(&str, u64); 4] = [
    (ALMANAC, 5_000_000),
    (PERFORMANCE, 5_000_000),
    ("confluent-kafka", 1_000_000),
    ("kafka-python", 100_000),
];
const ALMANAC: &str = "almanac producer";
/// `org.apache.kafka.tools.ProducerPerformance`, run as a peer is.
const PERFORMANCE: &str = "kafka-producer-performance";
/// As long as a report and its key are on average; the tool sends no keys, and picks no months.
const RECORD_BYTES: &str = "27";

struct Measured {
    rate: f64,
    cpu: f64,
}

pub fn compare(kafka: &Kafka, options: &Options) -> Result<()> {
    Cores::Pinned.hold_broker(kafka.pid)?;
    let is_wanted = |name: &str| name == ALMANAC || name == PERFORMANCE || options.has_peer(name);
    let senders: Vec<_> = SENDERS.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    let mut rows: Vec<Vec<Measured>> = senders.iter().map(|_| Vec::new()).collect();
    for round in 0..options.rounds {
        for turn in 0..senders.len() {
            let index = (round + turn) % senders.len();
            let (name, records) = senders[index];
            let measured = send(kafka, name, records).with_context(|| name.to_owned())?;
            eprintln!("round {}: {name}: {}/s", round + 1, rate(measured.rate));
            rows[index].push(measured);
        }
    }
    Cores::Any.hold_broker(kafka.pid)?;

    println!("## Sending\n");
    println!("Kafka on one core, the sender on the other; from the start of the process to its end.\n");
    let ratio =
        |other: &[Measured]| Spread::of(rows[0].iter().zip(other).map(|(a, b)| a.rate / b.rate)).median;
    let cells = senders.iter().zip(&rows).map(|((name, records), all)| {
        vec![
            (*name).to_owned(),
            three_digits(ratio(all)),
            Spread::of(all.iter().map(|m| m.rate)).show(rate),
            Spread::of(all.iter().map(|m| m.cpu)).show(three_digits),
            rate(*records as f64),
        ]
    });
    table(
        &["", "almanac's rate is … times this", "records/s", "CPU s per million", "records"],
        &cells.collect::<Vec<_>>(),
    );
    target("producer compared with ProducerPerformance", ratio(&rows[1]), ">=", 1.0, " ×");
    println!();
    Ok(())
}

fn send(kafka: &Kafka, name: &str, records: u64) -> Result<Measured> {
    const TOPIC: &str = "sent";
    let admin = kafka.admin()?;
    let count = records.to_string();
    let mut command = match name {
        // It makes the topic itself, which is part of its job, and deletes what the one before has sent.
        // There are 3.6 million days until 9999, so half of the records are repeats.
        ALMANAC => {
            let days = (records / 2).to_string();
            let arguments = ["producer", "--interval", "0", "--duplicates", "1", "--days", &days];
            kafka.almanac(Cores::Pinned, TOPIC, &arguments)
        }
        _ => {
            admin.delete(TOPIC, ANSWER_MAX)?;
            while admin.describe(TOPIC, ANSWER_MAX)?.is_some() {}
            while !admin.create(TOPIC, PARTITIONS, 1, ANSWER_MAX)? {}
            while admin.describe(TOPIC, ANSWER_MAX)?.is_none() {}
            let mut command = Cores::Pinned.client(crate::peers_dir().join("run"));
            command.args([
                name,
                "produce",
                "--brokers",
                &kafka.brokers,
                "--topic",
                TOPIC,
                "--records",
                &count,
            ]);
            if name == PERFORMANCE {
                command.args(["--record-bytes", RECORD_BYTES]);
            }
            command
        }
    };
    let mut sender = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
    let (status, cpu) = sender.finish()?;
    let seconds = sender.started.elapsed().as_secs_f64();
    ensure!(status.success(), "it failed: {status}");
    let there = kafka.records(TOPIC)?;
    ensure!(there == records, "{there} of {records} records are there");
    Ok(Measured { rate: records as f64 / seconds, cpu: cpu / (records as f64 / 1e6) })
}
