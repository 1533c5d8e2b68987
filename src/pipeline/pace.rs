use std::time::{Duration, Instant};

/// One part in this many of the time goes into checkpoints while records wait,
const SHARE_BUSY: u32 = 20;
/// and while none do, and a checkpoint holds nothing up.
const SHARE_IDLE: u32 = 4;

/// Bytes a second that checkpoints write on average: 10 GB a day, which the disk of a laptop bears for many years. Files with
/// a hundred years are written about once a second then, and not ten times.
const BYTES_PER_SECOND: f64 = 120_000.0;

/// A consumer that has written less may write so many bytes more before the limit applies.
const BYTES_AHEAD_MAX: f64 = 32.0 * 1024.0 * 1024.0;
/// So much of that is kept for the moment when all records have been read, and a checkpoint is waited for.
const BYTES_KEPT: f64 = BYTES_AHEAD_MAX / 2.0;

/// A file takes whole blocks of a disk, and one for the directory that names it.
const BLOCK: u64 = 4096;

/// The longest time without a checkpoint, whatever they cost: well below what counts as a stall.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The time for requests counts as work up to here; the rest was waiting for the brokers.
const ASKING_MAX: Duration = Duration::from_millis(10);

/// The time from checkpoint to checkpoint in an object store. docs/OBJECT-STORE.md has what that costs.
const REQUESTS_EVERY: Duration = Duration::from_secs(5);

/// When the next checkpoint is due: at once, as long as checkpoints take a small share of the time and of the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    every: Option<Duration>,
    /// The shortest time from one to the next, unless `every` says another.
    wait_min: Duration,
    wait_max: Duration,
    is_busy: bool,
    /// When a checkpoint came early, as all records had been read.
    early: Option<Instant>,
    /// Since when, and for how long there is none: as long as records wait, and when none do.
    since: Instant,
    wait: (Duration, Duration),
    /// Bytes that may be written at once, as of then; below 0: those written too early.
    ahead: (f64, Instant),
}

impl Pace {
    /// `every`: a fixed pace. `stall_after`: how long there may be none.
    pub(super) fn new(every: Option<Duration>, stall_after: Duration, now: Instant) -> Self {
        Pace {
            every,
            wait_min: Duration::ZERO,
            wait_max: WAIT_MAX.min(stall_after * 2 / 3),
            is_busy: false,
            early: None,
            since: now,
            wait: (every.unwrap_or_default(), every.unwrap_or_default()),
            ahead: (BYTES_AHEAD_MAX, now),
        }
    }

    /// The same of a store that has a price for each request.
    pub(super) fn with_requests(self) -> Pace {
        Pace { wait_min: REQUESTS_EVERY, ..self }
    }

