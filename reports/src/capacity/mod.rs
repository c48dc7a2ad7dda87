//! A capacity search: how much load a service carries, and a verdict on each of the estimates.

mod data;

mod document;

pub use data::{
    Bracket, Capacity, ClaimVerdict, Interval, JudgedClaim, Machine, Objective, P99, Phase, Probe,
    ProbeOutcome, Rates, Residual, Scaling, Scope, SizeMeasured, Tally, Usl, Violation,
};
