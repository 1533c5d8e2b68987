//! A connection to one broker: requests out, responses in, one at a time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

const CONNECT_MAX: Duration = Duration::from_secs(1);
/// A longer response is not one to any request of almanac's.
const RESPONSE_BYTES_MAX: usize = 128 << 20;
const RESPONSE_BYTES_STEP: usize = 1 << 20;

/// A connection, with at most one request in flight.
pub(super) struct Link {
    stream: TcpStream,
    correlation: i32,
    /// Of the response that is due: its size and its bytes so far.
    response: Vec<u8>,
    filled: usize,
    /// When the request in flight was sent, or a part of its response last came.
    waiting_since: Option<Instant>,
}

/// A connection that is being made, by a thread: to a host that is away that takes a second.
pub(super) type Connecting = JoinHandle<io::Result<Link>>;

impl Link {
    pub(super) fn connect(address: &str) -> io::Result<Link> {
        let stream = connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Link { stream, correlation: 0, response: Vec::new(), filled: 0, waiting_since: None })
    }

    pub(super) fn start_connecting(address: &str) -> io::Result<Connecting> {
        let address = address.to_owned();
        thread::Builder::new().spawn(move || Link::connect(&address))
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
            if end > RESPONSE_BYTES_MAX {
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
            let left = timeout.saturating_sub(self.silence());
            if left.is_zero() {
                let reason = format!("no response within {:.1} s", timeout.as_secs_f32());
                return Err(io::Error::new(ErrorKind::TimedOut, reason));
            }
            wait_for_any([&*self], left)?;
        }
        Ok(self.response())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until a response, or a part of one, is there on any of these connections.
pub(super) fn wait_for_any<'a>(
    links: impl IntoIterator<Item = &'a Link>,
    patience: Duration,
) -> io::Result<()> {
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    let mut awaited: Vec<PollFd> =
        links.into_iter().map(|link| PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN)).collect();
    match poll(&mut awaited, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    const KAFKAS_PORT: u16 = 9092;
    let address = address.strip_prefix("PLAINTEXT://").unwrap_or(address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_err(|_| io::Error::from(ErrorKind::InvalidInput))?)
        }
        _ => (address, KAFKAS_PORT),
    };
    let mut failure = io::Error::new(ErrorKind::NotFound, "the host name has no address");
    for address in (host.trim_matches(['[', ']']), port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
