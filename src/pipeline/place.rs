//! The place whose reports are counted: one for all partitions of a log, decided before the first report counts.

use almanac_core::place::{Place, shown_station};

use super::consumer::Consumer;
use super::error::PipelineError;
use super::trust::{Interrupt, Reconnect};
use crate::kafka::{KafkaError, Records, SHORT_REQUEST_TIMEOUT, Span, read_spans};
use crate::report::Decoder;

/// The oldest records of a log that are looked at for a station.
const OLDEST_RECORDS: i64 = 1000;

impl Consumer<'_> {
    /// Learns the place of the log that was found. If it is not decided, the user may have named it, or a former version
    /// may have counted without one. Else the first valid report will decide it.
    pub(super) fn settle_place(&mut self) -> Result<(), Interrupt> {
        let topic_id = &self.kafka.identity.topic.id;
        let named = self.settings.station.clone();
        let mut place = self.store.place(topic_id).map_err(Interrupt::of_store)?;
        if place.is_none()
            && let Some(station) =
                named.clone().map_or_else(|| self.former_station(), |named| Ok(Some(named)))?
        {
            let decided = self.store.decide_place(topic_id, &Place::of(station));
            place = Some(decided.map_err(Interrupt::of_store)?);
        }
        self.decoder = place.map_or_else(Decoder::default, |place| Decoder::of(&place.station));
        match (self.decoder.station(), named) {
            (Some(theirs), Some(ours)) if theirs != ours => {
                let (theirs, ours) = (shown_station(theirs), shown_station(&ours));
                Err(PipelineError::OtherStation { dir: self.settings.dir.clone(), theirs, ours }.into())
            }
            _ => Ok(()),
        }
    }

    /// The station that a version of almanac counted that did not know stations: that of the oldest report in the log.
    /// It is none where nothing was counted.
    fn former_station(&self) -> Result<Option<String>, Interrupt> {
        let (topic, mut has_counted) = (&self.settings.topic, false);
        for number in self.store.reader().partitions().map_err(Interrupt::of_store)? {
            // One that can't be read is refused when it is claimed.
            let Ok(loaded) = self.store.reader().load(number) else { continue };
            let (Some(log), Some(checkpoint)) = (loaded.log, loaded.checkpoint) else { continue };
            if log.topic_id != self.kafka.identity.topic.id || checkpoint.statistics.is_empty() {
                continue;
            }
            has_counted = true;
            let watermarks = self.kafka.clients.first.watermarks(topic, number, SHORT_REQUEST_TIMEOUT);
            let (low, high) = watermarks.map_err(interrupt)?;
            let start = log.first_offset.max(low);
            let end = checkpoint.offset.min(high).min(start.saturating_add(OLDEST_RECORDS));
            let (mut decoder, mut station) = (Decoder::default(), None);
            if start < end {
                let span = Span { partition: number, start, end };
                read_spans(&self.settings.connection, topic, &[span], |record| {
                    if station.is_none() {
                        let found = decoder.decode_with_station(record.value);
                        station = found.ok().map(|(_, station)| station.to_owned());
                    }
                })
                .map_err(interrupt)?;
            }
            if station.is_some() {
                return Ok(station);
            }
        }
        // Nothing of it is left in the log.
        Ok(has_counted.then(String::new))
    }

    /// Has the first valid report among these decide the place, durably, before it is counted.
    #[cold]
    pub(super) fn decide_place(&mut self, records: Records) -> Result<(), Interrupt> {
        let Some(partition) = self.owned.get(&records.partition) else { return Ok(()) };
        let next_offset = partition.next_offset();
        for record in records.flatten().filter(|record| record.offset >= next_offset) {
            if let Ok((_, station)) = self.decoder.decode_with_station(record.value) {
                let place = Place::of(station);
                let decided = self.store.decide_place(&self.kafka.identity.topic.id, &place);
                let place = decided.map_err(Interrupt::of_store)?;
                self.decoder = Decoder::of(&place.station);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes in a producer's description of the place, if it is this one.
    pub(super) fn note_place(&mut self, said: Place) {
        if self.decoder.station() == Some(&said.station) {
            self.place.get_or_insert_default().complete(&said);
        }
    }

    /// Keeps the producers' description of the place. Nothing depends on it.
    pub(super) fn keep_place(&mut self) {
        let Some(place) = self.place.take() else { return };
        if let Err(error) = self.store.complete_place(&self.kafka.identity.topic.id, &place) {
            tracing::debug!(%error, "can't keep what is known of the place");
            self.place = Some(place);
        }
    }
}

fn interrupt(error: KafkaError) -> Interrupt {
    if error.is_transient() { Reconnect::NotStarted(error).into() } else { error.into() }
}
