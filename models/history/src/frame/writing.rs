//! Writing frames.

use std::{io, ops::Range};

use slotproof_vocabulary::Declarations;
use xxhash_rust::xxh3::xxh3_64;

use super::{DECLARATIONS, END, GROUP_BYTES_MAX, MARK, OPERATIONS, StoredGroup, VERSION};
use crate::{
    group::{GroupWriter, OPERATIONS_MAX},
    operations::Operations,
    partition::{PARTITIONS, partition_of},
};

/// Fast rather than small.
const LEVEL: i32 = 1;

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
        range: Range<usize>,
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
