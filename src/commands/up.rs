//! `almanac up`: everything on one machine, in one process next to Kafka's.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle, ScopedJoinHandle};
use std::time::{Duration, Instant};

use almanac_core::place::Place;
use anyhow::{Error, Result, anyhow};
use indicatif::HumanCount;

use super::producer::{AWAY, Weather, open_feed, tell, watched};
use super::progress::Bar;
use super::{Exit, Refusal, broker, dashboard, plot, progress};
use crate::arguments::BROKER_PORT;
use crate::broker::{Broker, BrokerError, HostPort, Listening, is_loopback, kafka_version, who_listens};
use crate::cli::{self, DASHBOARD_AT};
use crate::dashboard::{Dashboard, DashboardError, Settings};
use crate::failure::fact;
use crate::feed::{Feed, Health};
use crate::kafka::{self, Admin, Connection, REQUEST_TIMEOUT};
use crate::note;
use crate::pipeline::{self, Policy};
use crate::producer::{self, TopicPlan, Trouble};
use crate::report::Decoder;
use crate::source::{Sent, Synthetic};
use crate::status::{Board, Status};
use crate::stop::Stop;
use crate::store::{self, Begun};

const PARTITIONS: i32 = 4;
/// How long to wait for the first day before saying that everything runs.
const COUNTED_WITHIN: Duration = Duration::from_secs(3);
/// How often the status line and the plot are looked after.
const REFRESH_EVERY: Duration = Duration::from_millis(500);
/// How often the status is a line of its own, without a terminal to keep one line on.
const PLAIN_STATUS_EVERY: Duration = Duration::from_secs(10);

pub fn run(options: &cli::Up) -> Result<()> {
    let stop = Stop::on_signals()?;
    let is_any_port = local_address(options).is_some_and(|address| address.port == 0);
    let mut connection = match is_any_port {
        true => super::client(&options.kafka)?,
        false => super::connection(&options.kafka)?,
    };
    let dir = &options.dir.dir;
    let health = Arc::new(Health::default());
    let mut feed = open_feed(&options.files, &health)?;
    // Before anything is sent, deleted or started: another 'up' may be at work.
    store::refuse_owned(dir, 0..PARTITIONS)?;
    let found = find_kafka(options)?;
    let page = Page::open(options, feed.as_ref().map(|_| &health))?;
    // Before Kafka is started: a bad file must cost nothing.
    let Some(weather) = Weather::read(&options.files, &options.synthetic, feed.as_mut(), &stop)? else {
        return Ok(());
    };
    let mut kafka = None;
    let broker = match found {
        Kafka::IsThere => {
            note!("using the Kafka at {}, which 'up' did not start", connection.brokers);
            None
        }
        Kafka::StartAt(listen) => {
            let settings = broker::settings(listen, &options.local)?;
            let started = broker::start(&settings, &stop).map_err(with_own_option)?;
            let Some(broker) = started else {
                return Ok(());
            };
            if is_any_port {
                broker.bootstrap().clone_into(&mut connection.brokers);
            }
            kafka = Some(format!(
                "Apache Kafka {} answers at {}; its data is in {}",
                kafka_version(),
                broker.bootstrap(),
                settings.data.display()
            ));
            Some(broker)
        }
    };
    let announcement = Announcement { kafka, page: page.as_ref().map(|page| page.address) };
    let mut machine = Machine { options, connection, stop, broker, announcement };
    let result = machine.work(weather, feed);
    let broker = machine.broker.take();
    let stopped = progress::with_steps(|step| {
        step("stopping");
        broker.map_or(Ok(()), Broker::stop)
    });
    result?;
    stopped?;
    note!("stopped; the data is kept, and the next start continues");
    Ok(())
}

/// The option --listen of `broker` is --brokers here.
fn with_own_option(error: Error) -> Error {
    match error.downcast::<BrokerError>() {
        Ok(error) => error.with_listen_option("--brokers").into(),
        Err(error) => error,
    }
}

/// The dashboard, on a thread of its own; dropped, it ends. Whatever becomes of it, all else goes on.
struct Page {
    address: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// There before Kafka is, so that the page can be looked at while that starts.
    fn open(options: &cli::Up, feed: Option<&Arc<Health>>) -> Result<Option<Page>> {
        if options.no_dashboard {
            return Ok(None);
        }
        let dashboard = take_port(options, feed)?;
        let address = dashboard.address();
        let stop = Stop::default();
        let asked = stop.clone();
        let serve = move || {
            if let Err(error) = dashboard.run(&asked) {
                tracing::warn!("no more dashboard: {}", fact(&error));
            }
        };
        let thread = thread::Builder::new().name("dashboard".to_owned()).spawn(serve)?;
        Ok(Some(Page { address, stop, thread: Some(thread) }))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.ask();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the dashboard panicked; this is a bug");
        }
    }
}

