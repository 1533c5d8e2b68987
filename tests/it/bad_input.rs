//! Invalid arguments and files: each has its own error and exit code, and no data is lost.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::{Ended, Place, almanac, kafka};

const ALL: [&str; 5] = ["consumer", "0", "1", "2", "3"];

#[track_caller]
fn says(ended: &Ended, text: &str) {
    assert!(ended.stderr.contains(text), "no {text:?} in:\n{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn invalid_partitions() {
    let place = Place::new();
    place.produce(&["--days", "1"]);
    for (partitions, message) in [
        (&["x"][..], "a partition is a number from 0 on"),
        (&["0", "1.5"], "a partition is a number from 0 on"),
        (&["-1"], "a partition is a number from 0 on"),
        (&["2147483648"], "a partition is a number from 0 on"),
        (&["0", "1", "0"], "partition 0 is named twice"),
        (&["4"], "has partitions 0 to 3, not 4"),
        (&["0", "2147483647"], "has partitions 0 to 3, not 2147483647"),
    ] {
        let ended = place.almanac(&[&["consumer"], partitions].concat()).fails(2);
        says(&ended, message);
        assert_eq!(place.checkpoints("files"), [], "nothing was started");
    }
}

#[test]
fn properties_that_are_refused() {
    for (property, message) in [
        ("acks=1", "client property acks: can't be set: "),
        ("enable.auto.commit=true", "client property enable.auto.commit: can't be set: "),
        ("auto.offset.reset=latest", "client property auto.offset.reset: can't be set: "),
        ("bootstrap.servers=x:1", "use --brokers"),
        ("group.id=g", "use --group"),
        ("nonsense=1", "client property nonsense: "),
        ("fetch.wait.max.ms=soon", "client property fetch.wait.max.ms: "),
        ("foo", "it is not KEY=VALUE"),
        ("=1", "it is not KEY=VALUE"),
    ] {
        for command in ["producer", "consumer", "debug"] {
            // Refused before any broker is asked.
            says(&almanac(&[command, "-b", "127.0.0.1:1", "-X", property]).fails(2), message);
        }
    }
}

#[test]
fn other_invalid_arguments() {
    for (arguments, message) in [
        (&["producer", "--start", "2001-02-30"][..], "it is not a day from 0001-01-01 to 9999-12-31"),
        (&["producer", "--start", "0000-01-01"], "it is not a day from 0001-01-01 to 9999-12-31"),
        (&["producer", "--interval", "soon"], "it is not a time such as 100ms"),
        (&["producer", "--interval=-1s"], "it is not a time such as 100ms"),
        (&["producer", "--duplicates", "-1"], "it is not from 0 to 1000"),
        (&["producer", "--interval", "-1s"], "it is not a time such as 100ms"),
        (&["producer", "--days", "-1"], "it is not a whole number from 0 on"),
        (&["producer", "--days", "1.5"], "it is not a whole number from 0 on"),
        (&["producer", "--seed", "x"], "it is not a whole number from 0 on"),
        (&["producer", "--gap-max", "-1"], "it is not a whole number from 0 to 9999"),
        (&["plot", "--width", "99999"], "it is not a whole number from 40 to 4000"),
        (&["debug", "--count", "0"], "it is not a whole number from 1 on"),
        (&["debug", "--partition", "0", "0"], "partition 0 is named twice"),
        (&["store", "check", "s3://a/b", "--races", "-1"], "it is not a whole number from 1 to 100000"),
        (
            &["consumer", "--topic", "a/b"],
            "it is not 1 to 249 letters, digits, dots, hyphens and underscores",
        ),
        (&["consumer", "--topic", ""], "it is not 1 to 249 letters"),
        (&["consumer", "--group", ""], "a value is required for '--group <GROUP>'"),
        (&["broker", "--set", "node.id=3"], "the server property node.id is the broker's own"),
        (&["producer", "--duplicates", "NaN"], "it is not from 0 to 1000"),
        (&["producer", "--duplicate-degrees", "1e10"], "it is not a number of degrees"),
        (&["producer", "--partitions", "0"], "it is not a whole number from 1 to 10000"),
        (&["producer", "--append", "--recreate"], "cannot be used with"),
        (&["producer", "--station", "X"], "--file"),
        (&["plot", "--month", "Janvier"], "it is not a month's English name"),
        (&["consumer", "--checkpoint-every=-5s"], "it is not a time such as 100ms"),
        (&["nothing"], "unrecognized subcommand 'nothing'"),
    ] {
        let ended = almanac(arguments).fails(2);
        says(&ended, message);
    }
}

#[test]
fn what_looks_like_a_url_is_no_path() {
    let place = Place::at("127.0.0.1:1");
    let here = || fs::read_dir(place.temp.path()).unwrap().count();
    let before = here();
    let urls = [
        ("s3:/x", "write s3://BUCKET/PREFIX, or ./s3:/x for a local path"),
        ("s3:x", "write s3://BUCKET/PREFIX, or ./s3:x for a local path"),
        ("S3://b/p", "write s3://BUCKET/PREFIX, or ./S3://b/p for a local path"),
        ("gs:/x", "write gs://BUCKET/PREFIX, or "),
        ("az:", "write az://BUCKET/PREFIX, or "),
        ("https://b/p", "write s3://BUCKET/PREFIX, or ./https://b/p for a local path"),
        ("git+ssh:/x", "write s3://BUCKET/PREFIX, or "),
        ("FILE:///tmp/x", "write /tmp/x\n"),
        ("file:/tmp/x", "write /tmp/x\n"),
    ];
    let places = [
        &["consumer", "0", "-d"][..],
        &["recover", "--restart", "-d"],
        &["verify", "-d"],
        &["status", "-d"],
        &["plot", "-d"],
        &["plot", "-o"],
        &["dashboard", "-d"],
        &["up", "-d"],
        &["store", "check"],
    ];
    for (url, hint) in urls {
        for arguments in places {
            let ended = place.almanac(&[arguments, &[url]].concat()).fails(2);
            says(&ended, "it is not the URL of an object store");
            says(&ended, &format!("\nhint: {hint}"));
        }
        let ended = place.almanac(&["status"]).env("ALMANAC_DIR", url).fails(2);
        says(&ended, &format!("\nhint: {hint}"));
    }
    for arguments in [&["broker", "--data"][..], &["up", "--data"], &["man", "--into"]] {
        for url in ["s3://b/p", "S3:/b", "https://b"] {
            let ended = place.almanac(&[arguments, &[url]].concat()).fails(2);
            says(&ended, "it is a URL, and this can only be a local path\nhint: write ./");
        }
    }
    assert_eq!(here(), before, "nothing was created");
    for path in ["./s3:/x", "a:b", "./a:b", "12:30/x", "c:/x", "/tmp/s3:/x"] {
        says(&place.almanac(&["status", "-d", path]).fails(7), "there is no directory ");
    }
}

#[test]
fn a_missing_dir_is_reported_without_kafka() {
    let place = Place::at("127.0.0.1:1");
    for command in [&["verify"][..], &["verify", "2"], &["recover", "--restart"], &["status"], &["plot"]] {
        says(&place.almanac(command).fails(7), "there is no directory ");
    }
    assert!(!place.dir("files").exists());
    fs::create_dir(place.dir("files")).unwrap();
    says(&place.almanac(&["verify"]).fails(1), " has no partition-N.json");
}

#[test]
fn a_bad_file_costs_nothing() {
    let place = Place::new();
    place.produce(&["--days", "10"]);
    let (topic, records) = (kafka().describe(&place.topic), kafka().records(&place.topic));
    let file = |name: &str, bytes: &[u8]| {
        let path = place.temp.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let good = file("good.csv", b"XX000000001,20240501,TMAX,151,,,Z,\n");
    let missing = place.temp.path().join("missing.csv").display().to_string();
    let unknown = file("unknown.csv", b"day;degrees\n2024-05-01;15.1\n");
    let number =
        file("number.csv", b"XX000000001,20240501,TMAX,151,,,Z,\nXX000000001,20240502,TMAX,hot,,,Z,\n");
    let day = file("day.csv", b"XX000000001,20240501,TMAX,151,,,Z,\nXX000000001,20240231,TMAX,151,,,Z,\n");
    let short = file("short.csv", b"XX000000001,20240501,TMAX,151,,,Z,\nXX000000001,202405");
    let gzip = file("cut.csv.gz", b"\x1f\x8b\x08\x00\x00\x00");
    let empty = file("empty.csv", b"");
    for (path, messages) in [
        (&missing, &["can't open ", "No such file or directory"][..]),
        (&unknown, &["the format of ", "--date-column day"]),
        (&number, &["line 2", "\"hot\""]),
        (&day, &["line 2", "\"20240231\""]),
        (&short, &["line 2"]),
        (&gzip, &["is cut off"]),
        (&empty, &["no temperatures found in "]),
    ] {
        for mode in [&["--recreate"][..], &["--append"]] {
            let ended = place
                .almanac(&[&["producer", "--interval", "0", "--file", &good, path], mode].concat())
                .fails(3);
            says(&ended, path);
            for message in messages {
                says(&ended, message);
            }
        }
    }
    assert_eq!(kafka().describe(&place.topic), topic, "the topic is the same");
    assert_eq!(kafka().records(&place.topic), records);
}

/// As gzip does: zeros are silent, other bytes get a warning, and neither costs a day.
#[test]
fn bytes_after_a_compressed_file_are_ignored() {
    let place = Place::new();
    let path = place.temp.path().join("days.csv.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"XX000000001,20240501,TMAX,151,,,Z,\nXX000000001,20240502,TMAX,152,,,Z,\n").unwrap();
    let whole = encoder.finish().unwrap();
    let name = path.display().to_string();
    for (rest, warning) in [
        (&b""[..], String::new()),
        (&[0; 512], String::new()),
        (
            b"\0\0, and more",
            format!("almanac: warning: {name}: bytes after its compressed data were ignored\n"),
        ),
    ] {
        fs::write(&path, [&whole, rest].concat()).unwrap();
        let ended = place.almanac(&["producer", "--recreate", "--interval", "0", "--file", &name]).succeeds();
        assert!(
            ended.stderr.contains(&warning) && warning.is_empty() != ended.stderr.contains("warning"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("sent 2 days"), "{}", ended.stderr);
    }
    fs::write(&path, [&whole, &whole[..30]].concat()).unwrap();
    let ended = place.almanac(&["producer", "--recreate", "--interval", "0", "--file", &name]).fails(3);
    says(&ended, "is cut off");
    assert_eq!(kafka().records(&place.topic), 2);
}

#[test]
fn a_dir_that_can_not_be_written() {
    let place = Place::new();
    place.produce(&["--days", "1"]);
    fs::write(place.dir("files"), "a file").unwrap();
    for command in [&ALL[..], &["consumer"]] {
        let ended = place.almanac(command).fails(7);
        says(&ended, &place.dir("files").display().to_string());
        says(&ended, "Not a directory");
    }
    assert_eq!(fs::read(place.dir("files")).unwrap(), b"a file");
}

#[test]
fn the_calendar_ends() {
    let place = Place::new();
    let ended = place
        .almanac(&["producer", "--start", "9999-12-25", "--interval", "0", "--duplicates", "0"])
        .succeeds();
    assert!(ended.stderr.contains("sent 7 days and 0 repeats, newest 9999-12-31"), "{}", ended.stderr);
    assert_eq!(kafka().records(&place.topic), 7);
    let mut consumer = place.almanac(&ALL).start();
    place.caught_up(kafka(), "files");
    assert_eq!(consumer.terminate().code, Some(0));
    let december = fs::read_to_string(place.dir("files/partition-2.json")).unwrap();
    assert!(december.contains("\"start\":\"9999-12-25\",\"end\":\"9999-12-31\","), "{december}");
}

#[test]
fn an_invalid_address_is_wrong_usage() {
    for (arguments, reason) in [
        (&["debug", "-b", "localhost:99999"][..], "port \"99999\" is not a number from 0 to 65535"),
        (&["consumer", "-b", "localhost:abc"], "port \"abc\" is not a number from 0 to 65535"),
        (&["verify", "-b", "a:9092,"], "a broker is missing before or after a comma"),
        (&["producer", "-b", ":9092"], "it has no host"),
        (&["producer", "-b", "::1:9092"], "an IPv6 address stands in brackets"),
        (&["up", "-b", ""], "it names no broker"),
        (&["up", "-b", "kafka.example:0"], "nobody can connect to port 0: --brokers kafka.example:0"),
        (&["producer", "-b", "a:9092,localhost:0"], "nobody can connect to port 0: --brokers localhost:0"),
        (&["dashboard", "--listen", "localhost:65536"], "port \"65536\" is not a number from 0 to 65535"),
        (&["consumer", "--metrics", "[::1"], "the bracket is not closed"),
        (&["broker", "--listen", "localhost"], "it has no port"),
        (
            &["broker", "--advertise", "localhost:0"],
            "clients can't connect to port 0: --advertise localhost:0",
        ),
        (&["broker", "--check", "--listen", "localhost:0"], "nobody can connect to port 0: localhost:0"),
    ] {
        let ended = almanac(arguments).fails(2);
        assert!(ended.stderr.contains(reason), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn an_unreachable_broker_is_named_soon_once_and_without_noise() {
    let address = crate::support::free_address();
    let start = Instant::now();
    let ended = almanac(&["producer", "-b", &address]).fails(4);
    assert_eq!(
        ended.stderr,
        format!(
            "almanac: error: no Kafka broker answers at {address}: Connection refused\n\
             hint: start one with `almanac broker --listen {address}`, or name yours with --brokers\n"
        )
    );
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
