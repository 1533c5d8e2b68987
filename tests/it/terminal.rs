//! Output for a terminal only: bars, colours, a table that is drawn over itself.

use std::fmt::Write;
use std::fs;

use rustix::process::Signal;

use crate::support::{Almanac, Place, eventually, free_address, kafka};

/// Runs its arguments on a terminal of 30 lines and 100 columns, and types Ctrl-C there when it gets a SIGTERM.
const TERMINAL: &str = "
import fcntl, os, pty, signal, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
signal.signal(signal.SIGTERM, lambda *_: os.write(terminal, b'\\x03'))
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

fn on_terminal(place: &Place, arguments: &[&str]) -> Almanac {
    let almanac = place.almanac_under(&["python3", "-c", TERMINAL], arguments);
    almanac.env("TERM", "xterm-256color").env("NO_COLOR", "")
}

/// Is a shell on a terminal. It starts its arguments in the background, as with `&`. At each SIGUSR1 it brings them
/// to the foreground. At each SIGUSR2 it stops them, writes a prompt, and continues them in the background.
const SHELL: &str = "
import fcntl, os, pty, signal, struct, sys, termios
told = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, told)
pid, terminal = pty.fork()
if pid == 0:
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, told)
        os.execvp(sys.argv[1], sys.argv[1:])
    while True:
        what = signal.sigwait(told)
        if what == signal.SIGUSR1:
            os.tcsetpgrp(0, job)
        elif what == signal.SIGUSR2:
            os.kill(job, signal.SIGSTOP)
            os.waitpid(job, os.WUNTRACED)
            os.tcsetpgrp(0, os.getpgrp())
            os.write(1, b'prompt>')
            os.kill(job, signal.SIGCONT)
        else:
            os.kill(job, signal.SIGTERM)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
