#![doc = include_str!("../README.md")]
//! # Example
//!
//! A run in which the last seat was sold twice, as a comment on a pull request:
//!
//! ```
//! use slotproof_reports::{
//!     Format, RunReport, render,
//!     run_report::{EnvironmentBlock, Errors, Totals},
//! };
//! use slotproof_vocabulary::{Finding, Invariant, Plan, PlanArgs, Verdict, VerdictReport};
//!
//! let overbooked = Finding {
//!     invariant: Invariant::NoOverbookingObserved,
//!     verdict: Verdict::Violated,
//!     summary: "at 4.213 s, 2 acknowledged bookings hold 2 seats of 1".to_owned(),
//!     examined: 2,
//!     violations: 1,
//!     witness: None,
//! };
//! let report = RunReport {
//!     schema_version: RunReport::SCHEMA_VERSION,
//!     run: "20260304T101500Z-flash_sale".to_owned(),
//!     started_at: "2026-03-04T10:15:00Z".to_owned(),
//!     slotproof_version: "0.1.0".to_owned(),
//!     repeat_command: "slotproof run --scenario flash_sale --capacity 1".to_owned(),
//!     plan: Plan::try_from(PlanArgs { capacity: Some(1), ..PlanArgs::default() })?,
//!     environment: EnvironmentBlock {
//!         kind: "external".to_owned(),
//!         cpus: 2,
//!         memory_bytes: 8 << 30,
//!         kernel: "Linux 6.12".to_owned(),
//!         replicas: 1,
//!         topology: None,
//!         fsync: None,
//!         durable_commit: None,
//!         servers: Vec::new(),
//!     },
//!     verdict: VerdictReport::new(2, vec![overbooked]),
//!     objectives: Vec::new(),
//!     totals: Totals {
//!         window_ms: 5_000,
//!         drain_ms: 0,
//!         operations: 2,
//!         outcomes: [("ok".to_owned(), 2)].into(),
//!         drained: [].into(),
//!         reserved: 2,
//!         confirmed: 0,
//!         cancelled: 0,
//!         reserved_per_s: 0.4,
//!         confirmed_per_s: 0.0,
//!         operations_per_s: 0.4,
//!         errors: Errors::default(),
//!         resends: 0,
//!         arrivals: None,
//!     },
//!     latency: Vec::new(),
//!     timeline: Vec::new(),
//!     seats: Vec::new(),
//!     resources: Vec::new(),
//!     costs: None,
//!     faults: Vec::new(),
//!     shorter: Vec::new(),
//! };
//! let comment = String::from_utf8(render(&report, Format::Markdown)?)?;
//! assert!(comment.starts_with("## ❌ violated: external on flash_sale"));
//! assert!(comment.contains("At 4.213 s, 2 acknowledged bookings hold 2 seats of 1."));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod estimate;
pub mod header;
pub mod objective;
pub mod run_report;
mod schema;

pub mod architecture;
pub mod bench;
pub mod capacity;
pub mod comparison;
pub mod gate;
pub mod index;
pub mod selftest;
pub mod simulated;

mod format;
mod html;
mod json;
mod junit;
mod render_error;
mod run_document;

mod document;
mod markdown;
mod tone;

mod evidence;
mod measurements;
mod run_context;
mod verdict_text;

pub mod plots;
pub mod sequence;

pub mod printable;
pub mod quantity;
mod table;

pub use document::Document;
pub use format::{Format, render};
pub use header::ReportHeader;
pub use objective::Objective;
pub use render_error::RenderError;
pub use run_report::RunReport;
pub use schema::ReadError;
pub use tone::Tone;
