//! A connection to one broker: requests out, responses in, one at a time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::access::AccessError;
use super::tls::TlsStream;
use super::wait::wait_for_any;

/// A longer response is not one to any request of almanac's.
const RESPONSE_BYTES_MAX: usize = 128 << 20;
/// The same before the broker and the client know each other.
const GREETING_BYTES_MAX: usize = 64 << 10;
const RESPONSE_BYTES_STEP: usize = 1 << 20;
/// The first two bytes of an alert of TLS.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// A connection, with at most one request in flight.
pub(super) struct Link {
    stream: Stream,
    correlation: i32,
    /// Of the response that is due: its size and its bytes so far.
    response: Vec<u8>,
    filled: usize,
    response_max: usize,
    /// When the request in flight was sent, or a part of its response last came.
    waiting_since: Option<Instant>,
    /// When another connection should take over, as the broker ends this one some time later.
    renewal: Option<Instant>,
}

/// The channel of the bytes.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Link {
    /// A link to a broker that does not know the client yet, on a connection that does not block.
    pub(super) fn new(stream: Stream) -> Link {
        Link {
            stream,
            correlation: 0,
            response: Vec::new(),
            filled: 0,
            response_max: GREETING_BYTES_MAX,
            waiting_since: None,
            renewal: None,
        }
    }

    /// Notes that the broker and the client know each other, and when another connection should take over.
    pub(super) fn set_known(&mut self, renewal: Option<Instant>) {
        self.renewal = renewal;
        self.response_max = RESPONSE_BYTES_MAX;
    }

    /// Whether another connection should take over.
    pub(super) fn is_to_be_renewed(&self) -> bool {
        self.renewal.is_some_and(|renewal| renewal <= Instant::now())
    }

    /// The number of the next request.
    pub(super) fn next_correlation(&mut self) -> i32 {
        self.correlation = self.correlation.wrapping_add(1);
        self.correlation
    }

    /// The number of the request in flight.
    pub(super) fn correlation(&self) -> i32 {
        self.correlation
    }

    pub(super) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        // So short that the connection has room for it, or is not worth waiting for.
        self.stream.write_all(request)?;
        (self.filled, self.waiting_since) = (0, Some(Instant::now()));
        Ok(())
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// For how long nothing has come of the response that is due.
    pub(super) fn silence(&self) -> Duration {
        self.waiting_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Reads what there is of the response. Says whether that is all of it.
    pub(super) fn receive(&mut self) -> io::Result<bool> {
        loop {
            let end = match self.response.get(..self.filled).and_then(|response| response.first_chunk()) {
                None => 4,
                Some(size) => 4 + u32::from_be_bytes(*size) as usize,
            };
            if end > self.response_max {
                if self.response.starts_with(&TLS_ALERT) {
                    return Err(AccessError::OnlyTls.into());
                }
                return Err(io::Error::new(ErrorKind::InvalidData, "a response is too large"));
            }
            if self.filled >= 4 && self.filled == end {
                self.waiting_since = None;
                return Ok(true);
            }
            // No room is made for a size that may be anything; what comes is.
            let end = end.min(self.filled + RESPONSE_BYTES_STEP);
            if self.response.len() < end {
                self.response.resize(end, 0);
            }
            match self.stream.read(&mut self.response[self.filled..end]) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection"));
                }
                Ok(count) => {
                    self.filled += count;
                    self.waiting_since = Some(Instant::now());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The response that [`Link::receive`] has found complete, after its size.
    pub(super) fn response(&self) -> &[u8] {
        self.response.get(4..self.filled).unwrap_or_default()
    }

    /// The same, in exchange for a buffer for the next one.
    pub(super) fn swap_response(&mut self, buffer: &mut Vec<u8>) -> usize {
        std::mem::swap(&mut self.response, buffer);
        std::mem::take(&mut self.filled)
    }

    /// Sends a request and waits for its response, which must begin within `timeout` and not pause for longer.
    pub(super) fn exchange(&mut self, request: &[u8], timeout: Duration) -> io::Result<&[u8]> {
        self.send(request)?;
        while !self.receive()? {
            self.wait(timeout.saturating_sub(self.silence()), timeout)?;
        }
        Ok(self.response())
    }

    /// The same with a response that must be complete by `deadline`.
    pub(super) fn exchange_until(&mut self, request: &[u8], deadline: Instant) -> io::Result<&[u8]> {
        self.send(request)?;
        let timeout = deadline.saturating_duration_since(Instant::now());
        while !self.receive()? {
            self.wait(deadline.saturating_duration_since(Instant::now()), timeout)?;
        }
        Ok(self.response())
    }

    /// Waits for a part of the response; an error if nothing is left of `timeout`.
    fn wait(&self, left: Duration, timeout: Duration) -> io::Result<()> {
        if left.is_zero() {
            let reason = format!("no response within {:.1} s", timeout.as_secs_f32());
            return Err(io::Error::new(ErrorKind::TimedOut, reason));
        }
        wait_for_any([self], left)
    }
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.socket(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.socket().as_fd()
    }
}