for signal_number in told:
    signal.signal(signal_number, lambda number, _: os.kill(pid, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, told)
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

#[test]
fn a_line_is_drawn_in_the_foreground_only() {
    let place = Place::new();
    // More than is sent in all this time.
    let arguments = ["producer", "--interval", "3ms", "--days", "900000"];
    let start = |arguments| {
        let almanac = place.almanac_under(&["python3", "-c", SHELL], arguments);
        almanac.env("TERM", "xterm-256color").start()
    };
    let mut producer = start(&arguments);
    let mut consumer = start(&["consumer", "0", "1", "2", "3"]);
    let shells = [(&producer, " of 900,000 days  "), (&consumer, " records  ")];
    let more_is_counted = || {
        let before = place.passed("files");
        // As many as take some looks at how far it is.
        eventually("the consumer counts", || place.passed("files") > before + 300);
    };
    more_is_counted();
    for (shell, line) in shells {
        assert!(!shell.stdout().contains(line), "nothing is drawn in the background: {:?}", shell.stdout());
    }
    for round in 1..=2 {
        for (shell, line) in shells {
            let shown = shell.stdout().len();
            shell.signal(Signal::USR1);
            eventually("a line is drawn", || shell.stdout()[shown..].contains(line));
            shell.signal(Signal::USR2);
            eventually("there is a prompt", || shell.stdout().matches("prompt>").count() == round);
        }
        more_is_counted();
        for (shell, _) in shells {
            assert!(shell.stdout().ends_with("prompt>"), "{:?}", shell.stdout());
        }
    }
    for (shell, said) in [(&mut producer, "almanac: sent "), (&mut consumer, "")] {
        let ended = shell.terminate();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let last = ended.stdout.rsplit("prompt>").next().unwrap();
        assert!(last.starts_with(said) || last.contains("malmanac: sent "), "{last:?}");
        assert!(!last.contains('\r') || last.ends_with("\r\n"), "{last:?}");
    }
}

const BAR: char = '━';

/// Whether a bar was shown that says how far of `total`, how fast, and for how long still.
#[track_caller]
fn has_bar(shown: &str, total: &str) -> bool {
    let is_bar = |part: &str| part.contains(total) && part.contains("/s  ") && part.contains("s left");
    shown.contains(BAR) && shown.split('\r').any(is_bar)
}

#[test]
fn a_producer_shows_how_far_it_is_on_a_terminal_only() {
    let place = Place::new();
    let arguments = ["producer", "--interval", "3ms", "--days", "400"];
    let shown = on_terminal(&place, &arguments).succeeds().stdout;
    assert!(has_bar(&shown, " of 400 days  "), "{shown:?}");
    assert!(shown.contains("\x1b[32m"), "{shown:?}");
    let last = shown.trim_end().rsplit('\n').next().unwrap();
    assert!(last.ends_with("almanac: sent 400 days and 18 repeats, newest 1991-02-04"), "{last:?}");

    let shown = on_terminal(&place, &arguments).env("NO_COLOR", "1").succeeds().stdout;
    assert!(has_bar(&shown, " of 400 days  "), "{shown:?}");
    assert!(!shown.contains("\x1b[3"), "{shown:?}");

    let shown = on_terminal(&place, &arguments).env("TERM", "dumb").succeeds().stdout;
    assert!(!shown.contains(BAR), "{shown:?}");
    let shown = on_terminal(&place, &[&arguments[..], &["-q"]].concat()).succeeds().stdout;
    assert!(!shown.contains(BAR), "{shown:?}");
    let ended = place.almanac(&arguments).succeeds();
    assert_eq!(ended.stdout, "");
    assert!(!ended.stderr.contains(['\x1b', BAR]), "{:?}", ended.stderr);
}

#[test]
fn the_days_of_a_file_are_known() {
    let place = Place::new();
    let mut csv = "day,max\n".to_owned();
    let days = jiff::civil::date(1990, 1, 1).series(jiff::Span::new().days(1));
    days.take(300).for_each(|day| writeln!(csv, "{day},20.5").unwrap());
    fs::write(place.dir("weather.csv"), csv).unwrap();
    let file = ["--file", "weather.csv", "--date-column", "day", "--degrees-column", "max", "--unit", "c"];
    let shown =
        on_terminal(&place, &[&["producer", "--interval", "3ms"], &file[..]].concat()).succeeds().stdout;
    assert!(has_bar(&shown, " of 300 days  "), "{shown:?}");
    // What is in the topic is not sent again.
    let again = ["producer", "--append", "--interval", "3ms", "--days", "200"];
    let shown = on_terminal(&place, &again).succeeds().stdout;
    assert!(has_bar(&shown, " of 200 days  "), "{shown:?}");
}

/// Reads a batch of some hundred records at a time, and pauses after each. The last one, which is the default, leaves all
/// reading to librdkafka, which alone knows of it.
const SLOWLY: [&str; 8] = [
    "-X",
    "fetch.message.max.bytes=10000",
    "-X",
    "queued.min.messages=1",
    "-X",
    "fetch.queue.backoff.ms=50",
    "-X",
    "broker.address.family=any",
];

#[test]
fn a_replay_and_a_check_show_how_far_they_are() {
    let place = Place::new();
    place.produce(&["--days", "4000", "--duplicates", "20", "-X", "batch.size=10000"]);
    let records = kafka().records(&place.topic);
    let consumer = [&["consumer", "0", "1", "2", "3"], &SLOWLY[..]].concat();
    let mut consumer = on_terminal(&place, &consumer).start();
    eventually("there is a bar", || has_bar(&consumer.stdout(), " of 84,000 records  "));
    place.caught_up(kafka(), "files");
    // From then on the line is that of a live log.
    let is_live = |shown: &str| {
        let last = shown.rsplit('\r').next().unwrap_or_default();
        last.contains(" 84,000 records  ")
            && last.contains("/s  lag 0  newest 2000-12-13")
            && !last.contains(BAR)
    };
    eventually("it is live", || is_live(&consumer.stdout()));
    let ended = consumer.terminate();
    assert_eq!((ended.code, records), (Some(0), 84_000));
    assert!(ended.stdout.ends_with("\r\x1b[2K"), "{:?}", ended.stdout);

    let verify = [&["verify"], &SLOWLY[..]].concat();
    let shown = on_terminal(&place, &verify).succeeds().stdout;
    assert!(has_bar(&shown, " of 84,000 records  "), "{shown:?}");
    assert!(shown.contains("\r\x1b[2Kpartition 0: "), "{shown:?}");
    assert_eq!(place.almanac(&verify).succeeds().stderr, "");
}

#[test]
fn up_spins_and_then_says_where_everything_is() {
    let place = Place::at(&free_address());
    let data = place.dir("data");
    let data = data.to_str().unwrap();
    let up = ["up", "--data", data, "--listen", "127.0.0.1:0", "--interval", "20ms"];
    let mut first = on_terminal(&place, &up).start();
    eventually("it spins", || first.stdout().contains(&format!("on {}  1 s", place.brokers)));
    assert!(!first.stdout().contains("http://"), "nothing is claimed yet");
    // A slow machine shows the numbers before anything is counted, which is when the rest holds.
    let goes_on =
        |shown: &str| shown.split("dashboard at ").nth(1).is_some_and(|then| then.contains("days sent "));
    eventually("it counts", || goes_on(&first.stdout()));
    let shown = first.stdout();
    let line = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no {text:?} in {shown:?}"));
    let order = [
        line(&format!(" answers at {}; its data is in {data}\r\n", place.brokers)),
        line("almanac: checkpoints and month.svg are in "),
        line("almanac: Ctrl-C stops everything and keeps the data\r\n"),
        line("almanac: dashboard at \x1b[36mhttp://127.0.0.1:"),
    ];
    assert!(order.is_sorted(), "{shown:?}");

    // Run twice, it would delete or fill the topic of the first.
    for more in [&[][..], &["--fresh"], &["--adopt", "--fresh"]] {
        let ended = place.almanac(&[&up[..], more].concat()).fails(6);
        assert!(ended.stderr.starts_with("almanac: error: partition "), "{}", ended.stderr);
        assert!(ended.stderr.contains(" belongs to process "), "{}", ended.stderr);
    }
    let days = place.days("files");
    eventually("the first goes on", || place.days("files") > days + 20);
    let ended = first.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("stopping  0 s"), "{:?}", ended.stdout);
    assert!(
        ended.stdout.ends_with("almanac: stopped; the data is kept, and the next start continues\r\n"),
        "{:?}",
        ended.stdout
    );
}