/// The port that was named, and no other; where none was, the usual one or, if that is taken, a free one.
fn take_port(options: &cli::Up, feed: Option<&Arc<Health>>) -> Result<Dashboard> {
    let reader = store::reader(&options.dir.dir)?;
    let at = |listen: HostPort| {
        dashboard::bind(Settings {
            listen,
            dir: options.dir.dir.clone(),
            reader: Arc::clone(&reader),
            hosts: options.allow_host.clone(),
            stall_after: pipeline::STALL_AFTER,
            feed: feed.cloned(),
        })
    };
    if let Some(listen) = &options.listen {
        return Ok(at(listen.clone())?);
    }
    let usual: HostPort = DASHBOARD_AT.parse()?;
    match at(usual.clone()) {
        Err(DashboardError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            note!("{usual} is taken; --listen names another address for the dashboard");
            Ok(at(HostPort { port: 0, ..usual })?)
        }
        other => Ok(other?),
    }
}

enum Kafka {
    IsThere,
    StartAt(HostPort),
}

/// The one address of this machine that --brokers names, if that is what it names.
fn local_address(options: &cli::Up) -> Option<HostPort> {
    let brokers = &options.kafka.brokers;
    HostPort::parse(brokers, Some(BROKER_PORT)).ok().filter(is_loopback)
}

/// A Kafka is only started on this machine, and only where nobody listens.
fn find_kafka(options: &cli::Up) -> Result<Kafka> {
    let brokers = &options.kafka.brokers;
    let Some(address) = local_address(options) else { return Ok(Kafka::IsThere) };
    let properties = &cli::all_properties(&options.kafka.properties);
    match who_listens(&address, &mut |bootstrap| broker::is_kafka(bootstrap, properties)) {
        Listening::Kafka => Ok(Kafka::IsThere),
        Listening::Nobody => Ok(Kafka::StartAt(address)),
        // Or Kafka refuses a client with these properties: then the next request says why.
        Listening::SomethingElse if !properties.is_empty() => Ok(Kafka::IsThere),
        Listening::SomethingElse => {
            let fact = format!("what listens at {brokers} is not Kafka");
            Err(Refusal::new(Exit::Kafka, fact).hint("name another port with --brokers").into())
        }
    }
}

struct Machine<'a> {
    options: &'a cli::Up,
    connection: Connection,
    stop: Stop,
    broker: Option<Broker>,
    announcement: Announcement,
}

/// Prints where everything is and how to stop it, once that holds.
struct Announcement {
    /// The Kafka that was started, if one was.
    kafka: Option<String>,
    page: Option<SocketAddr>,
}

impl Announcement {
    fn say(&self, dir: &Path) {
        if let Some(kafka) = &self.kafka {
            note!("{kafka}");
        }
        let picture = if dir.join("month.svg").exists() { " and month.svg" } else { "" };
        note!("checkpoints{picture} are in {}", dir.display());
        note!("Ctrl-C stops everything and keeps the data");
        if let Some(address) = self.page {
            note!("dashboard at http://{address}/");
        }
    }
}

