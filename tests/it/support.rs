//! What the tests share: waiting with a deadline, and asking a broker without a client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Waits until `condition` holds; fails the test if it does not within 30 s.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a Kafka answers at `bootstrap`: it is asked for the versions that it speaks, as any client's first question.
pub fn is_kafka(bootstrap: &str) -> bool {
    ask_api_versions(bootstrap).unwrap_or(false)
}

fn ask_api_versions(bootstrap: &str) -> std::io::Result<bool> {
    const CORRELATION: [u8; 4] = *b"ask?";
    let mut stream = TcpStream::connect(bootstrap)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    // Size; then ApiVersions (18), version 0, the correlation id, and no client id (-1).
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0])?;
    stream.write_all(&CORRELATION)?;
    stream.write_all(&[0xff, 0xff])?;
    // Size, correlation id, error code.
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    Ok(answer[4..8] == CORRELATION && answer[8..] == [0, 0])
}
