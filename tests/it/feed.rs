//! Weather from a web server on this machine, which plays what servers do. The live services were not reached.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use openssl::ssl::{SslAcceptor, SslMethod};

use crate::dashboard::get;
use crate::keys::{Identity, Subject, write};
use crate::support::{Place, eventually, eventually_or, free_address, kafka};

/// An answer; the last one of a list is given again and again.
#[derive(Clone)]
enum Answer {
    /// The days of a file, with its ETag; 304 if the client has it.
    Days(Vec<(u8, f64)>),
    /// A status, more headers, and what follows.
    Raw(&'static str, Vec<String>, Vec<u8>),
    /// Nothing at all.
    Silence,
}

/// A web server, and the requests that it had.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Server {
    fn start(answers: Vec<Answer>) -> Server {
        Self::with(answers, |stream| Some(Box::new(stream)))
    }

    fn with(
        answers: Vec<Answer>,
        accept: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server =
            Server { address, requests: Arc::default(), answers: Arc::new(Mutex::new(answers.into())) };
        let (requests, answers) = (Arc::clone(&server.requests), Arc::clone(&server.answers));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(stream) = accept(stream.unwrap()) else { continue };
                let (requests, answers) = (Arc::clone(&requests), Arc::clone(&answers));
                thread::spawn(move || serve(stream, &requests, &answers));
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}/madison.csv", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn answer(&self, answers: Vec<Answer>) {
        *self.answers.lock().unwrap() = answers.into();
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

fn serve(
    mut stream: Box<dyn Stream>,
    requests: &Mutex<Vec<String>>,
    answers: &Mutex<VecDeque<Answer>>,
) -> Option<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(&mut stream);
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
    }
    requests.lock().unwrap().push(request.to_lowercase());
    if request.starts_with("CONNECT ") {
        // As a proxy that is the server itself.
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
        return serve(stream, requests, answers);
    }
    let answer = {
        let mut answers = answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front()? } else { answers.front()?.clone() }
    };
    let (status, headers, body) = match answer {
        Answer::Silence => {
            thread::sleep(std::time::Duration::from_secs(60));
            return None;
        }
        Answer::Days(days) => {
            let body = csv(&days);
            let etag = format!(
                "\"{}\"",
                body.len() * 1000 + days.last().map_or(0, |(_, degrees)| *degrees as usize)
            );
            match request.to_lowercase().contains(&format!("if-none-match: {etag}")) {
                true => ("304 Not Modified", vec![], vec![]),
                false => ("200 OK", vec![format!("ETag: {etag}")], body.into_bytes()),
            }
        }
        Answer::Raw(status, headers, body) => (status, headers, body),
    };
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    headers.iter().for_each(|header| head += &format!("{header}\r\n"));
    if !headers.iter().any(|header| header.starts_with("Content-Length")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(&body).ok()?;
    stream.flush().ok()
}

/// As NOAA's by_station files have it, in tenths of a degree.
fn csv(days: &[(u8, f64)]) -> String {
    let line =
        |(day, degrees): &(u8, f64)| format!("USW00014837,202405{day:02},TMAX,{:.0},,,W,\n", degrees * 10.0);
    days.iter().map(line).collect()
}

fn days(numbers: std::ops::RangeInclusive<u8>) -> Vec<(u8, f64)> {
    numbers.map(|day| (day, f64::from(day))).collect()
}

#[test]
fn a_url_is_read_like_a_file_however_it_is_sent() {
    let plain = csv(&days(1..=3)).into_bytes();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain).unwrap();
    let compressed = encoder.finish().unwrap();
    let encoded = vec!["Content-Encoding: gzip".to_owned()];
    let target = Server::start(vec![Answer::Days(days(1..=3))]);
    let redirect = vec![format!("Location: {}", target.url())];
    for answer in [
        Answer::Days(days(1..=3)),
        Answer::Raw("200 OK", encoded, compressed.clone()),
        Answer::Raw("200 OK", vec![], compressed),
        Answer::Raw("302 Found", redirect, vec![]),
    ] {
        let (place, server) = (Place::new(), Server::start(vec![answer]));
        let ended = place.almanac(&["producer", "--interval", "0", "--file", &server.url()]).succeeds();
        assert!(ended.stderr.contains("sent 3 days"), "{ended:#?}");
        assert!(server.requests()[0].contains("user-agent: almanac/"), "{:?}", server.requests());
    }
}

