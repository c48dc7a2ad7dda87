//! A file of frames that is being written.

use std::io::{self, Write};

use slotproof_vocabulary::{Declarations, Operation};

use crate::{frame::FrameWriter, group::OPERATIONS_MAX, operations::Operations};

/// How the name of a binary history ends.
pub const EXTENSION: &str = "sph";

/// A frame ends before its names take more memory than this.
const NAMES_BYTES_MAX: usize = 64 << 20;

/// Writes operations, a frame at a time. What is not in a frame yet is lost if the program is
/// killed.
#[derive(Debug)]
pub struct OperationsFile<W> {
    file: W,
    frames: FrameWriter,
    /// Those of the frame that is being filled.
    operations: Operations,
    /// Those of the frames before it.
    written: usize,
}

impl<W: Write> OperationsFile<W> {
    /// A file without anything in it.
    pub fn new(file: W) -> Self {
        Self { file, frames: FrameWriter::default(), operations: Operations::default(), written: 0 }
    }

    /// Writes what is declared of the service. It comes before all operations.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn declare(&mut self, declared: Declarations) -> io::Result<()> {
        self.file.write_all(&self.frames.declarations(declared)?)
    }

    /// Adds an operation to the frame, and ends it if it is full.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, operation: &Operation) -> io::Result<()> {
        self.operations.push(operation);
        let full = self.operations.len() >= OPERATIONS_MAX
            || self.operations.names_bytes() >= NAMES_BYTES_MAX;
        if full { self.end_frame() } else { Ok(()) }
    }

    /// Writes the operations since the last frame as a frame, in one call, and flushes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end_frame(&mut self) -> io::Result<()> {
        if self.operations.is_empty() {
            return Ok(());
        }
        let operations = std::mem::take(&mut self.operations);
        self.written += operations.len();
        let frame = self.frames.operations(&operations, 0..operations.len())?;
        self.file.write_all(&frame)?;
        self.file.flush()
    }

    /// What it was made of. What is not in a frame is lost.
    pub fn into_inner(self) -> W {
        self.file
    }

    /// Writes all operations of a store.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_all(&mut self, operations: &Operations) -> io::Result<()> {
        self.end_frame()?;
        for begin in (0..operations.len()).step_by(OPERATIONS_MAX) {
            let range = begin..(begin + OPERATIONS_MAX).min(operations.len());
            self.written += range.len();
            let frame = self.frames.operations(operations, range)?;
            self.file.write_all(&frame)?;
        }
        self.file.flush()
    }

    /// Writes the end, after what is not in a frame yet. A file without one counts as broken off.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&mut self) -> io::Result<()> {
        self.end_frame()?;
        self.file.write_all(&FrameWriter::end(self.written))?;
        self.written = 0;
        self.file.flush()
    }
}
