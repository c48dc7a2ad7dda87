//! The history file: frames, each of which ends after a second, so that a load that is killed loses
//! its last second at most. The name says what is in the frames: binary columns (`.sph`, what runs
//! record), or lines of JSON compressed by zstd.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

use slotproof_history::{EXTENSION, OperationsFile};
use slotproof_vocabulary::Operation;

/// A frame ends after this long.
const FRAME: Duration = Duration::from_secs(1);
/// Fast rather than small: a history compresses tenfold anyway.
const LEVEL: i32 = 1;

/// A history that is being written.
pub(crate) struct HistoryFile {
    format: Format,
    /// When the frame began.
    begun: Instant,
}

enum Format {
    Frames(OperationsFile<File>),
    Lines {
        /// `None` only while one frame ends and the next one begins.
        frame: Option<zstd::Encoder<'static, BufWriter<File>>>,
        line: Vec<u8>,
    },
}

impl HistoryFile {
    /// # Errors
    /// The file exists already or cannot be made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let is_binary = path.extension().is_some_and(|extension| extension == EXTENSION);
        let format = match is_binary {
            true => Format::Frames(OperationsFile::new(file)),
            false => {
                let frame = Some(zstd::Encoder::new(BufWriter::new(file), LEVEL)?);
                Format::Lines { frame, line: Vec::new() }
            }
        };
        Ok(Self { format, begun: Instant::now() })
    }

    pub(crate) fn write(&mut self, operation: &Operation) -> io::Result<()> {
        match &mut self.format {
            Format::Frames(file) => file.write(operation),
            Format::Lines { frame, line } => {
                line.clear();
                serde_json::to_writer(&mut *line, operation)?;
                line.push(b'\n');
                frame.as_mut().expect("there is always a frame").write_all(line)
            }
        }
    }

    /// Ends a frame that has lasted long enough.
    pub(crate) fn pulse(&mut self) -> io::Result<()> {
        if self.begun.elapsed() < FRAME {
            return Ok(());
        }
        match &mut self.format {
            Format::Frames(file) => file.end_frame()?,
            Format::Lines { frame, .. } => {
                let file = ended(frame.take().expect("there is always a frame"))?;
                *frame = Some(zstd::Encoder::new(file, LEVEL)?);
            }
        }
        self.begun = Instant::now();
        Ok(())
    }

    pub(crate) fn end(self) -> io::Result<()> {
        match self.format {
            Format::Frames(mut file) => file.end(),
            Format::Lines { frame, .. } => {
                ended(frame.expect("there is always a frame")).map(|_| ())
            }
        }
    }
}

fn ended(frame: zstd::Encoder<'static, BufWriter<File>>) -> io::Result<BufWriter<File>> {
    let mut file = frame.finish()?;
    file.flush()?;
    Ok(file)
}
