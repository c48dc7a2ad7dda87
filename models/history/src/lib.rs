#![doc = include_str!("../README.md")]
//!
//! An [`Operation`](slotproof_vocabulary::Operation) is the open type: what a line of JSON says, in
//! 400 bytes with its names. [`Operations`] keeps the same in 64 bytes and each name once, and gives
//! each back as an [`OperationRef`], a copy of a few words with the same fields.

// In reading order: each module uses only those before it.
mod names;

mod operation_ref;

mod extras;
mod row;

mod columns;
mod group;
mod operations;

mod partition;

mod frame;
mod operations_file;

pub use frame::{Decoded, Frame, FrameError, FrameReader, FrameWriter, MARK, Next};
pub use group::{GroupError, OPERATIONS_MAX};
pub use names::{Name, Names};
pub use operation_ref::{ActionRef, ChangeRef, OperationRef, SeenRef};
pub use operations::{Gathered, Iter, Operations};
pub use operations_file::{EXTENSION, OperationsFile};
pub use partition::{PARTITIONS, partition_of};
