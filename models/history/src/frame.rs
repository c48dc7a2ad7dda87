//! Frames: a binary history is a sequence of them, so a part of it can be put behind another part,
//! and a writer that is killed loses its last frame at most.
//!
//! ```text
//! mark        4   89 53 50 48
//! version     1   1
//! kind        1   1 operations, 2 declarations, 3 end
//! groups      2
//! operations  4   at most 65,536; of an end: of all frames before it, from the last end on
//! for each group, 24:
//!   partition   2   of its slots; 0 for declarations
//!   stored      2   0 as it is, 1 compressed by zstd
//!   operations  4
//!   length      4   before compression
//!   stored      4   bytes in the file
//!   checksum    8   of these bytes, XXH3
//! checksum    8   of all of this, XXH3
//! the bytes of each group
//! ```
//!
//! The end has no groups. A file without one was still being written: what it lacks could excuse or
//! convict anything.
//!
//! Numbers are little-endian. A reader that wants some partitions reads the header and passes over
//! the other groups. Each operation keeps its place in the frame, so the number of an operation in
//! the history is known whatever else was read.

use std::io::{self, BufRead, Read};

use slotproof_vocabulary::Declarations;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    group::{Group, GroupError, GroupWriter, OPERATIONS_MAX},
    operations::Operations,
    partition::{PARTITIONS, partition_of},
};

/// How every frame begins; no text does, and no file of zstd.
pub const MARK: [u8; 4] = [0x89, b'S', b'P', b'H'];
/// The version of the format.
const VERSION: u8 = 1;
const OPERATIONS: u8 = 1;
const DECLARATIONS: u8 = 2;
const END: u8 = 3;
const HEADER_BYTES: usize = 12;
const GROUP_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;
/// Of a group before compression: far more than 65,536 operations take unless names are long.
const GROUP_BYTES_MAX: usize = 1 << 30;
/// Fast rather than small.
const LEVEL: i32 = 1;

/// A history that is no history, or a damaged one.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are those of something else.
    #[error("frame {frame} does not begin with the mark of a frame")]
    NoMark {
        /// Which frame; the first is 1.
        frame: usize,
    },
    /// Written by a later program.
    #[error(
        "frame {frame} has version {version}, and this slotproof reads version {VERSION}; use a newer one"
    )]
    Version {
        /// Which frame.
        frame: usize,
        /// Its version.
        version: u8,
    },
    /// The header is not the one that was written.
    #[error("the header of frame {frame} is damaged: {reason}")]
    Header {
        /// Which frame.
        frame: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The bytes of a group are not those that were written.
    #[error("partition {partition} of frame {frame} is damaged: {reason}")]
    Damaged {
        /// Which frame.
        frame: usize,
        /// The partition of the group.
        partition: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes are those that were written, and say what cannot be.
    #[error("partition {partition} of frame {frame}: {error}")]
    Group {
        /// Which frame.
        frame: usize,
        /// The partition of the group.
        partition: u16,
        /// What is wrong with it.
        error: GroupError,
    },
    /// Declarations that are none.
    #[error("the declarations in frame {frame}: {error}")]
    Declarations {
        /// Which frame.
        frame: usize,
        /// What is wrong with them.
        error: serde_json::Error,
    },
}

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

#[derive(Debug)]
struct StoredGroup {
    partition: u16,
    compressed: bool,
    operations: usize,
    length: usize,
    stored: usize,
    checksum: u64,
    bytes: Vec<u8>,
}

/// A frame of operations that is ready to be put behind others.
#[derive(Debug)]
pub struct Decoded {
    operations: usize,
    groups: Vec<Group>,
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

/// Four bytes.
fn number(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
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
    fn plain(&self, frame: usize) -> Result<std::borrow::Cow<'_, [u8]>, FrameError> {
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

/// Makes frames. It is used for one after the other.
#[derive(Default)]
pub struct FrameWriter {
    groups: GroupWriter,
    plain: Vec<u8>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter").finish_non_exhaustive()
    }
}

impl FrameWriter {
    /// A frame of what is declared of the service. It comes first in its file.
    ///
    /// # Errors
    /// It cannot be compressed.
    pub fn declarations(&mut self, declared: Declarations) -> io::Result<Vec<u8>> {
        let plain = serde_json::to_vec(&declared)?;
        let group = self.stored(0, 0, &plain)?;
        Ok(file_bytes(DECLARATIONS, 0, &[group]))
    }

    /// A frame of some operations of a store, of which `OPERATIONS_MAX` are taken at most.
    ///
    /// # Errors
    /// They cannot be compressed.
    ///
    /// # Panics
    /// If there are not so many operations.
    pub fn operations(
        &mut self,
        operations: &Operations,
        range: std::ops::Range<usize>,
    ) -> io::Result<Vec<u8>> {
        assert!(range.len() <= OPERATIONS_MAX, "a frame of {} operations", range.len());
        let mut partition: Vec<Option<u16>> = vec![None; operations.slots().len()];
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); PARTITIONS.into()];
        for (place, row) in operations.rows()[range.clone()].iter().enumerate() {
            let partition = partition[row.slot as usize]
                .get_or_insert_with(|| partition_of(operations.slots().text(row.slot)));
            places[usize::from(*partition)].push(place as u32);
        }
        let mut groups = Vec::new();
        for (partition, places) in (0..).zip(&places).filter(|(_, places)| !places.is_empty()) {
            let mut plain = std::mem::take(&mut self.plain);
            plain.clear();
            self.groups.write(&mut plain, operations, range.start, places);
            let group = self.stored(partition, places.len(), &plain);
            self.plain = plain;
            groups.push(group?);
        }
        Ok(file_bytes(OPERATIONS, range.len(), &groups))
    }

    /// The end of so many operations.
    ///
    /// # Panics
    /// At more than four billion, which no history has.
    pub fn end(operations: usize) -> Vec<u8> {
        assert!(u32::try_from(operations).is_ok(), "{operations} operations");
        file_bytes(END, operations, &[])
    }

    fn stored(
        &mut self,
        partition: u16,
        operations: usize,
        plain: &[u8],
    ) -> io::Result<StoredGroup> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(zstd::bulk::Compressor::new(LEVEL)?),
        };
        let mut bytes = compressor.compress(plain)?;
        let compressed = bytes.len() < plain.len();
        if !compressed {
            bytes = plain.to_vec();
        }
        if plain.len() > GROUP_BYTES_MAX {
            return Err(io::Error::other("the names of one second take more than 1 GiB"));
        }
        let checksum = xxh3_64(&bytes);
        let (length, stored) = (plain.len(), bytes.len());
        Ok(StoredGroup { partition, compressed, operations, length, stored, checksum, bytes })
    }
}

