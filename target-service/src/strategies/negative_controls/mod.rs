//! Negative controls: strategies that are broken on purpose, named for what is missing. The checker must convict each one.
//!
//! They are never a default, can only be chosen by name, and `serve` warns when one is.

pub mod lost_update;
pub mod unprotected;
