//! Strategies that are broken on purpose, each for one real bug. The checker must convict each of
//! them.
//!
//! They can only be selected by name, and `slotproof serve` warns about them. A control that is a
//! page has its own file; the mutants, which break one thing around or inside a page, share
//! `mutants.rs`.

pub(crate) mod lost_update;
pub(crate) mod mutants;
pub(crate) mod redis_lock_token;
pub(crate) mod redis_lock_unfenced;
pub(crate) mod unprotected;
