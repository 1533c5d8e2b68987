//! `almanac broker`: only a local Kafka.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::broker::{Broker, BrokerError, Environment, HostPort, Settings, kafka_version};
use crate::cli;
use crate::kafka::{Admin, Connection, Property};
use crate::note;
use crate::stop::Stop;

const WATCH_EVERY: Duration = Duration::from_millis(200);
const ANSWER_MAX: Duration = Duration::from_secs(1);

pub fn run(options: &cli::Broker) -> Result<()> {
    let stop = Stop::on_signals()?;
    let Some(mut broker) = start(options.listen.clone(), &options.local, &stop)? else { return Ok(()) };
    note!("Apache Kafka {} answers at {}; Ctrl-C stops it", kafka_version(), broker.bootstrap());
    while !stop.wait(WATCH_EVERY) {
        refuse_dead(&mut broker)?;
    }
    Ok(broker.stop()?)
}

/// Starts a local Kafka and waits until it answers; nothing if asked to stop meanwhile.
pub(super) fn start(listen: HostPort, local: &cli::LocalKafka, stop: &Stop) -> Result<Option<Broker>> {
    let settings = Settings {
        listen,
        data: super::data_dir(local)?,
        set: local.set.iter().map(|set| (set.key.clone(), set.value.clone())).collect(),
        env: Environment::from_process(),
    };
    let is_ready = &mut |bootstrap: &str| is_kafka(bootstrap, &[]);
    match Broker::start(&settings, is_ready, &mut |text| note!("{text}"), stop.flag()) {
        Ok(broker) => Ok(Some(broker)),
        Err(BrokerError::Stopped) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a Kafka answers there, to a client with these properties.
pub(super) fn is_kafka(bootstrap: &str, properties: &[Property]) -> bool {
    let connection = Connection { brokers: bootstrap.to_owned(), properties: properties.to_vec() };
    Admin::new(&connection).and_then(|admin| admin.cluster_id(ANSWER_MAX)).is_ok()
}

pub(super) fn refuse_dead(broker: &mut Broker) -> Result<()> {
    if let Some(status) = broker.exited() {
        bail!("Apache Kafka ended by itself ({status}):\n{}", broker.last_words());
    }
    Ok(())
}
