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

mod reading;
mod writing;

use crate::group::GroupError;
pub use reading::{Decoded, Frame, FrameReader, Next};
pub use writing::FrameWriter;

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

/// A group as it is in the file: what the header says of it, and its bytes.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotproof_vocabulary::{Operation, operation_builder};

    use super::*;
    use crate::{group::Group, operations::Operations, partition::partition_of};

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
