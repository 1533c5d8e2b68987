//! Waiting for sockets.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits until there is something to read on any of these.
pub(super) fn wait_for_any<'a, S: AsFd + 'a>(
    sockets: impl IntoIterator<Item = &'a S>,
    patience: Duration,
) -> io::Result<()> {
    wait(
        &mut sockets.into_iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect::<Vec<_>>(),
        patience,
    )
}

/// Waits until there is room to write.
pub(super) fn wait_for_room(socket: &impl AsFd, patience: Duration) -> io::Result<()> {
    wait(&mut [PollFd::new(socket, PollFlags::OUT)], patience)
}

fn wait(awaited: &mut [PollFd], patience: Duration) -> io::Result<()> {
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    match poll(awaited, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