#[test]
fn what_goes_wrong_with_a_url_is_named_and_costs_nothing() {
    let place = Place::new();
    place.produce(&["--days", "5"]);
    let before = kafka().dates(&place.topic);
    let html = vec!["Content-Type: text/html; charset=utf-8".to_owned()];
    let cut = vec!["Content-Length: 1000".to_owned()];
    let loops = Server::start(vec![]);
    loops.answer(vec![Answer::Raw("302 Found", vec![format!("Location: {}", loops.url())], vec![])]);
    for (answer, reason) in [
        (Answer::Raw("404 Not Found", vec![], vec![]), "the server answers 404 Not Found"),
        (Answer::Raw("500 Internal Server Error", vec![], vec![]), "the server answers 500"),
        (Answer::Raw("429 Too Many Requests", vec![], vec![]), "the server answers 429"),
        (Answer::Raw("200 OK", html, b"<html>".to_vec()), "the answer is a web page"),
        (Answer::Raw("200 OK", cut, csv(&days(1..=3)).into_bytes()), "the answer is cut off"),
        (Answer::Raw("200 OK", vec![], b"wind,rain\n1,2\n".to_vec()), "the format of"),
        (Answer::Silence, "nothing came for 30 s"),
    ] {
        let server = Server::start(vec![answer]);
        let ended = place.almanac(&["producer", "--file", &server.url()]).fails(3);
        assert!(ended.stderr.contains(reason), "{reason}: {ended:#?}");
        assert!(ended.stderr.contains(&server.url()), "{ended:#?}");
    }
    for (url, reason) in [
        (loops.url(), "redirects"),
        (format!("http://{}/a", free_address()), "refused"),
        ("http://nowhere.invalid/a".to_owned(), "the host name does not resolve"),
    ] {
        let ended = place.almanac(&["producer", "--file", &url]).fails(3);
        assert!(ended.stderr.contains(reason), "{url}: {ended:#?}");
    }
    assert_eq!(kafka().dates(&place.topic), before);
}

#[test]
fn certificates_of_servers_are_checked() {
    let files = tempfile::tempdir().unwrap();
    let authority = Identity::authority("root");
    let own = Identity::signed_by(&authority, &Subject::default());
    let ca = write(files.path().join("ca.pem"), authority.certificates());
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_private_key(&own.key).unwrap();
    acceptor.set_certificate(&own.chain[0]).unwrap();
    let acceptor = acceptor.build();
    let accept = move |stream| Some(Box::new(acceptor.accept(stream).ok()?) as Box<dyn Stream>);
    let server = Server::with(vec![Answer::Days(days(1..=3))], accept);
    let place = Place::new();
    let url = format!("https://{}/madison.csv", server.address);
    let producer = || place.almanac(&["producer", "--interval", "0", "--file", &url]);
    let ended = producer().fails(3);
    assert!(ended.stderr.contains("certificate verify failed"), "{ended:#?}");
    assert!(ended.stderr.contains("hint: set SSL_CERT_FILE"), "{ended:#?}");
    producer().env("SSL_CERT_FILE", ca).succeeds();
}

#[test]
fn the_usual_variables_name_a_proxy() {
    let proxy = Server::start(vec![Answer::Days(days(1..=3))]);
    let place = Place::new();
    let producer = place.almanac(&["producer", "--interval", "0", "--file", "http://weather.invalid/a.csv"]);
    producer.env("HTTP_PROXY", format!("http://{}", proxy.address)).succeeds();
    assert!(
        proxy.requests().iter().any(|request| request.contains("weather.invalid")),
        "{:?}",
        proxy.requests()
    );
}

