//! The latency log: for each second, operation and outcome, three HdrHistograms: response, service
//! and send lag.
//!
//! The file is an interval log of HdrHistogram, version 1.3, as its own tools read it and merge it
//! (`HistogramLogProcessor`, hdrhistogram's plotter); a line's tag is
//! `<operation>.<outcome>.<which>`; the outcome of an operation that found no connection is
//! `not_connected`. Values are microseconds. A second is the one in which the
//! operation returned.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    time::{Duration, SystemTime},
};

use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, IntervalLogWriterError, Tag},
    },
};
use slotproof_vocabulary::{ErrorClass, Operation};

/// Longer durations count as this one: an hour.
pub const LATENCY_US_MAX: u64 = 3_600_000_000;
/// A second is written when it has been over for this long: by then every client has recorded what
/// returned in it.
const OPEN_SECONDS: u64 = 2;
/// The interval of each line.
const SECOND: Duration = Duration::from_secs(1);

/// Response, service and send lag of one kind of operation.
#[derive(Debug, Clone)]
pub struct Durations {
    /// returned - scheduled.
    pub response: Histogram<u64>,
    /// returned - sent.
    pub service: Histogram<u64>,
    /// sent - scheduled.
    pub lag: Histogram<u64>,
}

impl Default for Durations {
    fn default() -> Self {
        let empty =
            || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are valid");
        Self { response: empty(), service: empty(), lag: empty() }
    }
}

impl Durations {
    /// Counts one operation.
    pub fn record(&mut self, operation: &Operation) {
        self.record_instants(operation.scheduled_ns, operation.sent_ns, operation.returned_ns);
    }

    /// Counts an operation by its instants.
    pub fn record_instants(&mut self, scheduled_ns: u64, sent_ns: u64, returned_ns: u64) {
        let us = |from_ns: u64, to_ns: u64| to_ns.saturating_sub(from_ns) / 1_000;
        self.response.saturating_record(us(scheduled_ns, returned_ns));
        self.service.saturating_record(us(sent_ns, returned_ns));
        self.lag.saturating_record(us(scheduled_ns, sent_ns));
    }

    fn reset(&mut self) {
        self.response.reset();
        self.service.reset();
        self.lag.reset();
    }
}

/// Which operations share their histograms: the operation, and what it counts as.
type Kind = (&'static str, &'static str);

/// A latency log that is being written.
pub(crate) struct LatencyLog<'a> {
    log: IntervalLogWriter<'a, 'a, File, V2DeflateSerializer>,
    start_ns: u64,
    /// Seconds that are not written yet.
    open: BTreeMap<u64, BTreeMap<Kind, Durations>>,
    /// Empty histograms: a new one costs more than recording.
    spare: Vec<Durations>,
    /// The first second that is not written. An operation that returned earlier and is recorded
    /// late counts in it.
    unwritten: u64,
}