impl Machine<'_> {
    /// Runs producer and consumer until asked to stop, or one of them fails.
    fn work(&mut self, (weather, place): (Weather, Place), mut feed: Option<Feed>) -> Result<()> {
        let options = self.options;
        let plan = self.plan(&place);
        let ownership = Ownership::new(options, &self.connection, self.broker.is_some())?;
        ownership.check()?;
        let client = producer::Sender::new(&self.connection, &plan.topic)?.at(&place);
        let prepared = producer::prepare(&self.connection, &plan, &self.stop)?;
        ownership.note_created()?;
        tell(&plan, &prepared);
        weather.note_in(feed.as_mut(), &prepared);
        let settings = self.counting(prepared.partitions);
        let view = View {
            dir: &options.dir.dir,
            board: settings.board.clone(),
            partitions: usize::try_from(prepared.partitions).unwrap_or(0),
            present: prepared.present.len() as u64,
            announcement: &self.announcement,
        };
        weather.tell_missing(&plan.topic, &prepared.present, &options.pace)?;
        let reports = weather.reports(prepared.present, &options.pace);
        let interval = options.pace.interval;
        let trouble = Trouble::default();
        let (producing, consuming, failed) = (Stop::default(), Stop::default(), Stop::default());
        let watched_for_failure = |result: Result<()>| result.inspect_err(|_| failed.ask());
        thread::scope(|scope| {
            let producer = scope.spawn(|| {
                let send = |reports: Box<dyn Iterator<Item = Sent> + Send>| {
                    watched(&self.connection, &plan.topic, &client, &trouble, || {
                        producer::send_all(&client, reports, interval, &producing)
                    })
                };
                let sent = send(reports).and_then(|()| match feed {
                    None => Ok(()),
                    Some(mut feed) => {
                        feed.follow(&producing, |days| send(Box::new(days.into_iter().map(Sent::first))))
                    }
                });
                watched_for_failure(sent.map_err(Into::into))
            });
            let consumer =
                scope.spawn(|| watched_for_failure(pipeline::run(&settings, &consuming).map_err(Into::into)));
            let watched = view.keep(&self.stop, &failed, self.broker.as_mut(), (&client, &trouble));
            // The reports first, then what is made of them.
            producing.ask();
            let produced = join(producer);
            consuming.ask();
            let consumed = join(consumer);
            view.redraw();
            watched.and(produced).and(consumed)
        })
    }

    fn plan(&self, place: &Place) -> TopicPlan {
        TopicPlan {
            topic: self.options.kafka.topic.clone(),
            partitions: PARTITIONS,
            replication: 1,
            append: !self.options.fresh,
            recreate: self.options.fresh,
            station: place.station.clone(),
        }
    }

    /// The consumer's settings.
    fn counting(&self, partitions: i32) -> pipeline::Settings {
        pipeline::Settings {
            connection: self.connection.clone(),
            topic: self.options.kafka.topic.clone(),
            dir: self.options.dir.dir.clone(),
            group: "almanac".to_owned(),
            station: None,
            partitions: Some((0..partitions).collect()),
            take_over: false,
            handover_timeout: Duration::ZERO,
            checkpoint_every: None,
            stall_after: pipeline::STALL_AFTER,
            policy: Policy { accept_new_log: self.broker.is_some(), ..Policy::default() },
            board: Board::default(),
        }
    }
}

/// The owner of the topic. `up` sends made-up weather to what it began itself, and to nothing else.
struct Ownership<'a> {
    options: &'a cli::Up,
    connection: &'a Connection,
    admin: Admin,
    cluster_id: String,
    /// The directories that note the topics of `up`: that of the counts, and that of a Kafka of its own.
    dirs: Vec<PathBuf>,
    is_own_kafka: bool,
}

