//! What the load engine costs, and whether its latency includes a stall of the server.

use serde::{Deserialize, Serialize};

use super::{DATA_FILE, made_by};
use crate::{
    document::{Document, Section},
    estimate::Estimate,
    quantity,
    table::{Table, numbers, words},
    tone::Tone,
};

/// A bench of the load engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineBench {
    /// Version of this shape: [`EngineBench::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// CPUs that load and server share.
    pub cpus: usize,
    /// Clients of each tool.
    pub clients: u32,
    /// Rounds of each tool.
    pub rounds: u32,
    /// Measured time of a round.
    pub measured_ms: u64,
    /// The seed of the order of tools.
    pub seed: u64,
    /// Tools that were not found on this machine, by name.
    pub not_installed: Vec<String>,
    /// Each tool against the same server.
    pub tools: Vec<ToolReport>,
    /// An open load through a stall of the server.
    pub stall: StallReport,
    /// Many clients with a think time.
    pub crowd: CrowdReport,
}

/// Who makes the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Our engine, with everything recorded.
    Slotproof,
    /// Our engine with the recorder off.
    SlotproofWithoutRecorder,
    /// goose alone.
    Goose,
    /// oha.
    Oha,
    /// wrk.
    Wrk,
}

impl Tool {
    /// Every tool, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::Slotproof, Self::SlotproofWithoutRecorder, Self::Goose, Self::Oha, Self::Wrk];

    /// The name in reports and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slotproof => "slotproof, everything recorded",
            Self::SlotproofWithoutRecorder => "slotproof, recorder off",
            Self::Goose => "goose",
            Self::Oha => "oha",
            Self::Wrk => "wrk",
        }
    }
}

/// One client process from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ToolCost {
    /// Requests that the server counted.
    pub requests: u64,
    /// CPU of the whole client process per request, its start included.
    pub cpu_us_per_request: f64,
    /// Requests per second.
    pub requests_per_s: f64,
    /// Largest resident size.
    pub memory_bytes_max: u64,
}

/// A tool over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolReport {
    /// Which tool.
    pub tool: Tool,
    /// CPU per request.
    pub cpu_us_per_request: Estimate,
    /// Against plain goose in the same round.
    pub cpu_ratio_to_goose: Option<Estimate>,
    /// Requests per second.
    pub requests_per_s: Estimate,
    /// Against our engine with the recorder off in the same round.
    pub throughput_ratio_to_without_recorder: Option<Estimate>,
    /// Largest resident size over all rounds.
    pub memory_bytes_max: u64,
    /// The rounds one by one.
    pub rounds: Vec<ToolCost>,
}

/// An open load through a stall of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StallReport {
    /// Offered visits per second.
    pub rate_per_s: f64,
    /// How long the server was stopped.
    pub stall_ms: u64,
    /// How long the load took.
    pub load_ms: u64,
    /// Visits that the schedule had.
    pub arrivals_asked: u64,
    /// Visits that were made.
    pub arrivals_made: u64,
    /// Response latency, median.
    pub response_us_p50: u64,
    /// Response latency, 99th percentile.
    pub response_us_p99: u64,
    /// Service latency, 99th percentile.
    pub service_us_p99: u64,
    /// Send lag, 99th percentile.
    pub lag_us_p99: u64,
    /// The p99 of `oha -q --latency-correction` through the same stall; absent where oha is not
    /// installed.
    pub oha_us_p99: Option<f64>,
}

/// Many clients with a think time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrowdReport {
    /// Clients.
    pub clients: u32,
    /// Mean think time.
    pub think_ms: u64,
    /// Operations made.
    pub operations: u64,
    /// Operations whose outcome was not `ok`.
    pub not_ok: u64,
    /// Largest resident size.
    pub memory_bytes_max: u64,
    /// CPU per request.
    pub cpu_us_per_request: f64,
}

impl EngineBench {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The page, and the tables of `bench.md`.
    pub fn document(&self) -> Document {
        Document {
            kicker: "Slotproof bench",
            title: "The cost of the load engine".to_owned(),
            subtitle: String::new(),
            tone: Tone::Neutral,
            outcome: "measured".to_owned(),
            headline: self.headline(),
            facts: Vec::new(),
            origin: None,
            sections: vec![self.tools_section(), self.stall.section(), self.crowd.section()],
            data_file: DATA_FILE,
            made_by: made_by(self.schema_version),
        }
    }