/// New days are sent once, also after a restart; corrected ones are counted and not sent; failures are survived.
#[test]
fn a_feed_is_read_again_and_again() {
    let place = Place::new();
    let server = Server::start(vec![Answer::Days(days(1..=3))]);
    let metrics = free_address();
    let url = server.url();
    let start = || {
        let arguments = [
            "producer",
            "--append",
            "--interval",
            "0",
            "--every",
            "1s",
            "--metrics",
            &metrics,
            "--file",
            &url,
        ];
        place.almanac(&arguments).start()
    };
    let count = || kafka().dates(&place.topic).len();
    let mut producer = start();
    producer.stderr_line_with("sent 3 days");
    eventually("the file is asked for by its ETag", || {
        server.requests().iter().any(|request| request.contains("if-none-match: "))
    });
    server.answer(vec![Answer::Days(days(1..=5))]);
    producer.stderr_line_with("sent 2 new days of ");
    assert_eq!(count(), 5);
    assert_eq!(get(&metrics, "/readyz").status, 200);

    let wait = vec!["Retry-After: 2".to_owned()];
    let cut = vec!["Content-Length: 1000".to_owned()];
    for (answer, reason) in [
        (Answer::Raw("500 Internal Server Error", vec![], vec![]), "the server answers 500"),
        (Answer::Raw("429 Too Many Requests", wait, vec![]), "fetching it again in 2 s"),
        (Answer::Raw("404 Not Found", vec![], vec![]), "the server answers 404"),
        (Answer::Raw("200 OK", cut, csv(&days(1..=2)).into_bytes()), "the answer is cut off"),
        (Answer::Raw("200 OK", vec![], b"wind,rain\n1,2\n".to_vec()), "the format of"),
    ] {
        let before = producer.stderr().matches("answers again").count();
        server.answer(vec![answer]);
        eventually_or(reason, || producer.stderr(), || producer.stderr().contains(reason));
        let ready = get(&metrics, "/readyz");
        assert!(ready.status == 503 && ready.text().contains("madison.csv"), "{}", ready.text());
        assert!(get(&metrics, "/metrics").text().contains("almanac_feed_failing 1"));
        server.answer(vec![Answer::Days(days(1..=5))]);
        eventually("it answers again", || producer.stderr().matches("answers again").count() > before);
    }

    let mut corrected = days(1..=6);
    (corrected[0].1, corrected[1].1) = (20.0, 21.0);
    server.answer(vec![Answer::Days(corrected)]);
    producer.stderr_line_with("sent 1 new days of ");
    let warned = producer.stderr_line_with("2 days of ");
    assert!(warned.contains("such as 2024-05-01: 1, now 20; the first value counts"), "{warned}");
    assert!(get(&metrics, "/metrics").text().contains("almanac_feed_changed_days 2"));
    assert_eq!(producer.terminate().code, Some(0));

    let mut producer = start();
    producer.stderr_line_with("2 days of ");
    eventually("it is asked for again", || {
        server.requests().last().is_some_and(|it| it.contains("if-none-match"))
    });
    assert_eq!(producer.terminate().code, Some(0));
    assert_eq!(count(), 6);
}

#[test]
fn a_feed_waits_for_a_server_that_is_away() {
    let place = Place::new();
    let server = Server::start(vec![Answer::Raw("503 Service Unavailable", vec![], vec![])]);
    let arguments = ["producer", "--append", "--interval", "0", "--every", "1s", "--file", &server.url()];
    let mut producer = place.almanac(&arguments).start();
    producer.stderr_line_with("the server answers 503");
    server.answer(vec![Answer::Days(days(1..=3))]);
    producer.stderr_line_with("sent 3 days");
    assert_eq!(producer.terminate().code, Some(0));
}

#[test]
fn up_keeps_the_weather_of_a_server() {
    let server = Server::start(vec![Answer::Days(days(1..=3))]);
    let (place, dashboard) = (Place::at(&free_address()), free_address());
    let arguments =
        ["up", "--interval", "0", "--every", "1s", "--listen", &dashboard, "--file", &server.url()];
    let mut up = place.almanac(&arguments).env("ALMANAC_DATA", place.dir("kafka")).start();
    eventually_or("three days are counted", || up.stderr(), || place.days("files") == 3);
    server.answer(vec![Answer::Days(days(1..=5))]);
    eventually_or("five days are counted", || up.stderr(), || place.days("files") == 5);
    server.answer(vec![Answer::Raw("500 Internal Server Error", vec![], vec![])]);
    eventually("the page says so", || get(&dashboard, "/readyz").text().contains("the server answers 500"));
    assert!(get(&dashboard, "/metrics").text().contains("almanac_feed_failing 1"));
    assert_eq!(up.terminate().code, Some(0), "{}", up.stderr());
}

#[test]
fn feeds_that_can_t_be_are_refused() {
    for (arguments, reason) in [
        (&["producer", "--every", "1h"][..], "--file"),
        (&["producer", "--file", "a.csv", "--every", "1h"], "add --append"),
        (&["producer", "--append", "--file", "-", "--every", "1h"], "stdin can be read only once"),
        (&["producer", "--append", "--file", "a.csv", "--every", "0"], "shorter than a second"),
        (&["producer", "--ghcn", "14837"], "USW00014837"),
        (&["producer", "--open-meteo", "91,0"], "LATITUDE,LONGITUDE"),
        (&["producer", "--open-meteo", "43,-89", "--file", "a.csv"], "cannot be used with"),
    ] {
        let ended = Place::at("127.0.0.1:1").almanac(arguments).fails(2);
        assert!(ended.stderr.contains(reason), "{arguments:?}: {ended:#?}");
    }
}