impl<'a> Ownership<'a> {
    fn new(options: &'a cli::Up, connection: &'a Connection, is_own_kafka: bool) -> Result<Ownership<'a>> {
        let admin = Admin::new(connection)?;
        let cluster_id = admin.cluster_id(REQUEST_TIMEOUT)?;
        let mut dirs = vec![store::private_dir(&options.dir.dir)];
        if is_own_kafka {
            dirs.push(super::data_dir(&options.local)?);
        }
        Ok(Ownership { options, connection, admin, cluster_id, dirs, is_own_kafka })
    }

    /// Refuses a topic of others. Notes that this one is to be created, if it is.
    fn check(&self) -> Result<()> {
        let topic = &self.options.kafka.topic;
        let found = self.admin.describe(topic, REQUEST_TIMEOUT)?;
        if let Some(found) = &found {
            let spans = kafka::extent(&self.admin, topic, found.partitions)?;
            let records: i64 = spans.iter().map(kafka::Span::len).sum();
            // A Kafka of its own has nothing that --fresh is not meant for.
            let may_delete = self.options.fresh && self.is_own_kafka;
            let is_own =
                || Ok::<_, Error>(self.is_begun(&found.id, records == 0)? || self.is_made_up(&spans)?);
            if !self.options.adopt && !may_delete && !is_own()? {
                let fact = format!(
                    "topic {topic} on {} has {records} records, and 'up' did not create it: its weather would be \
                     mixed with them",
                    self.connection.brokers
                );
                let hint = match self.is_own_kafka {
                    true => {
                        "start over with `almanac up --fresh`, or name another --topic, or add to this one with --adopt"
                    }
                    false => {
                        "name another --topic, or add to this one with --adopt, or delete it with --adopt --fresh"
                    }
                };
                return Err(Refusal::usage(fact).hint(hint).into());
            }
        }
        // If it is to be deleted, it may be, or not, when a crash comes: both are known then.
        self.note(found.map(|found| found.id))
    }

    /// After the topic was created, and before anything is sent to it.
    fn note_created(&self) -> Result<()> {
        let found = self.admin.describe(&self.options.kafka.topic, REQUEST_TIMEOUT)?;
        self.note(found.map(|found| found.id))
    }

    fn note(&self, topic_id: Option<String>) -> Result<()> {
        let (cluster_id, topic) = (self.cluster_id.clone(), self.options.kafka.topic.clone());
        let begun = Begun { cluster_id, topic, topic_id };
        self.dirs.iter().try_for_each(|dir| store::note_begun(dir, &begun))?;
        Ok(())
    }

    fn is_begun(&self, topic_id: &str, is_empty: bool) -> Result<bool> {
        let topic = &self.options.kafka.topic;
        for dir in &self.dirs {
            let noted = store::begun_in(dir)?;
            if noted.iter().any(|begun| begun.is(&self.cluster_id, topic, topic_id, is_empty)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a topic of a Kafka of its own has the made-up weather of this seed and nothing else, as `almanac producer`
    /// sends it.
    fn is_made_up(&self, spans: &[kafka::Span]) -> Result<bool> {
        if !self.is_own_kafka {
            return Ok(false);
        }
        let (weather, mut decoder) = (Synthetic::new(self.options.synthetic.seed), Decoder::default());
        let mut is_made_up = true;
        kafka::read_spans(self.connection, &self.options.kafka.topic, spans, |record| {
            let report = decoder.decode(record.value);
            is_made_up &= report.is_ok_and(|it| it.degrees.to_bits() == weather.degrees(it.date).to_bits());
        })?;
        Ok(is_made_up)
    }
}

fn join(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked; this is a bug")))
}

/// The view of the work: the picture, and a line about the partitions.
struct View<'a> {
    dir: &'a Path,
    board: Board,
    partitions: usize,
    /// Days that the topic had before.
    present: u64,
    announcement: &'a Announcement,
}

impl View<'_> {
    /// Keeps the status line and the plot until it is time to stop.
    fn keep(
        &self,
        stop: &Stop,
        failed: &Stop,
        mut broker: Option<&mut Broker>,
        (client, trouble): (&producer::Sender, &Trouble),
    ) -> Result<()> {
        let mut line = StatusLine::new();
        let (mut drawn_days, mut is_announced, mut opened) = (0, false, None);
        while !stop.wait(REFRESH_EVERY) && !failed.is_asked() {
            if let Some(broker) = broker.as_deref_mut() {
                broker::refuse_dead(broker)?;
            }
            let statuses: Vec<Status> = self.board.all().into_iter().map(|(status, _)| status).collect();
            if statuses.is_empty() {
                continue;
            }
            let days = statuses.iter().map(|status| status.days).sum();
            if days != drawn_days {
                self.redraw();
                drawn_days = days;
            }
            let has_all = statuses.len() == self.partitions;
            let opened = *opened.get_or_insert_with(Instant::now);
            if has_all && !is_announced && (days > 0 || opened.elapsed() > COUNTED_WITHIN) {
                self.announcement.say(self.dir);
                is_announced = true;
            }
            let sent = self.present.saturating_add(client.acknowledged().days);
            line.show(&status_line(sent, trouble.now().is_some(), &statuses));
        }
        line.bar.clear();
        Ok(())
    }

    /// The picture follows the files. That it can't be drawn yet, or just now, stops nothing.
    fn redraw(&self) {
        if let Err(error) = plot::draw_months(self.dir) {
            tracing::warn!("month.svg not drawn: {error:#}");
        }
    }
}

/// All days of the topic, and those of them that are counted; both also of starts before.
fn status_line(sent: u64, is_waiting: bool, statuses: &[Status]) -> String {
    let counted: u64 = statuses.iter().map(|status| status.days).sum();
    let lag: Option<i64> = statuses.iter().map(|status| status.lag).sum();
    let lag = lag.map_or("–".to_owned(), |lag| lag.to_string());
    let newest = statuses.iter().filter_map(|status| status.newest.as_deref()).max().unwrap_or("none yet");
    let away = if is_waiting { format!(" ({AWAY})") } else { String::new() };
    let (sent, counted) = (HumanCount(sent.max(counted)), HumanCount(counted));
    format!("days sent {sent}{away}, days counted {counted}, lag {lag} records, newest day {newest}")
}

/// One line that changes on a terminal, or a line now and then elsewhere.
struct StatusLine {
    is_on_terminal: bool,
    bar: Bar,
    last: Option<Instant>,
}

impl StatusLine {
    fn new() -> Self {
        StatusLine { is_on_terminal: progress::has_bars(), bar: Bar::default(), last: None }
    }

    fn show(&mut self, text: &str) {
        if self.is_on_terminal {
            self.bar.show(progress::spinner, |bar| bar.set_message(text.to_owned()));
        } else if self.last.is_none_or(|last| last.elapsed() >= PLAIN_STATUS_EVERY) {
            self.last = Some(Instant::now());
            note!("{text}");
        }
    }
}
