//! What the load engine costs, and whether its latency tells the truth.
//!
//! One server that does nothing, in a process of its own; against it the same reads by our engine
//! with everything recorded, by our engine with the recorder off, by plain goose, and by oha and
//! wrk where they are installed. One client process at a time; the order is drawn anew in every
//! round, and ratios are taken within a round. CPU is what the kernel charged the client's process,
//! requests are what the server counted, memory is the client's largest resident size.
//!
//! Then the server is stopped for a while under an open load (SIGSTOP), and ten thousand clients
//! with a thinking time are run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_recursion::async_recursion as boxed_future;
use hyper::Uri;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use slotproof_history::Operations;
use slotproof_reports::bench::engine::{
    CrowdReport, EngineBench, StallReport, Tool, ToolCost, ToolReport,
};
use slotproof_scenarios::{
    Durations, Event, LoadOrder,
    target::{OperationKind, Place, Scope, Session, reference},
};
use slotproof_vocabulary::{Mix, Outcome, Plan, PlanArgs, Ramp, Rate, ScenarioKind, Span};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::{trivial_server::COUNT_PATH, write_bench};
use slotproof_evidence::RunDirectory;
use slotproof_stack::{
    guard::{self, Guard},
    proc,
    process::{Launch, Process, Stdout, tail},
};

use crate::{check_run, progress::Progress, statistics::estimate};

/// Any path will do; ours asks for a slot.
const SLOT: &str = "00000001-0142-8100-8000-000000000001";
/// How long the server stands still, and how many visits a second come meanwhile.
const STALL: Duration = Duration::from_secs(3);
const STALL_RATE_PER_S: f64 = 500.0;
/// Before and after the stall, as parts of the whole: it begins when two fifths are over.
const STALL_BEGINS: (u32, u32) = (2, 5);
/// The crowd: the most clients that a plan has, and their thinking time.
const CROWD: u32 = Plan::CLIENTS_MAX;
const CROWD_THINK: Span = Span::of_ms(2_000);

/// How much is measured.
#[derive(Debug, Clone)]
pub struct EngineSpec {
    /// Clients of each load.
    pub clients: u32,
    /// How often each tool is measured.
    pub rounds: u32,
    /// How long each tool is measured.
    pub measure: Duration,
    /// How long the load lasts in which the server is stopped.
    pub stalled: Duration,
    /// Of the order of the tools.
    pub seed: u64,
    /// Where the directory of the bench is made.
    pub runs: PathBuf,
}