    fn headline(&self) -> String {
        let own = self.tools.iter().find(|report| report.tool == Tool::Slotproof);
        let Some(own) = own else { return "The load engine was not measured.".to_owned() };
        let ratio =
            own.cpu_ratio_to_goose.map(|ratio| format!(", {} of plain goose", share(ratio)));
        format!(
            "With everything recorded a request costs {} of CPU{}.",
            own.cpu_us_per_request.text(cpu),
            ratio.unwrap_or_default()
        )
    }

    fn tools_section(&self) -> Section {
        let columns = [
            words("tool"),
            numbers("CPU per request"),
            numbers("ratio to goose"),
            numbers("requests / s"),
            numbers("ratio to recorder off"),
            numbers("largest memory"),
        ];
        let mut table = Table::new(&columns);
        for tool in &self.tools {
            table.push(vec![
                tool.tool.name().to_owned(),
                tool.cpu_us_per_request.text(cpu),
                tool.cpu_ratio_to_goose.map(share).unwrap_or_default(),
                quantity::rate(tool.requests_per_s.median),
                tool.throughput_ratio_to_without_recorder.map(share).unwrap_or_default(),
                quantity::bytes(tool.memory_bytes_max),
            ]);
        }
        let section = Section::new("tools", "Cost per request").paragraph(format!(
            "Reads of a server that does nothing, by {} without think time, {} of {} in random \
             order (seed {}); load and server share {}. Medians with bootstrap 95 % intervals over \
             the rounds; ratios are medians of the ratio of each round. CPU is that of the whole \
             client process, its start included.",
            quantity::counted(self.clients.into(), "client"),
            quantity::counted(self.rounds.into(), "round"),
            quantity::duration_ms(self.measured_ms),
            self.seed,
            quantity::counted(self.cpus as u64, "CPU")
        ));
        let section = match self.not_installed.as_slice() {
            [] => section,
            some => section.paragraph(format!("Not installed here: {}.", some.join(", "))),
        };
        section.table("", table)
    }
}

fn share(ratio: Estimate) -> String {
    ratio.text(|value| format!("{value:.2}"))
}

fn cpu(us: f64) -> String {
    format!("{us:.1} µs")
}

impl StallReport {
    fn section(&self) -> Section {
        let mut table = Table::new(&[words("latency"), numbers("p99")]);
        let mut line = |name: &str, value: String| table.push(vec![name.to_owned(), value]);
        line("response", quantity::duration_us(self.response_us_p99));
        line("service", quantity::duration_us(self.service_us_p99));
        line("send lag", quantity::duration_us(self.lag_us_p99));
        let oha = format!("oha -q {} --latency-correction", self.rate_per_s);
        match self.oha_us_p99 {
            Some(us) => {
                line(&oha, quantity::duration_us(us.round().max(0.0) as u64));
                line("response, ratio to oha", format!("{:.3}", self.response_us_p99 as f64 / us));
            }
            None => line(&oha, "not installed".to_owned()),
        }
        Section::new("stall", "Latency through a stall of the server")
            .paragraph(format!(
                "{} visits/s for {}, during which the server is stopped for {} (SIGSTOP). {} of {} \
                 visits were made.",
                quantity::rate(self.rate_per_s),
                quantity::duration_ms(self.load_ms),
                quantity::duration_ms(self.stall_ms),
                quantity::count(self.arrivals_made),
                quantity::count(self.arrivals_asked),
            ))
            .table("", table)
    }
}

impl CrowdReport {
    fn section(&self) -> Section {
        Section::new("crowd", "Many clients").paragraph(format!(
            "{} with a think time of {}: {}, {} of them not ok; largest memory {}, CPU per request \
             {}.",
            quantity::counted(self.clients.into(), "client"),
            quantity::duration_ms(self.think_ms),
            quantity::counted(self.operations, "operation"),
            quantity::count(self.not_ok),
            quantity::bytes(self.memory_bytes_max),
            cpu(self.cpu_us_per_request),
        ))
    }
}