fn file_bytes(kind: u8, operations: usize, groups: &[StoredGroup]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&[VERSION, kind]);
    bytes.extend_from_slice(&(groups.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(operations as u32).to_le_bytes());
    for group in groups {
        bytes.extend_from_slice(&group.partition.to_le_bytes());
        bytes.extend_from_slice(&u16::from(group.compressed).to_le_bytes());
        for number in [group.operations, group.length, group.stored] {
            bytes.extend_from_slice(&(number as u32).to_le_bytes());
        }
        bytes.extend_from_slice(&group.checksum.to_le_bytes());
    }
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    groups.iter().for_each(|group| bytes.extend_from_slice(&group.bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotproof_vocabulary::{Operation, operation_builder};

    use super::*;

    /// What is read of a file, and how it ends.
    fn read(bytes: &[u8]) -> Result<(Operations, Option<String>), FrameError> {
        let mut reader = FrameReader::new(bytes);
        let mut operations = Operations::default();
        loop {
            match reader.read_next()? {
                Next::Operations(frame) => operations.append_decoded(&frame.decoded()?),
                Next::Declarations(_) => {}
                Next::End => return Ok((operations, None)),
                Next::TornEnd(reason) => return Ok((operations, Some(reason))),
            }
        }
    }

    /// Frames of so many operations.
    fn written(operations: &Operations, each: usize) -> Vec<u8> {
        let mut writer = FrameWriter::default();
        let begins = (0..operations.len()).step_by(each);
        let frame = |begin: usize| {
            let range = begin..(begin + each).min(operations.len());
            writer.operations(operations, range).expect("it is compressed")
        };
        let mut bytes: Vec<u8> = begins.flat_map(frame).collect();
        bytes.extend(FrameWriter::end(operations.len()));
        bytes
    }

    fn some(operations: u64) -> Vec<Operation> {
        let operation = |number: u64| {
            let slot = format!("slot-{}", number % 7);
            let by = |it: slotproof_vocabulary::OperationBuilder| {
                it.by(number % 5).at(number * 10, number * 10 + number % 9).scheduled(number * 9)
            };
            match number % 4 {
                0 => by(operation_builder::reserve(&*slot))
                    .key(format!("k{number}"))
                    .version(number as i64)
                    .booked(format!("b{number}")),
                1 => by(operation_builder::cancel(&*slot, format!("b{}", number - 1))).ok(),
                2 => by(operation_builder::change(&*slot, format!("b{}", number - 2)))
                    .to_slot("slot-3")
                    .hold_ms(number)
                    .unknown(),
                _ => by(operation_builder::read(&*slot)).available(3).rejected("not_found"),
            }
        };
        (0..operations).map(operation).collect()
    }

    #[test]
    fn what_is_written_is_read_in_its_order() {
        let operations: Operations = some(1_000).into();
        for each in [1, 7, 1_000] {
            let (back, end) = read(&written(&operations, each)).expect("it is whole");
            assert_eq!((back, end), (operations.clone(), None));
        }
    }

    #[test]
    fn a_torn_end_loses_the_last_frame_and_no_more() {
        let operations: Operations = some(30).into();
        let bytes = written(&operations, 10);
        let mark = FrameWriter::end(0).len();
        let first_two = written(&some(20).into(), 10).len() - mark;
        for end in first_two..bytes.len() {
            let (back, torn) = read(&bytes[..end]).expect("it is torn, and not damaged");
            // A file that ends between two frames looks whole but for the end that it lacks.
            let whole = if end < bytes.len() - mark { 20 } else { 30 };
            assert_eq!((back.len(), torn.is_some()), (whole, true), "{end} of {}", bytes.len());
        }
    }

    #[test]
    fn files_are_put_behind_one_another_and_each_needs_its_end() {
        let (one, other): (Operations, Operations) = (some(30).into(), some(12).into());
        let parts = [written(&one, 10), written(&other, 5)];
        let (back, torn) = read(&parts.concat()).expect("both are whole");
        assert_eq!((back.len(), torn), (42, None));
        let without_end = &parts[0][..parts[0].len() - FrameWriter::end(0).len()];
        let (_, torn) = read(&[without_end, &parts[1]].concat()).expect("it is torn");
        assert_eq!(torn.as_deref(), Some("a part of it was still being written"));
    }

    #[test]
    fn a_frame_of_another_version_is_refused_with_the_remedy() {
        let mut bytes = written(&some(3).into(), 3);
        bytes[4] = VERSION + 1;
        let error = read(&bytes).expect_err("another version").to_string();
        assert!(error.contains("version 2") && error.contains("use a newer one"), "{error}");
        assert!(matches!(read(b"no history at all"), Err(FrameError::NoMark { frame: 1 })));
    }

    #[test]
    fn a_frame_that_says_what_no_line_could_say_is_refused() {
        let mut reserve = operation_builder::reserve("s").key("k").at(5, 9).booked("b");
        let lawful = [reserve.clone()].into_iter().collect();
        assert!(read(&written(&lawful, 1)).is_ok());
        reserve.returned_ns = 4;
        let backwards = [reserve].into_iter().collect();
        let error = read(&written(&backwards, 1)).expect_err("it returned before it was sent");
        assert!(error.to_string().contains("returned before it was sent"), "{error}");
        let mut cancel = operation_builder::cancel("s", "b").at(5, 9).ok();
        cancel.seen.status = Some(slotproof_vocabulary::BookingStatus::Confirmed);
        let error =
            read(&written(&[cancel].into_iter().collect(), 1)).expect_err("it has a status");
        assert!(error.to_string().contains("reads no booking"), "{error}");
        let change = operation_builder::change("s", "b").seats(0).at(5, 9).ok();
        let error = read(&written(&[change].into_iter().collect(), 1)).expect_err("it has no seat");
        assert!(error.to_string().contains("changes to no seat"), "{error}");
    }

    #[test]
    fn a_group_has_the_operations_of_its_partition() {
        let operations: Operations = some(100).into();
        let bytes = written(&operations, 100);
        let Ok(Next::Operations(frame)) = FrameReader::new(&*bytes).read_next() else {
            panic!("a frame of operations")
        };
        let partitions: Vec<u16> = frame.partitions().collect();
        let decoded = frame.decoded().expect("it is whole");
        for (partition, group) in partitions.iter().zip(&decoded.groups) {
            assert!(
                group
                    .rows
                    .iter()
                    .all(|row| { partition_of(&group.slots[row.slot as usize]) == *partition })
            );
        }
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_refused_or_cut_and_never_another_history(
            place in any::<prop::sample::Index>(), bit in 0..8_u32
        ) {
            let operations: Operations = some(40).into();
            let mut bytes = written(&operations, 20);
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            // A length in a header is covered by its checksum, so nothing is cut.
            prop_assert!(read(&bytes).is_err() || matches!(read(&bytes), Ok((_, Some(_)))));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = Group::read(&bytes, 3);
            let _ = read(&[&MARK[..], &bytes].concat());
        }
    }
}
