//! A capacity search: how much load a service carries, and a verdict on each of the estimates.

mod data;

mod document;

pub use data::{
    Bracket, Capacity, ClaimVerdict, JudgedClaim, Objective, Probe, ProbeOutcome, Rates, Scaling,
    Usl,
};
