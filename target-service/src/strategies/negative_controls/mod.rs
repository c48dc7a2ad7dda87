//! Strategies that are broken on purpose, each for one real bug, to see that the checker convicts
//! it.
//!
//! They can only be selected by name, and `slotproof serve` warns about them. Those that are a page
//! of their own lie in a file of their own; the mutants, which break one thing around or inside a
//! page, lie together in `mutants.rs`.

pub(crate) mod lost_update;
pub(crate) mod mutants;
pub(crate) mod redis_lock_token;
pub(crate) mod redis_lock_unfenced;
pub(crate) mod unprotected;