    /// Whether there are more records than come of themselves. When the last of many has been read, a checkpoint is waited
    /// for: it need not wait for the price of requests, unless that was so a moment ago.
    pub(super) fn set_busy(&mut self, is_busy: bool, now: Instant) {
        let was_busy = std::mem::replace(&mut self.is_busy, is_busy);
        let may_be_early =
            self.early.is_none_or(|early| now.saturating_duration_since(early) >= self.wait_min);
        if was_busy && !is_busy && self.every.is_none() && !self.wait_min.is_zero() && may_be_early {
            self.early = Some(now);
            self.wait.1 = Duration::ZERO;
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.until_due(now).is_zero()
    }

    pub(super) fn until_due(&self, now: Instant) -> Duration {
        let (busy, idle) = self.wait;
        let wait = if self.is_busy { busy } else { idle };
        wait.saturating_sub(now.saturating_duration_since(self.since))
    }

    /// There could be no checkpoint.
    pub(super) fn put_off(&mut self, now: Instant, time: Duration) {
        self.since = now;
        self.wait = (time, time);
    }

    /// Checkpoints were written, of so many bytes each.
    pub(super) fn wrote(&mut self, now: Instant, asking: Duration, writing: Duration, files: &[u64]) {
        let bytes: u64 = files.iter().map(|bytes| bytes.next_multiple_of(BLOCK) + BLOCK).sum();
        let (ahead, counted) = self.ahead;
        let saved = (now - counted).as_secs_f64() * BYTES_PER_SECOND;
        // More than the longest wait makes up for is forgiven.
        let owed_max = self.wait_max.as_secs_f64() * BYTES_PER_SECOND;
        let ahead = ((ahead + saved).min(BYTES_AHEAD_MAX) - bytes as f64).max(-owed_max);
        self.ahead = (ahead, now);
        let cost = asking.min(ASKING_MAX) + writing;
        let wait = |share: u32, kept: f64| {
            let for_disk = Duration::from_secs_f64((kept - ahead).max(0.0) / BYTES_PER_SECOND);
            (cost * (share - 1)).max(for_disk).min(self.wait_max).max(self.wait_min)
        };
        self.wait = match self.every {
            Some(every) => (every, every),
            None => (wait(SHARE_BUSY, BYTES_KEPT), wait(SHARE_IDLE, 0.0)),
        };
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL_AFTER: Duration = Duration::from_secs(30);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn checkpoints_take_a_twentieth_of_the_time_that_records_need() {
        let start = Instant::now();
        let mut pace = Pace::new(None, STALL_AFTER, start);
        pace.set_busy(true, start);
        assert!(pace.is_due(start), "the first one is due at once");
        pace.wrote(start, MS, 9 * MS, &[1000]);
        assert!(!pace.is_due(start + 189 * MS));
        assert!(pace.is_due(start + 190 * MS));
    }

    #[test]
    fn checkpoints_take_a_quarter_of_idle_time() {
        let start = Instant::now();
        let mut pace = Pace::new(None, STALL_AFTER, start);
        pace.set_busy(true, start);
        pace.wrote(start, MS, 9 * MS, &[1000]);
        pace.set_busy(false, start);
        assert!(!pace.is_due(start + 29 * MS));
        assert!(pace.is_due(start + 30 * MS));
    }

    #[test]
    fn the_end_of_many_records_is_shown_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(None, STALL_AFTER, start).with_requests();
        let caught_up = |pace: &mut Pace, at: Instant| {
            pace.set_busy(true, at);
            pace.wrote(at, MS, 9 * MS, &[1000]);
            pace.set_busy(false, at);
            pace.until_due(at)
        };
        assert_eq!(caught_up(&mut pace, start), Duration::ZERO);
        assert_eq!(caught_up(&mut pace, start + 100 * MS), REQUESTS_EVERY);
        assert_eq!(caught_up(&mut pace, start + REQUESTS_EVERY), Duration::ZERO);
    }

    #[test]
    fn waiting_for_an_answer_is_not_work() {
        let start = Instant::now();
        let mut pace = Pace::new(None, STALL_AFTER, start);
        pace.wrote(start, 3000 * MS, 10 * MS, &[1000]);
        assert_eq!(pace.until_due(start), 60 * MS);
        pace.put_off(start, 2000 * MS);
        assert_eq!(pace.until_due(start), 2000 * MS);
    }

    #[test]
    fn there_is_a_checkpoint_before_it_is_a_stall() {
        let start = Instant::now();
        for (stall_after, wait_max) in [(STALL_AFTER, 20_000), (6000 * MS, 4000)] {
            let mut pace = Pace::new(None, stall_after, start);
            pace.wrote(start, MS, 9000 * MS, &[1000]);
            assert_eq!(pace.until_due(start), wait_max * MS);
            let mut pace = Pace::new(None, stall_after, start);
            pace.wrote(start, MS, MS, &[1 << 40]);
            assert_eq!(pace.until_due(start), wait_max * MS);
            // And it is over when that time is over.
            pace.wrote(start + wait_max * MS, Duration::ZERO, Duration::ZERO, &[1000]);
            assert!(pace.until_due(start + wait_max * MS) < 100 * MS);
        }
    }

    /// Ten reports a second from the first day on: a day of that are 2366 years.
    #[test]
    fn the_first_day_of_a_fast_stream_is_borne_by_a_disk() {
        const DAY: Duration = Duration::from_secs(86_400);
        const BYTES_OF_A_YEAR: f64 = 12.0 * 148.0;
        let start = Instant::now();
        let mut pace = Pace::new(None, STALL_AFTER, start);
        let (mut now, mut before, mut written) = (start, start, 0.0);
        while now < start + DAY {
            now += 100 * MS;
            if !pace.is_due(now) {
                continue;
            }
            // A month takes 3 s, and each partition has some.
            let files = ((now - before).as_secs_f64() / 3.0).ceil().min(4.0);
            let days = (now - start).as_secs_f64() * 10.0;
            let bytes = days / 365.25 * BYTES_OF_A_YEAR / 4.0;
            let on_disk = (bytes / 4096.0).ceil() * 4096.0 + 4096.0;
            written += files * on_disk;
            pace.wrote(now, MS, 5 * MS, &vec![bytes as u64; files as usize]);
            assert!(now - before <= 21_000 * MS);
            before = now;
        }
        assert!(written < 16e9, "{written} bytes");
    }

    #[test]
    fn a_long_replay_leaves_room_for_the_checkpoint_at_its_end() {
        let start = Instant::now();
        let mut pace = Pace::new(None, STALL_AFTER, start);
        pace.set_busy(true, start);
        let mut now = start;
        let mut checkpoints = 0;
        while now < start + 30_000 * MS {
            now += MS;
            if pace.is_due(now) {
                checkpoints += 1;
                pace.wrote(now, MS, 20 * MS, &[2_000_000; 4]);
            }
        }
        assert!((3..6).contains(&checkpoints), "{checkpoints}");
        pace.set_busy(false, start);
        assert!(pace.until_due(now) <= 63 * MS, "{:?}", pace.until_due(now));
    }

    #[test]
    fn requests_that_have_a_price_are_seconds_apart() {
        let start = Instant::now();
        let mut pace = Pace::new(None, STALL_AFTER, start).with_requests();
        assert!(pace.is_due(start), "the first one is due at once");
        pace.wrote(start, MS, MS, &[1000]);
        assert_eq!(pace.until_due(start), REQUESTS_EVERY);
        let mut pace = Pace::new(Some(MS), STALL_AFTER, start).with_requests();
        pace.wrote(start, MS, MS, &[1000]);
        assert_eq!(pace.until_due(start), MS, "the user says so");
    }

    #[test]
    fn a_fixed_pace_does_not_depend_on_the_cost() {
        let start = Instant::now();
        let every = Duration::from_secs(5);
        let mut pace = Pace::new(Some(every), STALL_AFTER, start);
        assert!(!pace.is_due(start));
        pace.wrote(start, MS, 900 * MS, &[1 << 40]);
        assert_eq!(pace.until_due(start), every);
    }
}
