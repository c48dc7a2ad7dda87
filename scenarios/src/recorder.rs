//! The recorder: a history file that grows while the load runs, at bounded memory.
//!
//! Each client buffers a few operations and hands them over in batches; one thread serializes, compresses and writes. The
//! file is a row of zstd frames, one ended every second, so that a run that is killed leaves all but its last second.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use slotproof_vocabulary::{Operation, Outcome};
use tokio::sync::mpsc;

/// Operations that a client keeps before it hands them over: ten thousand clients keep 50 MB at most.
const BATCH: usize = 16;
/// Batches that wait for the writer; when they are this many the clients wait as well, and memory stays bounded.
const QUEUE: usize = 4_096;
/// A frame ends after this long.
const FRAME: Duration = Duration::from_secs(1);
/// Quick rather than small: a history compresses tenfold anyway.
const LEVEL: i32 = 1;

/// Operations so far, by outcome.
#[derive(Debug, Default)]
pub struct Tally {
    by_outcome: [AtomicU64; Outcome::ALL.len()],
}

impl Tally {
    /// (outcome, operations), in the order of [`Outcome::ALL`].
    pub fn counts(&self) -> Vec<(Outcome, u64)> {
        let loads = self.by_outcome.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL.into_iter().zip(loads).collect()
    }

    fn count(&self, outcome: Outcome) {
        self.by_outcome[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// One client's way to the history file.
#[derive(Debug)]
pub struct Recorder {
    batches: mpsc::Sender<Vec<Operation>>,
    tally: Arc<Tally>,
    buffer: Vec<Operation>,
}

impl Recorder {
    /// Keeps an operation; waits when the writer is behind.
    pub async fn record(&mut self, operation: Operation) {
        self.tally.count(operation.outcome);
        self.buffer.push(operation);
        if self.buffer.len() >= BATCH {
            self.flush().await;
        }
    }

    /// Hands over what is kept.
    pub async fn flush(&mut self) {
        let batch = std::mem::replace(&mut self.buffer, Vec::with_capacity(BATCH));
        // A writer that failed has closed the channel; the load then ends with its error.
        let _ = self.batches.send(batch).await;
    }
}

impl Clone for Recorder {
    /// Another client's recorder, for the same file.
    fn clone(&self) -> Self {
        Self {
            batches: self.batches.clone(),
            tally: Arc::clone(&self.tally),
            buffer: Vec::with_capacity(BATCH),
        }
    }
}

/// The writing end.
#[derive(Debug)]
pub struct HistoryWriter {
    thread: JoinHandle<io::Result<u64>>,
    tally: Arc<Tally>,
}

impl HistoryWriter {
    /// Opens a new history file, and the first recorder for it.
    ///
    /// # Errors
    /// The file exists already or cannot be made.
    pub fn create(path: &Path) -> io::Result<(Self, Recorder)> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let (batches, queue) = mpsc::channel(QUEUE);
        let tally = Arc::new(Tally::default());
        let thread =
            std::thread::Builder::new().name("recorder".to_owned()).spawn(move || write_all(file, queue))?;
        let recorder = Recorder { batches, tally: Arc::clone(&tally), buffer: Vec::with_capacity(BATCH) };
        Ok((Self { thread, tally }, recorder))
    }

    /// What has been recorded so far.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Waits until everything is written; every recorder must have been dropped. Answers with the number of operations.
    ///
    /// # Errors
    /// The file could not be written; what was written before is whole.
    pub fn finish(self) -> io::Result<u64> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the recorder panicked")))
    }
}

fn write_all(file: File, mut queue: mpsc::Receiver<Vec<Operation>>) -> io::Result<u64> {
    let mut written = 0;
    let mut frame = Some(Frame::begin(BufWriter::new(file))?);
    while let Some(batch) = queue.blocking_recv() {
        let mut current = frame.take().expect("there is always a frame between two batches");
        for operation in batch {
            serde_json::to_writer(&mut current.encoder, &operation)?;
            current.encoder.write_all(b"\n")?;
            written += 1;
        }
        frame = Some(if current.begun.elapsed() >= FRAME { Frame::begin(current.end()?)? } else { current });
    }
    frame.expect("there is always a frame between two batches").end()?;
    Ok(written)
}

/// A zstd frame being written.
struct Frame {
    encoder: zstd::Encoder<'static, BufWriter<File>>,
    begun: Instant,
}

impl Frame {
    fn begin(file: BufWriter<File>) -> io::Result<Self> {
        Ok(Self { encoder: zstd::Encoder::new(file, LEVEL)?, begun: Instant::now() })
    }

    fn end(self) -> io::Result<BufWriter<File>> {
        let mut file = self.encoder.finish()?;
        file.flush()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Action, Seen};

    use super::*;

    fn read(n: u64) -> Operation {
        Operation {
            client: n,
            process: n,
            slot: "s".to_owned(),
            action: Action::Read,
            scheduled_ns: n,
            sent_ns: n,
            returned_ns: n + 1,
            attempts: 1,
            outcome: Outcome::Ok,
            reason: None,
            seen: Seen::default(),
        }
    }

    #[tokio::test]
    async fn everything_that_is_recorded_is_read_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history.jsonl.zst");
        let (writer, recorder) = HistoryWriter::create(&path).expect("it can be made");
        let clients = (0..10_u64).map(|client| {
            let mut recorder = recorder.clone();
            async move {
                for n in 0..100 {
                    recorder.record(read(client * 100 + n)).await;
                }
                recorder.flush().await;
            }
        });
        for client in clients {
            client.await;
        }
        drop(recorder);
        let tally = writer.tally();
        assert_eq!(writer.finish().expect("it is written"), 1_000);
        assert_eq!(tally.counts()[0], (Outcome::Ok, 1_000));

        let text = zstd::decode_all(File::open(&path).expect("it is there")).expect("whole frames");
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let mut clients: Vec<u64> = lines
            .iter()
            .map(|line| serde_json::from_slice::<Operation>(line).expect("an operation").client)
            .collect();
        clients.sort_unstable();
        assert_eq!(clients, (0..1_000).collect::<Vec<_>>());
        assert!(HistoryWriter::create(&path).is_err(), "a history is never overwritten");
    }
}
