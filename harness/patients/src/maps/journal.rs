//! The journal: one line of JSON for each decision, in their order, on disk before they are told.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::book::{Booking, SlotKey};

/// What is kept of a decision.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(super) enum Record {
    Fed { slot: SlotKey, total: u32 },
    Booked { booking: Booking, token: String },
    Canceled { booking_id: String },
}

/// A line, and whoever waits until it is on disk.
type Waiting = (Vec<u8>, oneshot::Sender<()>);

pub(super) struct Journal {
    to_disk: Sender<Waiting>,
}

impl Journal {
    /// Reads what is there, and goes on writing behind it.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it other than the last is no record.
    pub(super) fn open(path: &Path, mut replay: impl FnMut(Record)) -> std::io::Result<Self> {
        let mut file =
            OpenOptions::new().create(true).read(true).append(true).truncate(false).open(path)?;
        let (mut whole, mut line) = (0, Vec::new());
        let mut reader = BufReader::new(&file);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            // A line without its end was being written when the process died: nobody was told.
            if line.last() != Some(&b'\n') {
                break;
            }
            replay(serde_json::from_slice(&line)?);
            whole += u64::try_from(read).expect("a line is shorter than that");
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        let (to_disk, waiting) = mpsc::channel();
        std::thread::spawn(move || keep(file, &waiting));
        Ok(Self { to_disk })
    }

    /// Call it under the lock that orders decisions. The answer comes when the record is on disk.
    pub(super) fn write(&self, record: &Record) -> oneshot::Receiver<()> {
        let mut line = serde_json::to_vec(record).expect("a record is plain data");
        line.push(b'\n');
        self.send(line)
    }

    /// The answer comes when all that was written before is on disk.
    pub(super) fn barrier(&self) -> oneshot::Receiver<()> {
        self.send(Vec::new())
    }

    fn send(&self, line: Vec<u8>) -> oneshot::Receiver<()> {
        let (written, answer) = oneshot::channel();
        // Once the writer has failed there is no answer, which is an error to who waits for it.
        let _ = self.to_disk.send((line, written));
        answer
    }
}

/// Writes what has come, all of it at once, and syncs once for all: the load sets the size.
fn keep(mut file: File, waiting: &Receiver<Waiting>) {
    while let Ok(first) = waiting.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
        let lines: Vec<u8> = batch.iter().flat_map(|(line, _)| line).copied().collect();
        if let Err(error) = file.write_all(&lines).and_then(|()| file.sync_data()) {
            tracing::error!(%error, "the journal cannot be written: nothing more is accepted");
            return;
        }
        for (_, written) in batch {
            let _ = written.send(());
        }
    }
}
