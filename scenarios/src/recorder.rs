//! The recorder: turns the operations of all clients into a history and a latency log while the
//! load runs, in bounded memory.
//!
//! Clients append operations to a few shared buffers. Four times a second, and whenever a buffer is
//! full, its operations go to one thread that serializes, compresses, counts and writes. All
//! operations of one client go through one buffer, in their order: a history that breaks off holds
//! a prefix of what each client did.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use hdrhistogram::serialization::V2DeflateSerializer;
use slotproof_vocabulary::{Operation, Outcome};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::{clock::Clock, history_file::HistoryFile, latency_log::LatencyLog};

/// Enough that clients rarely wait for one another.
const BUFFERS: usize = 64;
/// Operations of a full buffer.
const BUFFER: usize = 128;
/// Buffers that wait for the writer; when they are this many, the clients wait too. At most 80 MB.
const QUEUE: usize = 1_024;
/// How long an operation stays in a buffer at most.
const COLLECT_EVERY: Duration = Duration::from_millis(250);

/// Where operations go. What is `None` is not written.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// The history file; it must not exist.
    pub history: Option<PathBuf>,
    /// The latency log; it must not exist.
    pub latency: Option<PathBuf>,
}

/// What clients record with. Clones share the outputs.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    buffers: Vec<AsyncMutex<Vec<Operation>>>,
    writer: mpsc::Sender<Message>,
    outputs: Outputs,
    start: OnceLock<(u64, Clock)>,
    stopping: AtomicBool,
    by_outcome: [AtomicU64; Outcome::ALL.len()],
    /// Operations without a decision.
    errors: AtomicU64,
    figures: Mutex<Figures>,
}

#[derive(Debug)]
enum Message {
    Operations(Vec<Operation>),
    /// Time has passed: a frame or a second may be over, although no operation was recorded.
    Pulse,
    End,
}

/// What is known while the load runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Response latency of the last second that is complete, median.
    pub response_us_p50: u64,
    /// The same, 99th percentile.
    pub response_us_p99: u64,
    /// Seats left of the slots with an answer, by the newest answers; and how many slots those are.
    pub seats_left: Option<(i64, usize)>,
}

impl Recorder {
    /// Keeps an operation; waits when the writer is behind.
    pub async fn record(&self, operation: Operation) {
        self.shared.by_outcome[operation.outcome as usize].fetch_add(1, Ordering::Relaxed);
        if operation.error_class().is_some() {
            self.shared.errors.fetch_add(1, Ordering::Relaxed);
        }
        if self.shared.outputs.history.is_none() && self.shared.outputs.latency.is_none() {
            return;
        }
        let buffer = usize::try_from(operation.client).unwrap_or(0) % BUFFERS;
        let mut buffer = self.shared.buffers[buffer].lock().await;
        if buffer.capacity() == 0 {
            buffer.reserve_exact(BUFFER);
        }
        buffer.push(operation);
        if buffer.len() >= BUFFER {
            self.shared.flush(&mut buffer).await;
        }
    }

    /// Sets the start of the load, before its first operation: the latency log counts its seconds
    /// from there, by this clock.
    pub fn start(&self, start_ns: u64, clock: Clock) {
        self.shared.start.get_or_init(|| (start_ns, clock));
    }

    /// (outcome, operations so far), in the order of [`Outcome::ALL`].
    pub fn counts(&self) -> Vec<(Outcome, u64)> {
        let loads = self.shared.by_outcome.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL.into_iter().zip(loads).collect()
    }

    /// Operations without a decision so far.
    pub fn errors(&self) -> u64 {
        self.shared.errors.load(Ordering::Relaxed)
    }

    /// What is known so far.
    pub fn figures(&self) -> Figures {
        *self.shared.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Gives the buffer's operations to the writer. It holds the buffer meanwhile, so that the next
    /// operation of the same client comes after them.
    async fn flush(&self, buffer: &mut Vec<Operation>) {
        // The buffer allocates again when it is used again: most are idle most of the time.
        let operations = std::mem::take(buffer);
        // A writer that failed has closed the channel; the load then ends with its error.
        let _ = self.writer.send(Message::Operations(operations)).await;
    }

    async fn collect(&self) {
        for buffer in &self.buffers {
            let mut buffer = buffer.lock().await;
            if !buffer.is_empty() {
                self.flush(&mut buffer).await;
            }
        }
        let _ = self.writer.send(Message::Pulse).await;
    }

    /// Collects regularly until it is told to stop; it is never cancelled between a buffer and the
    /// writer.
    async fn collect_regularly(&self) {
        let mut ticks = tokio::time::interval(COLLECT_EVERY);
        while !self.stopping.load(Ordering::SeqCst) {
            ticks.tick().await;
            self.collect().await;
        }
    }
}

/// The writing end.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<u64>>,
    collector: tokio::task::JoinHandle<()>,
}

