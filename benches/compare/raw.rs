//! The bytes of the log by a bare socket, looked at by nobody: what Kafka and the loopback can give.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use almanac::kafka::wire::{self, Limits, Wanted};

const CLIENT: &str = "raw";
/// As in a replay.
const LIMITS: Limits = Limits { wait_ms: 5, min_bytes: 1, bytes: 4 << 20, partition_bytes: 1 << 20 };

/// Reads the topic twice. The first time only tells which offsets to ask for; the second time answers are thrown away as
/// they come, each asked for before the one before it has come. Prints the records up to which each answer goes.
pub fn read(brokers: &str, topic: &str, partitions: i32) -> Result<()> {
    let mut stream = TcpStream::connect(brokers)?;
    stream.set_nodelay(true)?;
    let mut answer = vec![0; 128 << 20];
    stream.write_all(&wire::metadata_request(0, CLIENT, topic))?;
    let size = receive(&mut stream, &mut answer)?;
    let metadata = wire::metadata(&answer[..size], 0)?;
    let topic = metadata.topic.map_err(|code| anyhow!("Kafka's error code {code}"))?;
    let mut wanted: Vec<Wanted> = topic
        .partitions
        .iter()
        .map(|leader| Wanted {
            partition: leader.partition,
            next_offset: 0,
            leader_epoch: leader.leader_epoch,
            last_epoch: None,
        })
        .collect();
    ensure!(wanted.len() == usize::try_from(partitions)?, "a partition has no leader");

    let mut requests: Vec<(Vec<u8>, u64)> = Vec::new();
    loop {
        let number = i32::try_from(requests.len())?;
        let request = wire::fetch_request(wire::FETCH_VERSION, number, CLIENT, &topic.id, LIMITS, &wanted);
        stream.write_all(&request)?;
        let size = receive(&mut stream, &mut answer)?;
        let mut is_over = true;
        for fetched in wire::fetched(&answer[..size], number, &topic.id)? {
            let of = wanted.iter_mut().find(|wanted| wanted.partition == fetched.partition);
            let of = of.context("of a partition that was not asked for")?;
            for batch in fetched.batches {
                of.next_offset = batch?.next_offset();
            }
            is_over &= of.next_offset >= fetched.high_watermark;
        }
        let passed: i64 = wanted.iter().map(|wanted| wanted.next_offset).sum();
        requests.push((request, u64::try_from(passed)?));
        // A partition that was served goes to the end, as in the consumer, so that each has its turn.
        wanted.sort_by_key(|wanted| wanted.next_offset);
        if is_over {
            break;
        }
    }

    let mut stdout = std::io::stdout();
    let mut told = Instant::now();
    let mut ahead = requests.iter();
    for (request, _) in ahead.by_ref().take(1) {
        stream.write_all(request)?;
    }
    for (index, (_, passed)) in requests.iter().enumerate() {
        if let Some((request, _)) = ahead.next() {
            stream.write_all(request)?;
        }
        receive(&mut stream, &mut answer)?;
        if index == 0 || index + 1 == requests.len() || told.elapsed() >= Duration::from_millis(100) {
            told = Instant::now();
            writeln!(stdout, "{passed}")?;
        }
    }
    Ok(())
}

/// Reads one answer, without its size.
fn receive(stream: &mut TcpStream, answer: &mut [u8]) -> Result<usize> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = usize::try_from(u32::from_be_bytes(size))?;
    let into = answer.get_mut(..size).context("an answer too large")?;
    stream.read_exact(into)?;
    Ok(size)
}