impl<'a> LatencyLog<'a> {
    /// Begins a log whose seconds count from `start_ns`, the start of the load.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn begin(
        file: &'a mut File,
        serializer: &'a mut V2DeflateSerializer,
        start_ns: u64,
    ) -> io::Result<Self> {
        let now = SystemTime::now();
        let log = IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.2]")
            .add_comment("[Values are microseconds; tags are operation.outcome.which]")
            .with_start_time(now)
            .with_base_time(now)
            .begin_log_with(file, serializer)?;
        Ok(Self { log, start_ns, open: BTreeMap::new(), spare: Vec::new(), unwritten: 0 })
    }

    pub(crate) fn record(&mut self, operation: &Operation) {
        let second = operation.returned_ns.saturating_sub(self.start_ns) / 1_000_000_000;
        let kinds = self.open.entry(second.max(self.unwritten)).or_default();
        let spare = &mut self.spare;
        kinds
            .entry((operation.action.name(), operation.counts_as()))
            .or_insert_with(|| spare.pop().unwrap_or_default())
            .record(operation);
    }

    /// Writes the seconds that are over, and returns the response latency of the last of them, of
    /// the operations that were decided.
    pub(crate) fn pulse(&mut self, now_ns: u64) -> io::Result<Option<Histogram<u64>>> {
        let now = now_ns.saturating_sub(self.start_ns) / 1_000_000_000;
        let mut last = None;
        while let Some((second, kinds)) = self.open.pop_first() {
            if second + OPEN_SECONDS > now {
                self.open.insert(second, kinds);
                break;
            }
            last = Some(self.write(second, kinds)?);
        }
        Ok(last)
    }

    pub(crate) fn end(mut self) -> io::Result<()> {
        while let Some((second, kinds)) = self.open.pop_first() {
            self.write(second, kinds)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        second: u64,
        kinds: BTreeMap<Kind, Durations>,
    ) -> io::Result<Histogram<u64>> {
        self.unwritten = second + 1;
        let mut all = Durations::default().response;
        for ((operation, outcome), mut durations) in kinds {
            if ErrorClass::ALL.iter().all(|class| class.name() != outcome) {
                all.add(&durations.response).map_err(io::Error::other)?;
            }
            let three = [
                ("response", &durations.response),
                ("service", &durations.service),
                ("lag", &durations.lag),
            ];
            for (which, histogram) in three {
                let tag = format!("{operation}.{outcome}.{which}");
                let tag = Tag::new(&tag).expect("it has neither a comma nor a space");
                self.log
                    .write_histogram(histogram, Duration::from_secs(second), SECOND, Some(tag))
                    .map_err(unwritten)?;
            }
            durations.reset();
            self.spare.push(durations);
        }
        Ok(all)
    }
}

fn unwritten(
    error: IntervalLogWriterError<impl std::error::Error + Send + Sync + 'static>,
) -> io::Error {
    match error {
        IntervalLogWriterError::IoError(error) => error,
        IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hdrhistogram::serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry, Tag},
    };
    use slotproof_vocabulary::{Action, Outcome};

    use super::*;

    fn read(returned_ns: u64, outcome: Outcome) -> Operation {
        Operation {
            scheduled_ns: returned_ns - 3_000_000,
            outcome,
            ..Operation::new(1, "s", Action::Read, returned_ns - 1_000_000, returned_ns)
        }
    }

    #[test]
    fn the_log_is_read_by_the_standard_reader_and_holds_every_operation() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("latency.hlog");
        let second = 1_000_000_000;
        let (mut file, mut serializer) =
            (File::create_new(&path).expect("it can be made"), V2DeflateSerializer::new());
        let mut log = LatencyLog::begin(&mut file, &mut serializer, 0).expect("it is begun");
        for n in 1..=100 {
            log.record(&read(second / 2 + n, Outcome::Ok));
        }
        log.record(&read(2 * second, Outcome::Unknown));
        assert!(
            log.pulse(second).expect("it is written").is_none(),
            "the second is not over for long enough"
        );
        let last = log.pulse(2 * second).expect("it is written").expect("the first second is over");
        assert_eq!((last.len(), last.value_at_quantile(0.5) / 1_000), (100, 3));
        log.record(&read(second / 2, Outcome::Ok));
        log.end().expect("it is written");

        let text = std::fs::read(&path).expect("it is there");
        let mut counts: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
        for entry in IntervalLogIterator::new(&text) {
            let LogEntry::Interval(interval) = entry.expect("it is well-formed") else { continue };
            let tag = interval.tag().as_ref().map(Tag::as_str).expect("a tag").to_owned();
            let bytes = STANDARD.decode(interval.encoded_histogram()).expect("base64");
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram");
            let key = (tag, interval.start_timestamp().as_secs());
            counts.insert(key, (histogram.len(), histogram.max() / 1_000));
        }
        let key = |tag: &str, second| (tag.to_owned(), second);
        assert_eq!(counts[&key("read.ok.response", 0)], (100, 3));
        assert_eq!(counts[&key("read.ok.service", 0)], (100, 1));
        assert_eq!(counts[&key("read.ok.lag", 0)], (100, 2));
        assert_eq!(
            counts[&key("read.ok.response", 1)].0,
            1,
            "what comes late counts in the next second"
        );
        assert_eq!(counts[&key("read.unknown.response", 2)].0, 1);
        assert_eq!(counts.len(), 9);
    }
}