impl Writer {
    /// Opens the outputs, and a recorder for all clients.
    ///
    /// # Errors
    /// A file exists already or cannot be made.
    pub fn create(outputs: Outputs) -> io::Result<(Self, Recorder)> {
        let history = outputs.history.as_deref().map(HistoryFile::create).transpose()?;
        let latency_file = outputs.latency.as_deref().map(File::create_new).transpose()?;
        let (writer, queue) = mpsc::channel(QUEUE);
        let buffers = std::iter::repeat_with(AsyncMutex::default).take(BUFFERS).collect();
        let shared = Arc::new(Shared {
            buffers,
            writer,
            outputs,
            start: OnceLock::new(),
            stopping: AtomicBool::new(false),
            by_outcome: Default::default(),
            errors: AtomicU64::new(0),
            figures: Mutex::default(),
        });
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || write_all(history, latency_file, queue, &shared)
        })?;
        let collector = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.collect_regularly().await }
        });
        let recorder = Recorder { shared: Arc::clone(&shared) };
        Ok((Self { shared, thread, collector }, recorder))
    }

    /// Waits until everything is written that was recorded before. Returns the number of operations
    /// written.
    ///
    /// # Errors
    /// A file could not be written; what was written before is whole.
    pub async fn finish(self) -> io::Result<u64> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.collector.await.map_err(io::Error::other)?;
        self.shared.collect().await;
        let _ = self.shared.writer.send(Message::End).await;
        tokio::task::spawn_blocking(|| self.thread.join())
            .await
            .map_err(io::Error::other)?
            .unwrap_or_else(|_| Err(io::Error::other("the recorder panicked")))
    }
}

fn write_all(
    mut history: Option<HistoryFile>,
    latency_file: Option<File>,
    mut queue: mpsc::Receiver<Message>,
    shared: &Shared,
) -> io::Result<u64> {
    let (mut latency_file, mut serializer) = (latency_file, V2DeflateSerializer::new());
    let mut sink = latency_file.as_mut().zip(Some(&mut serializer));
    let mut latency = None;
    let mut newest = Newest::default();
    let mut written = 0;
    while let Some(message) = queue.blocking_recv() {
        let operations = match message {
            Message::Operations(operations) => operations,
            Message::Pulse => Vec::new(),
            Message::End => break,
        };
        if let Some((start_ns, _)) = shared.start.get()
            && let Some((file, serializer)) = sink.take()
        {
            latency = Some(LatencyLog::begin(file, serializer, *start_ns)?);
        }
        for operation in &operations {
            if let Some(history) = &mut history {
                history.write(operation)?;
                written += 1;
            }
            if let Some(latency) = &mut latency {
                latency.record(operation);
            }
            newest.see(operation);
        }
        if let Some(history) = &mut history {
            history.pulse()?;
        }
        let now_ns = shared.start.get().map_or(0, |(_, clock)| clock.now_ns());
        let last_second = latency.as_mut().map(|latency| latency.pulse(now_ns)).transpose()?;
        let mut figures = shared.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last_second) = last_second.flatten() {
            figures.response_us_p50 = last_second.value_at_quantile(0.5);
            figures.response_us_p99 = last_second.value_at_quantile(0.99);
        }
        figures.seats_left = newest.seats_left();
    }
    latency.map(LatencyLog::end).transpose()?;
    history.map(HistoryFile::end).transpose()?;
    Ok(written)
}

/// What the newest answer about each slot said of its seats.
#[derive(Debug, Default)]
struct Newest {
    slots: BTreeMap<Arc<str>, (i64, i64)>,
    sum: i64,
}

impl Newest {
    fn see(&mut self, operation: &Operation) {
        let (Some(version), Some(available)) = (operation.seen.version, operation.seen.available)
        else {
            return;
        };
        match self.slots.get_mut(&operation.slot) {
            Some(known) if known.0 > version => {}
            Some(known) => {
                self.sum += available - known.1;
                *known = (version, available);
            }
            None => {
                self.sum += available;
                self.slots.insert(operation.slot.clone(), (version, available));
            }
        }
    }

    fn seats_left(&self) -> Option<(i64, usize)> {
        (!self.slots.is_empty()).then_some((self.sum, self.slots.len()))
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Action, Seen};

    use super::*;

    fn read(client: u64, n: u64) -> Operation {
        Operation {
            seen: Seen {
                version: Some(i64::try_from(n).expect("small")),
                available: Some(7),
                ..Seen::default()
            },
            ..Operation::new(client, "s", Action::Read, n, n + 1)
        }
    }

    #[tokio::test]
    async fn everything_that_is_recorded_is_read_back_each_client_in_its_order() {
        for name in ["history.sph", "history.jsonl.zst"] {
            record_and_read_back(name).await;
        }
    }

