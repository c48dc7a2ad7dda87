//! The words of Slotproof as types: one word, one meaning.
//!
//! Everybody knows this crate: the service, the load engine, the checker, the models and the
//! reports. It holds no judgement (what is correct is written in the checker, and the service never
//! sees that), does no IO, and reads no clock.

pub mod ids;
pub mod reference_api;
pub mod strategy;

pub mod load;
pub mod mix;
pub mod plan;
pub mod plan_args;
pub mod scenario;
pub mod span;

pub mod end_state;
pub mod operation;
pub mod operation_builder;
pub mod verdict;

pub use end_state::{Announced, AuditRecord, BookingRow, EndState, Notice, SlotRow, StatusCount};
pub use ids::{BookingId, DoctorId, IdError, Month, SlotId};
pub use load::{ArrivalTotals, LoadTotals};
pub use mix::{Mix, Visit};
pub use operation::{Action, Operation, Outcome, Seen};
pub use operation_builder::OperationBuilder;
pub use plan::{Expectation, Plan, PlanError, Workload};
pub use plan_args::PlanArgs;
pub use reference_api::BookingStatus;
pub use scenario::ScenarioKind;
pub use span::{Ramp, Rate, Span, Spike, Stage};
pub use strategy::{ShownBy, StrategyKind, UnknownStrategy};
pub use verdict::{Finding, Invariant, Verdict, VerdictReport, Witness};
