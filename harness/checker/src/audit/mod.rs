//! The audit log: what the service says that it committed, slot by slot, in the order of versions.
//!
//! The log is folded once, into the [`Ledger`]; I2, I6, I7, I13 and the trace validation of the
//! models ask it different questions.

mod capacity_claims;
mod instants;
mod ledger;
mod numbering;

pub(crate) use instants::Instants;
pub(crate) use ledger::BookingsAtTheEnd;
pub use ledger::{Entry, Ledger, SlotLedger};
pub(crate) use numbering::{Gap, Numbering};