    async fn record_and_read_back(name: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let outputs = Outputs {
            history: Some(directory.path().join(name)),
            latency: Some(directory.path().join("latency.hlog")),
        };
        let (writer, recorder) = Writer::create(outputs.clone()).expect("it can be made");
        recorder.start(0, Clock::new());
        let clients = (0..100_u64).map(|client| {
            let recorder = recorder.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    recorder.record(read(client, n)).await;
                    tokio::task::yield_now().await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("it ends");
        }
        assert_eq!(recorder.counts()[0], (Outcome::Ok, 10_000));
        assert_eq!(writer.finish().await.expect("it is written"), 10_000);
        assert_eq!(recorder.figures().seats_left, Some((7, 1)));

        let path = outputs.history.clone().expect("it was asked for");
        let mut next = [0; 100];
        for operation in read_back(&path).expect("whole frames") {
            let next = &mut next[usize::try_from(operation.client).expect("small")];
            assert_eq!(operation.sent_ns, *next);
            *next += 1;
        }
        assert!(next.iter().all(|next| *next == 100));
        assert!(Writer::create(outputs).is_err(), "a history is never overwritten");
    }

    /// The operations of a file; `None` if its last frame has not ended.
    fn read_back(path: &std::path::Path) -> Option<Vec<Operation>> {
        let file = io::BufReader::new(File::open(path).expect("it is there"));
        if path.extension().is_some_and(|extension| extension == "zst") {
            let text = zstd::decode_all(file).ok()?;
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            return Some(lines.map(|it| serde_json::from_slice(it).expect("JSON")).collect());
        }
        let mut frames = slotproof_history::FrameReader::new(file);
        let mut operations = slotproof_history::Operations::default();
        loop {
            match frames.read_next().expect("a frame") {
                slotproof_history::Next::Operations(frame) => {
                    operations.append_decoded(&frame.decoded().expect("it is whole"));
                }
                slotproof_history::Next::Declarations(_) => {}
                slotproof_history::Next::TornEnd(why) if !why.contains("end is missing") => {
                    return None;
                }
                // While it is being written, every frame may be there, and not the end.
                slotproof_history::Next::End | slotproof_history::Next::TornEnd(_) => {
                    return Some(operations.iter().map(|it| it.to_operation()).collect());
                }
            }
        }
    }

    /// A recorder's shared state, and the receiving end of its queue in place of the writer.
    fn shared() -> (Shared, mpsc::Receiver<Message>) {
        let (writer, queue) = mpsc::channel(QUEUE);
        let buffers = std::iter::repeat_with(AsyncMutex::default).take(BUFFERS).collect();
        let shared = Shared {
            buffers,
            writer,
            outputs: Outputs { history: Some(PathBuf::new()), latency: None },
            start: OnceLock::new(),
            stopping: AtomicBool::new(false),
            by_outcome: Default::default(),
            errors: AtomicU64::new(0),
            figures: Mutex::default(),
        };
        (shared, queue)
    }

    #[tokio::test]
    async fn buffers_without_operations_cost_neither_a_message_nor_memory() {
        let (shared, mut queue) = shared();
        let shared = Arc::new(shared);
        let capacities = async |shared: &Shared| {
            let mut capacities = 0;
            for buffer in &shared.buffers {
                capacities += buffer.lock().await.capacity();
            }
            capacities
        };
        shared.collect().await;
        assert!(matches!(queue.try_recv(), Ok(Message::Pulse)));
        assert!(queue.try_recv().is_err(), "one message for all idle buffers");
        assert_eq!(capacities(&shared).await, 0);

        Recorder { shared: Arc::clone(&shared) }.record(read(7, 1)).await;
        assert_eq!(capacities(&shared).await, BUFFER, "the buffer in use, and no other");
        shared.collect().await;
        let Ok(Message::Operations(operations)) = queue.try_recv() else { panic!("operations") };
        assert_eq!(operations, [read(7, 1)]);
        assert!(matches!(queue.try_recv(), Ok(Message::Pulse)));
        assert_eq!(capacities(&shared).await, 0);
    }

    #[tokio::test]
    async fn an_operation_is_whole_on_disk_soon_although_no_other_follows() {
        for name in ["history.sph", "history.jsonl.zst"] {
            is_whole_soon(name).await;
        }
    }

    async fn is_whole_soon(name: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(name);
        let outputs = Outputs { history: Some(path.clone()), latency: None };
        let (writer, recorder) = Writer::create(outputs).expect("it can be created");
        recorder.record(read(1, 1)).await;
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let whole = read_back(&path);
            if whole.as_ref().is_some_and(|operations| operations.len() == 1) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{whole:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        writer.finish().await.expect("it is written");
    }
}
