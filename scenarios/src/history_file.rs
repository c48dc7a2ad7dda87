//! The history file: a sequence of zstd frames. A frame ends every second, so that a load that is
//! killed loses its last second at most.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

use slotproof_vocabulary::Operation;

/// A frame ends after this long.
const FRAME: Duration = Duration::from_secs(1);
/// Fast rather than small: a history compresses tenfold anyway.
const LEVEL: i32 = 1;

/// A history that is being written.
pub(crate) struct HistoryFile {
    frame: Option<Frame>,
    line: Vec<u8>,
}

/// A zstd frame that is being written.
struct Frame {
    encoder: zstd::Encoder<'static, BufWriter<File>>,
    begun: Instant,
}

impl HistoryFile {
    /// # Errors
    /// The file exists already or cannot be made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        Ok(Self { frame: Some(Frame::begin(BufWriter::new(file))?), line: Vec::new() })
    }

    pub(crate) fn write(&mut self, operation: &Operation) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, operation)?;
        self.line.push(b'\n');
        self.frame.as_mut().expect("there is always a frame").encoder.write_all(&self.line)
    }

    /// Ends a frame that has lasted long enough.
    pub(crate) fn pulse(&mut self) -> io::Result<()> {
        let frame = self.frame.take().expect("there is always a frame");
        self.frame =
            Some(if frame.begun.elapsed() >= FRAME { Frame::begin(frame.end()?)? } else { frame });
        Ok(())
    }

    pub(crate) fn end(mut self) -> io::Result<()> {
        self.frame.take().expect("there is always a frame").end().map(|_| ())
    }
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
