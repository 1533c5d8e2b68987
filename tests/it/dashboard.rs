//! The dashboard and the metrics, as their clients meet them: over sockets, with all that a stranger might send.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use almanac::checkpoint::Checkpoint;
use almanac::status::{State, Status};
use almanac::store::Owner;
use flate2::read::GzDecoder;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::support::{
    Kafka, Place, Running, almanac, almanac_under, eventually, eventually_within, has_program,
};

/// As in the README, of partition 2.
const CHECKPOINT: &str = r#"{"partition":2,"offset":4117,
 "January":{"1990":{"count":31,"sum":-58.3,"avg":-1.8806451612903226,"min":-17.2,"max":9.4,"start":"1990-01-01","end":"1990-01-31"}},
 "April":{"1990":{"count":29,"sum":311.2,"avg":10.73103448275862,"min":1.1,"max":24.4,"start":"1990-04-01","end":"1990-04-30","missing":["1990-04-17"]}}}
"#;

const SECRET: &str = "nobody is meant to read this";

#[test]
fn every_answer_has_its_headers() {
    let page = Page::new(&[]);
    page.put("partition-2.json", CHECKPOINT);
    page.put("partition-1.json", "{");
    page.shows(2);
    for (path, status, content_type, has_tag) in [
        ("/", 200, "text/html; charset=utf-8", true),
        ("/app.css", 200, "text/css; charset=utf-8", true),
        ("/app.js", 200, "text/javascript; charset=utf-8", true),
        ("/connection.js", 200, "text/javascript; charset=utf-8", true),
        ("/icon.svg", 200, "image/svg+xml", true),
        ("/favicon.ico", 200, "image/svg+xml", true),
        ("/api/months", 200, "application/json", true),
        ("/api/partitions", 200, "application/json", true),
        ("/partition-2.json", 200, "application/json", true),
        ("/month.svg", 200, "image/svg+xml", true),
        ("/plot/months.svg?unit=f&width=700", 200, "image/svg+xml", true),
        ("/plot/history.svg?month=april", 200, "image/svg+xml", true),
        ("/plot/history.svg?month=april&bare=", 200, "image/svg+xml", true),
        ("/plot/history.tips?month=april", 200, "application/json", true),
        ("/healthz", 200, "text/plain; charset=utf-8", false),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", false),
        ("/readyz", 503, "text/plain; charset=utf-8", false),
        ("/partition-1.json", 500, "text/plain; charset=utf-8", false),
        ("/plot/history.svg", 400, "text/plain; charset=utf-8", false),
        ("/plot/months.svg?unit=k", 400, "text/plain; charset=utf-8", false),
        ("/plot/months.svg?width=-1", 400, "text/plain; charset=utf-8", false),
        ("/plot/months.svg?month=%ff", 400, "text/plain; charset=utf-8", false),
        ("/plot/nothing.svg", 404, "text/plain; charset=utf-8", false),
        ("/api", 404, "text/plain; charset=utf-8", false),
        ("/api/nothing", 404, "text/plain; charset=utf-8", false),
    ] {
        let answer = page.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (status, content_type), "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        answer.is_safe(path);
        let head = page.ask(&format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        assert_eq!((head.status, head.body.len()), (status, 0), "HEAD {path}");
        for name in ["content-type", "content-length", "etag"] {
            if path != "/metrics" || name != "content-length" {
                assert_eq!(head.header(name), answer.header(name), "HEAD {path}");
            }
        }
        assert_eq!(!answer.header("etag").is_empty(), has_tag, "{path}");
        if has_tag {
            let again = page.get_with(path, &format!("If-None-Match: {}\r\n", answer.header("etag")));
            assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
            assert_eq!(again.header("etag"), answer.header("etag"));
            again.is_safe(path);
        }
    }
    assert_eq!(page.get("/partition-2.json").text(), CHECKPOINT, "byte for byte");
    let head = page.ask("HEAD /api/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
    assert_eq!(head.header("x-accel-buffering"), "no");
    head.is_safe("/api/events");
    // A browser knows that the stream is open before there is anything to tell.
    let mut stream = page.connect();
    stream.write_all(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
}

#[test]
fn it_can_be_asked_only_to_read_and_only_by_its_names() {
    let page = Page::new(&["--allow-host", "weather.example"]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "ANYTHING"] {
        let answer = page
            .ask(&format!("{method} /api/months HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
        answer.is_safe(method);
    }
    for (request, status) in [
        ("GET /healthz HTTP/1.1\r\nHost: weather.example\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:1\r\n", 200),
        ("GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n", 421),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", 421),
        ("GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n", 421),
        ("GET /healthz HTTP/1.1\r\nHost: \r\n", 421),
        ("GET /healthz HTTP/1.1\r\nHost: \u{e9}\r\n", 421),
        ("GET /healthz HTTP/1.1\r\n", 421),
        ("GET /healthz HTTP/1.0\r\n", 421),
        ("POST /healthz HTTP/1.1\r\nHost: evil.example\r\n", 421),
    ] {
        let answer = page.ask(&format!("{request}Connection: close\r\n\r\n"));
        assert_eq!(answer.status, status, "{request}");
        answer.is_safe(request);
    }
}

#[test]
fn no_path_leads_out_of_dir() {
    let page = Page::new(&[]);
    page.put("partition-2.json", CHECKPOINT);
    page.put("partition-2.rejected.jsonl", SECRET);
    page.put("other.json", SECRET);
    page.put("../secret", SECRET);
    page.put(".almanac/2/lock", SECRET);
    page.put(".almanac/2/status.json", SECRET);
    page.put("archive/id/partition-2.json", SECRET);
    page.shows(1);
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/..%2fsecret",
        "/..%5csecret",
        "/%252e%252e%252fsecret",
        "//secret",
        "/./../secret",
        "/api/../../secret",
        "/plot/../../secret",
        "/plot/..%2f..%2fsecret",
        "/partition-2.json/../../secret",
        "/partition-2.json%2f..%2f..%2fsecret",
        "/partition-2.json%00",
        "/partition-02.json",
        "/partition-2.json/",
        "/Partition-2.json",
        "/partition-2.rejected.jsonl",
        "/other.json",
        "/.almanac",
        "/.almanac/2/lock",
        "/.almanac/2/status.json",
        "/%2ealmanac/2/lock",
        "/%2ealmanac%2f2%2flock",
        "/.almanac%2f2%2fstatus.json",
        "/archive/id/partition-2.json",
        "/archive%2fid%2fpartition-2.json",
        "/%ff",
        "/%",
    ] {
        let answer = page.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.text().contains(SECRET), "{path}");
        answer.is_safe(path);
    }
    for odd in [
        "Range: bytes=0-3\r\n",
        "Range: bytes=9-1\r\n",
        "If-None-Match: W/\r\n",
        "If-None-Match: \"\r\n",
        "Accept-Encoding: gzip;q=x, \u{ff}\r\n",
        "Expect: 100-continue\r\nContent-Length: 4\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Content-Length: 99999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Last-Event-ID: \u{1f980}\r\n",
        "X-Forwarded-Host: evil.example\r\n",
    ] {
        let answer = page.get_with("/partition-2.json", odd);
        assert_eq!((answer.status, answer.text()), (200, CHECKPOINT.to_owned()), "{odd}");
    }
    // More than a header may have is refused, and bytes that are not HTTP do no harm.
    let long = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    assert!(page.try_ask(&format!("GET / HTTP/1.1\r\n{long}\r\n")).is_none_or(|answer| answer.status == 431));
    for noise in ["\r\n\r\n", "\0\0\0\0", "GET\r\n\r\n", "\u{16}\u{3}\u{1}", "GET / HTTP/9.9\r\n\r\n"] {
        assert!(page.try_ask(noise).is_none_or(|answer| answer.status == 400), "{noise:?}");
    }
    assert_eq!(page.get("/healthz").status, 200);
}

#[test]
fn only_plain_files_of_dir_are_read() {
    let page = Page::new(&[]);
    let outside = page.dir().join("../outside.json");
    fs::write(&outside, CHECKPOINT.replace("\"partition\":2", "\"partition\":0")).unwrap();
    page.put("partition-2.json", CHECKPOINT);
    symlink(&outside, page.dir().join("partition-0.json")).unwrap();
    mknodat(CWD, page.dir().join("partition-3.json"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir(page.dir().join("partition-4.json")).unwrap();
    let sparse = fs::File::create(page.dir().join("partition-5.json")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    // The status of the consumer of one partition is a link to elsewhere, and that of the other is a pipe.
    for (partition, name) in [(6, "link"), (7, "pipe")] {
        page.put_checkpoint(partition, 1);
        let private = page.dir().join(format!(".almanac/{partition}"));
        fs::create_dir_all(&private).unwrap();
        match name {
            "link" => {
                let elsewhere = page.dir().join("../status.json");
                fs::write(&elsewhere, serde_json::to_vec(&status(6, "elsewhere")).unwrap()).unwrap();
                symlink(&elsewhere, private.join("status.json")).unwrap();
            }
            _ => mknodat(CWD, private.join("status.json"), FileType::Fifo, Mode::RWXU, 0).unwrap(),
        }
    }
    page.shows(7);
    for (partition, reason) in [
        (0, "it is a symbolic link"),
        (3, "it is no plain file"),
        (4, "it is no plain file"),
        (5, "it has more than 134217728 bytes"),
    ] {
        let answer = page.get(&format!("/partition-{partition}.json"));
        assert_eq!(answer.status, 500);
        assert!(answer.text().contains(reason), "{partition}: {}", answer.text());
        let shown = page.partition(partition);
        assert_eq!(shown["state"], "unreadable");
        assert!(shown["error"].as_str().unwrap().contains(reason), "{shown}");
    }
    assert_eq!(page.get("/partition-2.json").text(), CHECKPOINT);
    for partition in [6, 7] {
        assert_eq!(page.partition(partition)["state"], "unknown");
    }
    assert!(!page.get("/api/partitions").text().contains("elsewhere"));
    assert_eq!(page.get("/healthz").status, 200, "nothing waits for the pipes");
    page.memory_is_below(100);
}

#[test]
fn the_listen_address_is_checked() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for command in [
        &["dashboard", "--dir", dir, "--listen", &address][..],
        &["consumer", "0", "--brokers", "localhost:1", "--dir", "none", "--metrics", &address],
        &["producer", "--brokers", "localhost:1", "--metrics", &address],
        &["up", "--brokers", "192.0.2.1:1", "--dir", dir, "--listen", &address],
    ] {
        let option = command[command.len() - 2];
        let ended = almanac(command).current_dir(temp.path()).fails(2);
        let expected = format!(
            "almanac: error: can't listen at {address}: Address already in use (os error 98)\n\
             hint: name another port with {option}, or 0 for a free one\n"
        );
        assert_eq!(ended.stderr, expected, "{command:?}");
    }
    assert!(!temp.path().join("none").exists(), "before any work");

    // Prometheus may ask a consumer that others reach by any name.
    let metrics = ["consumer", "0", "--brokers", "localhost:1", "--dir", "none", "--metrics"];
    for (listen, status) in [("127.0.0.1:0", 421), ("0.0.0.0:0", 200)] {
        let consumer = almanac(&[&metrics[..], &[listen]].concat()).current_dir(temp.path()).start();
        let line = consumer.stderr_line_with("/metrics").replace("0.0.0.0", "127.0.0.1");
        let address = line.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_owned();
        let request = "GET /metrics HTTP/1.1\r\nHost: consumer-0\r\nConnection: close\r\n\r\n";
        assert_eq!(ask(&address, request).unwrap().status, status, "{listen}");
        let is_warned = consumer.stderr().contains("can read the metrics; there are no passwords");
        assert_eq!(is_warned, listen.starts_with("0.0.0.0"));
    }

    let page = Page::new(&["--listen", "0.0.0.0:0"]);
    let expected = format!(
        "almanac: warning: everybody who reaches {0} can read the dashboard; there are no passwords\n\
         almanac: dashboard at http://{0}/\n",
        page.process.stderr().rsplit_once("http://").unwrap().1.trim_end_matches("/\n"),
    );
    assert_eq!(page.process.stderr(), expected);
    assert_eq!(page.get("/healthz").status, 200);
    for listen in ["[::1]:0", "localhost:0"] {
        let page = Page::new(&["--listen", listen]);
        assert_eq!(page.process.stderr().lines().count(), 1, "{}", page.process.stderr());
        assert_eq!(page.get("/healthz").status, 200);
    }
}

#[test]
fn long_answers_are_compressed_for_clients_that_accept_it() {
    let page = Page::new(&[]);
    let cell =
        r#"{"count":1,"sum":1.5,"avg":1.5,"min":1.5,"max":1.5,"start":"YEAR-01-01","end":"YEAR-01-01"}"#;
    let years: Vec<String> =
        (1870..2025).map(|year| format!("\"{year}\":{}", cell.replace("YEAR", &year.to_string()))).collect();
    page.put(
        "partition-2.json",
        &format!("{{\"partition\":2,\"offset\":200,\"January\":{{{}}}}}", years.join(",")),
    );
    page.shows(1);
    for path in ["/api/months", "/partition-2.json"] {
        let plain = page.get(path);
        assert_eq!(plain.header("content-encoding"), "");
        let gzip = page.get_with(path, "Accept-Encoding: br, gzip\r\n");
        assert_eq!((gzip.header("content-encoding"), gzip.header("vary")), ("gzip", "accept-encoding"));
        assert!(gzip.body.len() * 4 < plain.body.len(), "{} of {}", gzip.body.len(), plain.body.len());
        let mut text = String::new();
        GzDecoder::new(&*gzip.body).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain.text());
        assert_eq!(gzip.header("etag"), plain.header("etag"));
    }
    let months: serde_json::Value = serde_json::from_str(&page.get("/api/months").text()).unwrap();
    assert_eq!(months["months"].as_array().unwrap().len(), 155);
}

#[test]
fn an_event_is_for_a_changed_checkpoint_only() {
    let mut page = Page::new(&["-vv"]);
    page.put_checkpoint(0, 1);
    page.shows(1);
    let mut stream = page.events("", "");
    page.put_checkpoint(0, 2);
    let one = stream.next().unwrap();
    assert_eq!(one.data["partitions"][0]["offset"], 2);
    // The same bytes again, and a word of its consumer's; then something to wait for.
    page.put_checkpoint(0, 2);
    page.put(".almanac/0/status.json", &serde_json::to_string(&status(0, "temperatures")).unwrap());
    eventually("the status is shown", || page.partition(0)["topic"] == "temperatures");
    page.put_checkpoint(1, 7);
    let two = stream.next().unwrap();
    assert_eq!(two.data["partitions"].as_array().unwrap().len(), 1, "{}", two.data);
    assert_eq!(two.data["partitions"][0]["offset"], 7);

    // One that knows what is there hears nothing at first; one that knows something else hears of all at once.
    let version = &two.id;
    let mut knows = page.events(&format!("?since={version}"), "");
    let mut was_away = page.events("?since=other", "");
    let mut came_back = page.events("?since=other", &format!("Last-Event-ID: {version}\r\n"));
    let all = was_away.next().unwrap();
    assert_eq!((&all.id, all.data["partitions"].as_array().unwrap().len()), (version, 2));
    fs::remove_file(page.dir().join("partition-1.json")).unwrap();
    for stream in [&mut stream, &mut knows, &mut was_away, &mut came_back] {
        let gone = stream.next().unwrap();
        assert_eq!(
            (&gone.data["gone"], &gone.data["partitions"]),
            (&vec![1].into(), &Vec::<i32>::new().into())
        );
    }
    // A browser that does not read for a while gets the last change only, or some of those between: never more than
    // there were.
    for offset in 3..200 {
        page.put_checkpoint(0, offset);
    }
    let mut last = 0;
    while last < 199 {
        let offset = stream.next().unwrap().data["partitions"][0]["offset"].as_i64().unwrap();
        assert!(offset > last);
        last = offset;
    }
    let ended = page.process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("connections were cut off"), "{}", ended.stderr);
    assert!(knows.by_ref().last().is_some());
    assert!(stream.next().is_none(), "the stream ends with the server");
}

#[test]
fn a_thousand_streams_hear_of_a_change_and_disturb_no_consumer() {
    // Their other ends are files of this process, which is often let have a thousand only, and more if it asks.
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(4096, |maximum| maximum.min(4096));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).unwrap();
    }
    let kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "3000"]);
    let mut page =
        Page::over(place.dir("files"), almanac_under(&["prlimit", "--nofile=64:20000"], DASHBOARD));
    let mut streams: Vec<Events> = (0..1000).map(|_| page.events("", "")).collect();
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(&kafka, "files");
    let total = kafka.records(&place.topic);
    for stream in &mut streams {
        let mut offsets = [0; 4];
        while offsets.iter().sum::<i64>() < total {
            for partition in stream.next().unwrap().data["partitions"].as_array().unwrap() {
                let number = usize::try_from(partition["partition"].as_u64().unwrap()).unwrap();
                offsets[number] = partition["offset"].as_i64().unwrap();
            }
        }
    }
    page.memory_is_below(150);
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    let asked = Instant::now();
    assert_eq!(page.process.terminate().code, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[test]
fn idle_clients_are_disconnected_and_cost_nothing() {
    let page = Page::with(almanac_under(&["prlimit", "--nofile=256:256"], DASHBOARD));
    let day =
        r#"{"count":1,"sum":1.5,"avg":1.5,"min":1.5,"max":1.5,"start":"YEAR-01-01","end":"YEAR-01-01"}"#;
    let years: Vec<String> =
        (1000..4000).map(|year| format!("\"{year}\":{}", day.replace("YEAR", &year.to_string()))).collect();
    page.put(
        "partition-2.json",
        &format!("{{\"partition\":2,\"offset\":4000,\"January\":{{{}}}}}", years.join(",")),
    );
    page.shows(1);
    let files = || fs::read_dir(format!("/proc/{}/fd", page.process.pid())).unwrap().count();
    let before = files();
    let connect = |request: &str| {
        let mut stream = page.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    // A request that never ends; an answer of some MB that is never read; a connection kept for later.
    let never_ends: Vec<_> = (0..40).map(|_| connect("GET / HTTP/1.1\r\nHost: loc")).collect();
    let asks = "GET /api/months HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
    let never_reads: Vec<_> = (0..40).map(|_| connect(&asks)).collect();
    let kept: Vec<_> =
        (0..40).map(|_| connect("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    // More than may be at a time: half of 256. They wait, and then are answered.
    let waits: Vec<_> =
        (0..60).map(|_| connect("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    let began = Instant::now();
    assert!(page.get("/healthz").text().starts_with("ok"));
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    for stream in &waits {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).unwrap();
        assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    }
    eventually("all of them are let go", || files() <= before + 1);
    page.memory_is_below(150);
    drop((never_ends, never_reads, kept));
}

#[test]
fn the_file_limit_is_raised() {
    let page = Page::with(almanac_under(&["prlimit", "--nofile=64:20000"], DASHBOARD));
    let limits = fs::read_to_string(format!("/proc/{}/limits", page.process.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("20000"), "{files}");
}

#[test]
fn a_file_system_that_does_not_answer_is_reported() {
    if !has_program("strace") {
        return;
    }
    // After some seconds of looks at DIR, one of them takes a minute.
    let delay = "inject=getdents64:delay_enter=60000000:when=100+";
    let page = Page::with(almanac_under(
        &["strace", "-f", "-o", "/dev/null", "-e", "trace=getdents64", "-e", delay],
        DASHBOARD,
    ));
    page.put_checkpoint(0, 1);
    assert_eq!(page.get("/healthz").text(), "ok\n");
    eventually("that is seen", || page.get("/healthz").status == 503);
    let reason = page.get("/healthz").text();
    assert!(reason.starts_with("the files were last looked at ") && reason.ends_with(" s ago\n"), "{reason}");
    assert!(page.get("/readyz").text().contains(&reason[..30]));
    // The stop does not wait for it. The process can't be gone while strace holds its thread, but its first one can.
    let strace = page.process.pid();
    let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap();
    let child: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(child).unwrap(), Signal::TERM).unwrap();
    eventually_within(Duration::from_secs(20), "it ends", || {
        fs::read_to_string(format!("/proc/{child}/status")).is_ok_and(|status| status.contains("\nState:\tZ"))
    });
}

const DASHBOARD: &[&str] = &["dashboard", "--listen", "127.0.0.1:0"];

/// A dashboard over a directory of its own.
struct Page {
    process: Running,
    address: String,
    dir: PathBuf,
    _temp: Option<TempDir>,
}

impl Page {
    fn new(arguments: &[&str]) -> Page {
        Page::with(almanac(&[&["dashboard"], arguments].concat()).env("ALMANAC_DASHBOARD", "127.0.0.1:0"))
    }

    fn with(command: crate::support::Almanac) -> Page {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("files");
        fs::create_dir(&dir).unwrap();
        Page { _temp: Some(temp), ..Page::over(dir, command) }
    }

    fn over(dir: PathBuf, command: crate::support::Almanac) -> Page {
        let process = command.env("ALMANAC_DIR", &dir).start();
        let line = process.stderr_line_with("dashboard at http://");
        let address = line.split("http://").nth(1).unwrap().trim_end_matches('/').to_owned();
        Page { process, address: address.replace("0.0.0.0", "127.0.0.1"), dir, _temp: None }
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    /// Replaces a file, as its owner would.
    fn put(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        almanac::output::write(&path, text.as_bytes()).unwrap();
    }

    fn put_checkpoint(&self, partition: i32, offset: i64) {
        let json = Checkpoint::empty(partition, offset).to_json();
        almanac::output::write(&self.dir.join(format!("partition-{partition}.json")), &json).unwrap();
    }

    #[track_caller]
    fn shows(&self, partitions: usize) {
        eventually("the files are seen", || self.partitions().len() == partitions);
    }

    fn partitions(&self) -> Vec<serde_json::Value> {
        let all: serde_json::Value = serde_json::from_str(&self.get("/api/partitions").text()).unwrap();
        all["partitions"].as_array().unwrap().clone()
    }

    fn partition(&self, number: i32) -> serde_json::Value {
        self.partitions().into_iter().find(|partition| partition["partition"] == number).unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    #[track_caller]
    fn ask(&self, request: &str) -> Answer {
        self.try_ask(request).unwrap_or_else(|| panic!("no answer to {request:?}"))
    }

    /// Nothing where the connection ends without an answer.
    fn try_ask(&self, request: &str) -> Option<Answer> {
        ask(&self.address, request)
    }

    fn get(&self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    fn get_with(&self, path: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"))
    }

    /// A stream of events from now on.
    fn events(&self, query: &str, headers: &str) -> Events {
        let mut stream = self.connect();
        // To HTTP/1.0 the stream goes out as it is, and not in chunks.
        write!(stream, "GET /api/events{query} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        Events(lines)
    }

    #[track_caller]
    fn memory_is_below(&self, megabytes: u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kilobytes < megabytes << 10, "{line}");
    }
}

pub fn get(address: &str, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).unwrap()
}

fn ask(address: &str, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // A request that is refused before its end may not be taken whole.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    let headers = headers.lines().filter_map(|line| line.split_once(": "));
    Some(Answer {
        status: status.split(' ').nth(1).unwrap().parse().unwrap(),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        body: bytes[end + 4..].to_vec(),
    })
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    fn is_safe(&self, what: &str) {
        let policy = self.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{what}: {policy}");
        assert!(!policy.contains("unsafe"), "{what}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
        ] {
            let values = self.headers.iter().filter(|(found, _)| found == name);
            assert_eq!(values.map(|(_, value)| &**value).collect::<Vec<_>>(), [value], "{what}");
        }
        assert_eq!(self.header("access-control-allow-origin"), "", "{what}");
    }
}

/// An open stream; its events one by one, until it ends.
struct Events(BufReader<TcpStream>);

struct Event {
    id: String,
    data: serde_json::Value,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let mut event = Event { id: String::new(), data: serde_json::Value::Null };
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(':') {
                Some(("id", id)) => event.id = id.trim().to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                // Comments keep the stream alive.
                Some(("", _)) => {}
                None if !event.data.is_null() => return Some(event),
                None => {}
                Some(other) => panic!("{other:?}"),
            }
        }
    }
}

fn status(partition: i32, topic: &str) -> Status {
    Status {
        partition,
        topic: topic.to_owned(),
        state: State::Running,
        offset: 1,
        position: 1,
        high_watermark: Some(5),
        lag: Some(4),
        rate: 0.5,
        counted: 1,
        duplicates: 2,
        rejected: 3,
        rejected_total: Some(3),
        days: 1,
        newest: None,
        last_durable: None,
        last_progress: None,
        stalled_since: None,
        checkpoint_seconds: 0.01,
        checkpoint_bytes: 30,
        rebalances: 1,
        broker_errors: 2,
        waiting_for: None,
        written_every: None,
        owner: Owner::default(),
        written: jiff::Timestamp::now().to_string(),
    }
}
