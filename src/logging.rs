//! The output on stderr: notes, which are for everybody, and the log.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, Layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::{Format, Logging};
use crate::text::{escaped, escaped_json, escaped_lines};

/// The target of the notes that a command prints about its work unless `--quiet` is given.
pub const NOTE: &str = "note";

/// Says something of a command's work on stderr, unless `--quiet`.
#[macro_export]
macro_rules! note {
    ($($text:tt)+) => { tracing::info!(target: $crate::logging::NOTE, $($text)+) };
}

/// Whether the terminal's last line is that of a progress bar.
static HAS_BAR: AtomicBool = AtomicBool::new(false);

/// While there is a bar on the terminal, each line of the log takes its place, and it comes again below.
pub fn set_bar(is_there: bool) {
    HAS_BAR.store(is_there, Ordering::Relaxed);
}

/// Whether the lines of this terminal are this process's to draw on. In the background (`&`, or Ctrl-Z and `bg`) they are
/// the shell's. That can change at any time.
pub fn is_in_foreground(terminal: impl AsFd) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

fn is_in_background(terminal: impl AsFd) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group != rustix::process::getpgrp())
}

/// Sends what is logged from here on to stderr.
pub fn start(logging: &Logging) {
    let level = match (logging.quiet, logging.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let notes = if logging.quiet { LevelFilter::ERROR } else { level.max(LevelFilter::INFO) };
    let targets = Targets::new().with_target("almanac", level).with_target(NOTE, notes);
    let registry = tracing_subscriber::registry().with(targets);
    match logging.log_format {
        Format::Json => {
            registry.with(Layer::new().json().flatten_event(true).with_writer(|| EscapedJson)).init()
        }
        Format::Text => {
            let format = Text { has_time: logging.verbose > 0, has_colour: has_colour(&io::stderr()) };
            registry
                .with(Layer::new().with_ansi(format.has_colour).event_format(format).with_writer(io::stderr))
                .init();
        }
    }
}

/// Whether what is written there may be coloured.
pub fn has_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `almanac: warning: what happened`, as command line tools say it; with the time when more is asked for.
struct Text {
    has_time: bool,
    has_colour: bool,
}

/// The hint of an event comes last, on a line of its own.
#[derive(Default)]
struct Fields {
    text: String,
    hint: Option<String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "hint" => self.hint = Some(value.to_owned()),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text += &match field.name() {
            "message" => format!("{value:?}"),
            name => format!(" {name}={value:?}"),
        };
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if HAS_BAR.load(Ordering::Relaxed) && !is_in_background(io::stderr()) {
            writer.write_str("\r\x1b[K")?;
        }
        if self.has_time {
            SystemTime.format_time(&mut writer)?;
            writer.write_char(' ')?;
        }
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("error: ", "31"),
            Level::WARN => ("warning: ", "33"),
            Level::INFO if event.metadata().target() == NOTE => ("", "0"),
            Level::INFO => ("info: ", "32"),
            Level::DEBUG => ("debug: ", "34"),
            Level::TRACE => ("trace: ", "35"),
        };
        match self.has_colour && !name.is_empty() {
            true => write!(writer, "almanac: \x1b[{colour}m{name}\x1b[0m")?,
            false => write!(writer, "almanac: {name}")?,
        }
        // Text from a broker or a file must not reach the terminal as an order. All colours are above.
        let mut fields = Fields::default();
        event.record(&mut fields);
        let text = escaped_lines(fields.text.trim_start());
        match self.has_colour && event.metadata().target() == NOTE {
            true => writeln!(writer, "{}", with_links(&text))?,
            false => writeln!(writer, "{text}")?,
        }
        fields.hint.map_or(Ok(()), |hint| writeln!(writer, "hint: {}", escaped(&hint)))
    }
}

/// The text with its addresses of pages in cyan.
fn with_links(text: &str) -> String {
    let words = text.split_inclusive(' ').map(|word| match word.trim_end() {
        link if link.starts_with("http://") => format!("\x1b[36m{link}\x1b[0m{}", &word[link.len()..]),
        _ => word.to_owned(),
    });
    words.collect()
}

/// Lines of JSON to stderr, which may be a terminal.
struct EscapedJson;

impl Write for EscapedJson {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().write_all(escaped_json(&text).as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn addresses_of_pages_are_coloured() {
        for (text, expected) in [
            ("no link", "no link"),
            ("at http://a:1/", "at \x1b[36mhttp://a:1/\x1b[0m"),
            ("http://a:1/ and on", "\x1b[36mhttp://a:1/\x1b[0m and on"),
        ] {
            assert_eq!(with_links(text), expected);
        }
    }

    #[test]
    fn a_line_takes_the_place_of_a_bar() {
        let lines = Lines::default();
        let writer = lines.clone();
        let format = Text { has_time: false, has_colour: false };
        let layer = Layer::new().with_ansi(false).event_format(format).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!("it rains");
            set_bar(true);
            tracing::warn!("it pours");
            set_bar(false);
            tracing::warn!(owner = "\x1b]0;x\x07", hint = "b\r", "{}", "a\x1b[2J\r\u{9b}31m\nc");
            tracing::warn!(hint = None::<String>, "no hint");
        });
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            lines,
            "almanac: warning: it rains\n\r\x1b[Kalmanac: warning: it pours\n\
             almanac: warning: a\\u{1b}[2J\\u{d}\\u{9b}31m\nc owner=\"\\u{1b}]0;x\\u{7}\"\nhint: b\\u{d}\n\
             almanac: warning: no hint\n"
        );
    }
}