/// `None`: not on this machine.
fn program(tool: Tool) -> Option<PathBuf> {
    match tool {
        Tool::Slotproof | Tool::SlotproofWithoutRecorder | Tool::Goose => {
            std::env::current_exe().ok()
        }
        Tool::Oha => on_path("oha"),
        Tool::Wrk => on_path("wrk"),
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Measures everything and writes `bench.json` and `bench.md`.
///
/// # Errors
/// A process that does not start, or a load that breaks.
#[boxed_future]
pub async fn bench(
    spec: &EngineSpec,
    guard: &Guard,
    progress: &dyn Progress,
) -> Result<(RunDirectory, EngineBench)> {
    let run =
        RunDirectory::create_named(&spec.runs, "bench-engine", time::OffsetDateTime::now_utc())?;
    progress.line(&format!("bench {}", run.path().display()));
    let bench = Bench { spec, guard, run: &run, server: Server::start(&run, guard).await? };
    let tools: Vec<Tool> = Tool::ALL.into_iter().filter(|tool| program(*tool).is_some()).collect();
    let absent = Tool::ALL.into_iter().filter(|tool| !tools.contains(tool));
    let not_installed: Vec<_> = absent.map(|tool| tool.name().to_owned()).collect();
    let mut rounds: Vec<(Tool, Vec<ToolCost>)> =
        tools.iter().map(|tool| (*tool, Vec::new())).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    for round in 1..=spec.rounds {
        let mut order: Vec<usize> = (0..rounds.len()).collect();
        order.shuffle(&mut rng);
        for index in order {
            let cost = bench.cost(rounds[index].0, &format!("round-{round}")).await?;
            rounds[index].1.push(cost);
        }
        progress.line(&format!("  round {round} of {} is done", spec.rounds));
    }
    let report = EngineBench {
        schema_version: EngineBench::SCHEMA_VERSION,
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        clients: spec.clients,
        rounds: spec.rounds,
        measured_ms: Span(spec.measure).ms(),
        seed: spec.seed,
        not_installed,
        tools: rounds.iter().map(|(tool, costs)| tool_report(*tool, costs, &rounds)).collect(),
        stall: bench.stall().await?,
        crowd: bench.crowd().await?,
    };
    bench.server.process.stop(Duration::from_secs(5)).await;
    run.write_json("bench.json", &report)?;
    write_bench(&run, &report.document())?;
    Ok((run, report))
}

fn tool_report(tool: Tool, costs: &[ToolCost], all: &[(Tool, Vec<ToolCost>)]) -> ToolReport {
    let of = |value: fn(&ToolCost) -> f64| {
        let values: Vec<f64> = costs.iter().map(value).collect();
        estimate(&values).expect("there is a round")
    };
    // The median of the ratios of each round, not the ratio of medians: what slows a round slows
    // both.
    let ratio = |base: Tool, value: fn(&ToolCost) -> f64| {
        let (_, base) = all.iter().find(|(candidate, _)| *candidate == base)?;
        let ratios: Vec<f64> =
            costs.iter().zip(base).map(|(own, base)| value(own) / value(base)).collect();
        estimate(&ratios)
    };
    ToolReport {
        tool,
        cpu_us_per_request: of(|cost| cost.cpu_us_per_request),
        cpu_ratio_to_goose: ratio(Tool::Goose, |cost| cost.cpu_us_per_request),
        requests_per_s: of(|cost| cost.requests_per_s),
        throughput_ratio_to_without_recorder: ratio(Tool::SlotproofWithoutRecorder, |cost| {
            cost.requests_per_s
        })
        .filter(|_| tool == Tool::Slotproof),
        memory_bytes_max: costs.iter().map(|cost| cost.memory_bytes_max).max().unwrap_or_default(),
        rounds: costs.to_vec(),
    }
}

/// The server that does nothing.
struct Server {
    process: Process,
    target: String,
}

impl Server {
    async fn start(run: &RunDirectory, guard: &Guard) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["measured", "trivial-server"]);
        let launch = Launch {
            name: "trivial-server",
            command,
            log: run.log("trivial-server"),
            stdout: Stdout::Piped,
            stop: Signal::TERM,
            abandon: Signal::KILL,
        };
        let mut process = Process::start(launch, guard)?;
        let mut lines = BufReader::new(process.take_stdout().expect("it is piped")).lines();
        let line = lines.next_line().await?.context("the server said nothing")?;
        let said: serde_json::Value = serde_json::from_str(&line)?;
        let address =
            said["listening"].as_str().context("the server did not say where it listens")?;
        Ok(Self { process, target: format!("http://{address}") })
    }

    async fn answered(&self) -> Result<u64> {
        Ok(reqwest::get(format!("{}{COUNT_PATH}", self.target)).await?.text().await?.parse()?)
    }
}

/// Where the slot is read.
fn read_url(target: &str) -> Result<Uri> {
    let (place, session) = (Place::of_id(SLOT).names(), Session::default());
    let scope = Scope::of(target, &place, &session);
    let request = reference::target(target).first_request(OperationKind::Read, scope);
    Ok(request.map_err(anyhow::Error::msg)?.uri().clone())
}

struct Bench<'a> {
    spec: &'a EngineSpec,
    guard: &'a Guard,
    run: &'a RunDirectory,
    server: Server,
}

