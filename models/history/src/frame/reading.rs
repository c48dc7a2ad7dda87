//! Reading frames.

use std::{
    borrow::Cow,
    io::{self, BufRead, Read},
};

use slotproof_vocabulary::Declarations;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    CHECKSUM_BYTES, DECLARATIONS, END, FrameError, GROUP_BYTES, GROUP_BYTES_MAX, HEADER_BYTES,
    MARK, OPERATIONS, StoredGroup, VERSION,
};
use crate::{
    group::{Group, GroupError, OPERATIONS_MAX},
    operations::Operations,
    partition::PARTITIONS,
};

/// What comes next in a file.
#[derive(Debug)]
pub enum Next {
    /// A frame of operations, not decoded yet.
    Operations(Frame),
    /// What the first frame may say of the service.
    Declarations(Declarations),
    /// Nothing: the file ends here.
    End,
    /// Nothing that is whole, for this reason.
    TornEnd(String),
}

/// A frame of operations as it is in the file.
#[derive(Debug)]
pub struct Frame {
    number: usize,
    operations: usize,
    groups: Vec<StoredGroup>,
}

/// A frame of operations that is ready to be put behind others.
#[derive(Debug)]
pub struct Decoded {
    operations: usize,
    pub(super) groups: Vec<Group>,
}

/// Reads frames, one after the other.
#[derive(Debug)]
pub struct FrameReader<R> {
    source: R,
    /// Frames that were read.
    frames: usize,
    /// Operations of the frames since the last end; `None` right after it.
    open: Option<usize>,
}

impl<R: BufRead> FrameReader<R> {
    /// From here on.
    pub fn new(source: R) -> Self {
        Self { source, frames: 0, open: None }
    }

