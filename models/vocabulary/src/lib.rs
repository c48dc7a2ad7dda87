#![doc = include_str!("../README.md")]

pub mod ids;
pub mod reference_api;
pub mod strategy;

pub mod load;
pub mod mix;
pub mod plan;
pub mod plan_args;
pub mod plan_validation;
pub mod scenario;
pub mod share;
pub mod span;
pub mod workload;

pub mod cache_mode;
pub mod declarations;
pub mod end_state;
pub mod environment;
mod modes;
pub mod month_mode;
pub mod operation;
pub mod operation_builder;
pub mod pooling;
pub mod read_mode;
pub mod reason;
pub mod shard_mode;
pub mod verdict;

pub mod usage_error;

pub use cache_mode::CacheMode;
pub use declarations::{BookingIds, Declarations, Scope};
pub use end_state::{
    Announced, AuditRecord, BookingRow, EndState, ForeignRows, Notice, SlotRow, StatusCount,
};
pub use environment::{
    ComponentBlock, EnvironmentBlock, FsyncCalibration, RunContext, ServerBlock, TopologyBlock,
};
pub use ids::{BookingId, DoctorId, IdError, Month, SlotId};
pub use load::{ArrivalTotals, LoadTotals};
pub use mix::{Flow, Mix};
pub use month_mode::MonthMode;
pub use operation::{Action, ChangeTo, ErrorClass, Operation, Outcome, Seen, Terms};
pub use operation_builder::OperationBuilder;
pub use plan::{Expectation, Plan};
pub use plan_args::PlanArgs;
pub use plan_validation::PlanError;
pub use pooling::Pooling;
pub use read_mode::ReadMode;
pub use reason::ReasonCode;
pub use reference_api::{BookingStatus, ProblemCode};
pub use scenario::ScenarioKind;
pub use shard_mode::ShardMode;
pub use share::Share;
pub use span::{Ramp, Rate, Span, Spike, Stage};
pub use strategy::{ShownBy, StrategyKind, UnknownStrategy};
pub use usage_error::UsageError;
pub use verdict::{Finding, Invariant, Verdict, VerdictReport, Witness};
pub use workload::{Arrivals, Sockets, Workload};
