//! `almanac broker`: only a local Kafka.

use std::time::Duration;

use anyhow::Result;

use super::{Refusal, progress};
use crate::broker::{self, Broker, BrokerError, Environment, HostPort, Member, Settings, kafka_version};
use crate::cli;
use crate::kafka::{Admin, Connection, Property};
use crate::note;
use crate::stop::Stop;

const WATCH_EVERY: Duration = Duration::from_millis(200);
/// How long something on this machine may take to answer as a Kafka.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

pub fn run(options: &cli::Broker) -> Result<()> {
    if options.check {
        return check(options.also_listen.as_ref().unwrap_or(&options.listen));
    }
    let stop = Stop::on_signals()?;
    if options.jars {
        return jars(&stop);
    }
    if let Some(advertise) = options.advertise.as_ref().filter(|advertise| advertise.port == 0) {
        let what = format!("clients can't connect to port 0: --advertise {advertise}");
        return Err(Refusal::usage(what).hint("name the port that clients reach").into());
    }
    let settings = Settings {
        advertise: options.advertise.clone(),
        local: options.also_listen.clone(),
        member: member(&options.cluster),
        ..settings(options.listen.clone(), &options.local)?
    };
    let Some(mut broker) = start(&settings, &stop)? else { return Ok(()) };
    note!("Apache Kafka {} answers at {}; Ctrl-C stops it", kafka_version(), broker.bootstrap());
    while !stop.wait(WATCH_EVERY) {
        refuse_dead(&mut broker)?;
    }
    Ok(broker.stop()?)
}

/// A node on its own.
pub(super) fn settings(listen: HostPort, local: &cli::LocalKafka) -> Result<Settings> {
    Ok(Settings {
        listen,
        advertise: None,
        local: None,
        member: None,
        data: super::data_dir(local)?,
        set: cli::all_properties(&local.set).into_iter().map(|set| (set.key, set.value)).collect(),
        env: Environment::from_process(),
    })
}

/// Without a quorum there is neither of the two, and the other way round; clap sees to that.
fn member(cluster: &cli::Cluster) -> Option<Member> {
    let (node, cluster_id) = (cluster.node?, cluster.cluster_id.clone()?);
    Some(Member { node, cluster_id, quorum: cluster.quorum.clone() })
}

/// Fails unless a Kafka answers at this address.
fn check(address: &HostPort) -> Result<()> {
    if address.port == 0 {
        let what = format!("nobody can connect to port 0: {address}");
        return Err(Refusal::usage(what).hint("name the port that Kafka listens at").into());
    }
    let address = address.reachable().to_string();
    if !is_kafka(&address, &[]) {
        return Err(BrokerError::NoAnswer { address }.into());
    }
    note!("Kafka answers at {address}");
    Ok(())
}

fn jars(stop: &Stop) -> Result<()> {
    match progress::with_steps(|step| broker::jars(&Environment::from_process(), step, stop.flag())) {
        Ok(jars) => super::print(&format!("{}\n", jars.display())),
        Err(BrokerError::Stopped) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Starts a local Kafka and waits until it answers; nothing if asked to stop meanwhile.
pub(super) fn start(settings: &Settings, stop: &Stop) -> Result<Option<Broker>> {
    let is_ready = &mut |bootstrap: &str| is_kafka(bootstrap, &[]);
    match progress::with_steps(|step| Broker::start(settings, is_ready, step, stop.flag())) {
        Ok(broker) => Ok(Some(broker)),
        Err(BrokerError::Stopped) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a Kafka answers there, to a client with these properties.
pub(super) fn is_kafka(bootstrap: &str, properties: &[Property]) -> bool {
    let connection = Connection { brokers: bootstrap.to_owned(), properties: properties.to_vec() };
    Admin::new(&connection).and_then(|admin| admin.cluster_id(PROBE_TIMEOUT)).is_ok()
}

pub(super) fn refuse_dead(broker: &mut Broker) -> Result<()> {
    if let Some(status) = broker.exited() {
        return Err(BrokerError::Ended { status, last_words: broker.last_words() }.into());
    }
    Ok(())
}