    /// The next frame.
    ///
    /// # Errors
    /// It is none, or it is damaged. A file that ends in the middle of a frame is not damaged, and
    /// nor is one that cannot be read on: that is a torn end.
    pub fn read_next(&mut self) -> Result<Next, FrameError> {
        let next = loop {
            match self.whole() {
                // The end of a part, behind which another one may stand.
                Ok(Ok(None)) => {}
                Ok(Ok(Some(next))) => break Ok(Ok(next)),
                Ok(Err(error)) => break Ok(Err(error)),
                Err(error) => break Err(error),
            }
        };
        match next {
            Ok(next) => next,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Next::TornEnd("the last frame is not whole".to_owned()))
            }
            Err(error) => Ok(Next::TornEnd(error.to_string())),
        }
    }

    /// `None` at the end of a part.
    fn whole(&mut self) -> io::Result<Result<Option<Next>, FrameError>> {
        if self.source.fill_buf()?.is_empty() {
            return Ok(Ok(Some(match self.open {
                None => Next::End,
                Some(_) => {
                    Next::TornEnd("it was still being written: its end is missing".to_owned())
                }
            })));
        }
        self.frames += 1;
        let frame = self.frames;
        let mut header = vec![0; HEADER_BYTES];
        self.source.read_exact(&mut header[..MARK.len()])?;
        if header[..MARK.len()] != MARK {
            return Ok(Err(FrameError::NoMark { frame }));
        }
        self.source.read_exact(&mut header[MARK.len()..])?;
        let (version, kind) = (header[4], header[5]);
        if version != VERSION {
            return Ok(Err(FrameError::Version { frame, version }));
        }
        let groups = usize::from(u16::from_le_bytes([header[6], header[7]]));
        let damaged = |reason| Ok(Err(FrameError::Header { frame, reason }));
        if groups > usize::from(PARTITIONS) {
            return damaged("it has more groups than there are partitions");
        }
        header.resize(HEADER_BYTES + groups * GROUP_BYTES, 0);
        self.source.read_exact(&mut header[HEADER_BYTES..])?;
        let mut checksum = [0; CHECKSUM_BYTES];
        self.source.read_exact(&mut checksum)?;
        if xxh3_64(&header) != u64::from_le_bytes(checksum) {
            return damaged("its checksum differs");
        }
        let operations = number(&header[8..12]);
        let mut stored: Vec<StoredGroup> =
            header[HEADER_BYTES..].chunks_exact(GROUP_BYTES).map(StoredGroup::of).collect();
        if kind == END {
            let part = self.open.take().unwrap_or(0);
            // Where it has others, a part before this one has no end.
            let torn = || Next::TornEnd("a part of it was still being written".to_owned());
            return Ok(Ok((part != operations).then(torn)));
        }
        let limits = operations <= OPERATIONS_MAX
            && stored.iter().map(|group| group.operations).sum::<usize>() == operations
            && stored.iter().all(|group| {
                group.length.max(group.stored) <= GROUP_BYTES_MAX && group.partition < PARTITIONS
            });
        if !limits {
            return damaged("its numbers are outside their limits");
        }
        for group in &mut stored {
            // Not more memory than the file has bytes.
            let read =
                (&mut self.source).take(group.stored as u64).read_to_end(&mut group.bytes)?;
            if read < group.stored {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        *self.open.get_or_insert(0) += operations;
        let found = Frame { number: frame, operations, groups: stored };
        Ok(match kind {
            OPERATIONS => Ok(Some(Next::Operations(found))),
            DECLARATIONS => found.declarations().map(|it| Some(Next::Declarations(it))),
            _ => return damaged("its kind is unknown"),
        })
    }
}

impl Frame {
    /// The partitions of its operations.
    pub fn partitions(&self) -> impl Iterator<Item = u16> {
        self.groups.iter().map(|group| group.partition)
    }

    fn declarations(&self) -> Result<Declarations, FrameError> {
        let mut text = Vec::new();
        for group in &self.groups {
            text.extend_from_slice(&group.plain(self.number)?);
        }
        serde_json::from_slice(&text)
            .map_err(|error| FrameError::Declarations { frame: self.number, error })
    }

    /// Reads the columns.
    ///
    /// # Errors
    /// Names the group that is damaged.
    pub fn decoded(self) -> Result<Decoded, FrameError> {
        let frame = self.number;
        let mut taken = vec![false; self.operations];
        let mut groups = Vec::with_capacity(self.groups.len());
        for stored in &self.groups {
            let wrong = |error| FrameError::Group { frame, partition: stored.partition, error };
            let plain = stored.plain(frame)?;
            let group = Group::read(&plain, stored.operations).map_err(wrong)?;
            for place in &group.places {
                match taken.get_mut(*place as usize) {
                    Some(taken) if !*taken => *taken = true,
                    _ => return Err(wrong(GroupError::Places)),
                }
            }
            groups.push(group);
        }
        Ok(Decoded { operations: self.operations, groups })
    }
}

impl Operations {
    /// Appends the operations of a frame.
    pub fn append_decoded(&mut self, frame: &Decoded) {
        self.append_frame(&frame.groups, frame.operations);
    }
}

impl StoredGroup {
    fn of(bytes: &[u8]) -> Self {
        Self {
            partition: u16::from_le_bytes([bytes[0], bytes[1]]),
            compressed: bytes[2] != 0,
            operations: number(&bytes[4..8]),
            length: number(&bytes[8..12]),
            stored: number(&bytes[12..16]),
            checksum: u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes")),
            bytes: Vec::new(),
        }
    }

    /// The bytes before compression.
    fn plain(&self, frame: usize) -> Result<Cow<'_, [u8]>, FrameError> {
        let damaged =
            |reason: String| FrameError::Damaged { frame, partition: self.partition, reason };
        if xxh3_64(&self.bytes) != self.checksum {
            return Err(damaged("its checksum differs".to_owned()));
        }
        if !self.compressed {
            return Ok(self.bytes.as_slice().into());
        }
        let plain = zstd::bulk::decompress(&self.bytes, self.length);
        plain.map(Into::into).map_err(|error| damaged(error.to_string()))
    }
}

/// Four bytes.
fn number(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
}