#[test]
fn a_watched_status_is_drawn_over_itself() {
    let place = Place::new();
    place.produce(&["--days", "100"]);
    let _zero = place.almanac(&["consumer", "0"]).start();
    eventually("a consumer says that it runs", || place.dir("files/.almanac/0/status.json").exists());
    let mut watch = on_terminal(&place, &["status", "--watch", "0.2"]).start();
    let mut plain = place.almanac(&["status", "--watch", "0.2"]).start();
    let mut json = place.almanac(&["status", "-w0.2", "--format", "json"]).start();
    // Below the rows is the owner of each, and the last durable progress.
    let (green, over_one, over_two) = ("\x1b[32mrunning\x1b[0m", "\x1b[4F", "\x1b[6F");
    eventually("it is drawn over itself", || watch.stdout().contains(over_one));
    let _one = place.almanac(&["consumer", "1"]).start();
    eventually("the partition that came later is there", || watch.stdout().contains(over_two));
    eventually("in all of them", || {
        plain.stdout().contains("\n1          running  ") && json.stdout().contains("{\"partition\":1,")
    });
    let ended = watch.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(green), "{:?}", ended.stdout);
    // One line more than the screen has would be drawn over only in part; cut lines are one line each.
    assert_eq!(ended.stdout.matches("\x1b[?7l").count(), ended.stdout.matches("\x1b[?7h").count());

    let ended = plain.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("PARTITION  STATE"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n\nPARTITION  STATE"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\x1b'), "{:?}", ended.stdout);
    let ended = json.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in ended.stdout.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["partitions"][0]["state"], "running", "{line}");
    }
}

#[test]
fn a_status_is_coloured_where_colour_is_wanted() {
    let place = Place::new();
    fs::create_dir_all(place.dir("files")).unwrap();
    fs::write(place.dir("files/partition-3.json"), "{").unwrap();
    let shown = on_terminal(&place, &["status"]).fails(5).stdout;
    assert!(shown.contains("3          \x1b[31munreadable\x1b[0m"), "{shown:?}");
    let shown = on_terminal(&place, &["status"]).env("NO_COLOR", "1").fails(5).stdout;
    assert!(!shown.contains('\x1b'), "{shown:?}");
    let ended = place.almanac(&["status"]).env("CLICOLOR_FORCE", "1").fails(5);
    assert!(!ended.stdout.contains('\x1b'), "{:?}", ended.stdout);
}