impl Bench<'_> {
    /// The same reads for the same time by one tool.
    async fn cost(&self, tool: Tool, cell: &str) -> Result<ToolCost> {
        let program = program(tool).context("it is installed")?;
        let (seconds, clients) =
            (self.spec.measure.as_secs().max(1).to_string(), self.spec.clients.to_string());
        let url = read_url(&self.server.target)?;
        let (url, path) = (url.to_string(), url.path().to_owned());
        let mut command = Command::new(program);
        match tool {
            Tool::Slotproof | Tool::SlotproofWithoutRecorder => {
                let plan = reads(PlanArgs {
                    clients: Some(self.spec.clients),
                    think: Some(Span::default()),
                    duration: Some(Span(self.spec.measure)),
                    ..PlanArgs::default()
                })?;
                let order = self.order(plan, cell, tool == Tool::Slotproof)?;
                command.arg("load").arg(order);
            }
            Tool::Goose => {
                command.args([
                    "measured",
                    "plain-goose",
                    &self.server.target,
                    &path,
                    &clients,
                    &seconds,
                ]);
            }
            Tool::Oha => {
                command.args(["-z", &format!("{seconds}s"), "-c", &clients, "--no-tui", &url]);
            }
            Tool::Wrk => {
                command.args(["-t", "1", "-c", &clients, "-d", &format!("{seconds}s"), &url]);
            }
        }
        self.measure(tool, command).await
    }

    async fn measure(&self, tool: Tool, command: Command) -> Result<ToolCost> {
        let (answered, cpu_ms, begun) =
            (self.server.answered().await?, proc::reaped_cpu_ms(), Instant::now());
        let memory_bytes_max = self.to_the_end(tool.name(), command).await?;
        let elapsed = begun.elapsed().as_secs_f64();
        let requests = self.server.answered().await? - answered;
        let cpu_us = (proc::reaped_cpu_ms() - cpu_ms) as f64 * 1e3;
        Ok(ToolCost {
            requests,
            cpu_us_per_request: cpu_us / requests.max(1) as f64,
            requests_per_s: requests as f64 / elapsed.min(self.spec.measure.as_secs_f64()),
            memory_bytes_max,
        })
    }

    /// Runs a client process to its end; answers with its largest resident size.
    async fn to_the_end(&self, name: &str, command: Command) -> Result<u64> {
        let log = self.run.log(&name.replace([' ', ','], "-"));
        let launch = Launch {
            name,
            command,
            log: log.clone(),
            stdout: Stdout::ToLog,
            stop: Signal::TERM,
            abandon: Signal::KILL,
        };
        let mut process = Process::start(launch, self.guard)?;
        let pid = process.pid();
        let mut memory_bytes_max = 0;
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let status = loop {
            tokio::select! {
                status = process.wait() => break status?,
                _ = looks.tick() => memory_bytes_max = memory_bytes_max.max(proc::resident_bytes_max(pid).unwrap_or(0)),
            }
        };
        anyhow::ensure!(
            status.success(),
            "{name} ended with {status}; its log ends with:\n{}",
            tail(&log)
        );
        Ok(memory_bytes_max)
    }

    /// Writes an order; each has files of its own.
    fn order(&self, plan: Plan, cell: &str, recorded: bool) -> Result<PathBuf> {
        let file = |name: &str| self.run.file(&format!("{cell}-{name}"));
        let order = LoadOrder {
            plan,
            run: "bench".to_owned(),
            targets: vec![self.server.target.clone()],
            slots: vec![SLOT.to_owned()],
            history: recorded.then(|| file("history.sph")),
            latency: recorded.then(|| file("latency.hlog")),
            described: None,
        };
        let name = format!("{cell}-order.json");
        self.run.write_json(&name, &order)?;
        Ok(self.run.file(&name))
    }

    /// An open load, and the server stands still in its midst.
    async fn stall(&self) -> Result<StallReport> {
        let plan = reads(PlanArgs {
            rate: Rate::of_per_s(STALL_RATE_PER_S).map(Ramp::flat),
            duration: Some(Span(self.spec.stalled)),
            ..PlanArgs::default()
        })?;
        let order = self.order(plan, "stall", true)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("load").arg(order);
        self.through_the_stall("slotproof, through a stall", command).await?;
        let ended = last_event(&self.run.log("slotproof--through-a-stall"))?;
        let Event::Ended(totals) = ended else {
            anyhow::bail!("the load did not say how it ended")
        };
        let arrivals = totals.arrivals.context("the load was open")?;
        let mut durations = Durations::default();
        for operation in &history(&self.run.file("stall-history.sph"))? {
            durations.record_instants(
                operation.scheduled_ns,
                operation.sent_ns,
                operation.returned_ns,
            );
        }
        let oha_us_p99 = match program(Tool::Oha) {
            Some(oha) => Some(self.oha_through_the_stall(oha).await?),
            None => None,
        };
        Ok(StallReport {
            rate_per_s: STALL_RATE_PER_S,
            stall_ms: Span(STALL).ms(),
            load_ms: Span(self.spec.stalled).ms(),
            arrivals_asked: arrivals.asked,
            arrivals_made: arrivals.made,
            response_us_p50: durations.response.value_at_quantile(0.5),
            response_us_p99: durations.response.value_at_quantile(0.99),
            service_us_p99: durations.service.value_at_quantile(0.99),
            lag_us_p99: durations.lag.value_at_quantile(0.99),
            oha_us_p99,
        })
    }

    async fn oha_through_the_stall(&self, oha: PathBuf) -> Result<f64> {
        let mut command = Command::new(oha);
        let seconds = format!("{}s", self.spec.stalled.as_secs());
        let rate = STALL_RATE_PER_S.to_string();
        command.args([
            "-z",
            &seconds,
            "-q",
            &rate,
            "--latency-correction",
            "--no-tui",
            "--output-format",
            "json",
        ]);
        command.arg(read_url(&self.server.target)?.to_string());
        self.through_the_stall("oha, through a stall", command).await?;
        let said: serde_json::Value =
            serde_json::from_slice(&fs::read(self.run.log("oha--through-a-stall"))?)
                .context("read what oha says")?;
        let p99_s = said["latencyPercentiles"]["p99"].as_f64().context("oha says no p99")?;
        Ok(p99_s * 1e6)
    }

    async fn through_the_stall(&self, name: &str, command: Command) -> Result<()> {
        let server = self.server.process.pid();
        let stall = async {
            let (part, of) = STALL_BEGINS;
            tokio::time::sleep(self.spec.stalled * part / of).await;
            guard::signal(server, Signal::STOP);
            tokio::time::sleep(STALL).await;
            guard::signal(server, Signal::CONT);
        };
        let (ended, ()) = tokio::join!(self.to_the_end(name, command), stall);
        ended.map(|_| ())
    }

    /// As many clients as there may be, who take their time.
    async fn crowd(&self) -> Result<CrowdReport> {
        let plan = reads(PlanArgs {
            clients: Some(CROWD),
            think: Some(CROWD_THINK),
            duration: Some(Span(self.spec.measure * 2)),
            ..PlanArgs::default()
        })?;
        let order = self.order(plan, "crowd", true)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("load").arg(order);
        let cost = self.measure(Tool::Slotproof, command).await?;
        let operations = history(&self.run.file("crowd-history.sph"))?;
        Ok(CrowdReport {
            clients: CROWD,
            think_ms: CROWD_THINK.ms(),
            operations: operations.len() as u64,
            not_ok: operations.iter().filter(|operation| operation.outcome != Outcome::Ok).count()
                as u64,
            memory_bytes_max: cost.memory_bytes_max,
            cpu_us_per_request: cost.cpu_us_per_request,
        })
    }
}

/// A plan of which every operation is a read.
fn reads(words: PlanArgs) -> Result<Plan> {
    let mix = Mix { browse: 1, ..Mix::default() };
    let words =
        PlanArgs { scenario: Some(ScenarioKind::Steady), mix: Some(mix), slots: Some(1), ..words };
    Ok(Plan::try_from(words)?)
}

fn history(path: &Path) -> Result<Operations> {
    let history = check_run::read_history(path)?;
    anyhow::ensure!(history.cut_off.is_none(), "{} breaks off", path.display());
    Ok(history.operations)
}

fn last_event(log: &Path) -> Result<Event> {
    let text = fs::read_to_string(log)?;
    let mut events = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    events.next().context("the load said nothing")
}
