//! `slotproof compare`: strategies or plans side by side.

use std::path::{Path, PathBuf};

use anyhow::Result;
use slotproof_experiments::{
    ExperimentSpec,
    compare::{CompareSpec, VariantSpec, compare, read_earlier},
    on::Subject,
    target_run::Left,
    target_series::TargetSpec,
};
use slotproof_reports::comparison::{Load, Offered};
use slotproof_stack::Topology;
use slotproof_vocabulary::{Plan, PlanArgs, ScenarioKind, Share, Span, StrategyKind, UsageError};

use super::{
    conduct, end_target, init_tracing, run,
    stack_args::{Kind, StackArgs, repeat},
};
use crate::{
    console::Console,
    exit_code::{self, Code},
    output,
};

const EXAMPLES: &str = "Examples:
  slotproof compare --quick
      every safe strategy on one slot and on many, with 128 clients, in under five minutes

  slotproof compare --strategies pessimistic,conditional,grouped --loads hot_slot,flash_sale --clients 100,400 --rounds 7
      three of them in four settings

  slotproof compare --quick --strategies conditional,unprotected
      a negative control beside a safe strategy: it is disqualified, and never ranked

  slotproof compare --plan monday.toml --plan friday.toml
      two plans, each with its strategy and its load, by the same method

  slotproof compare --quick --clients 32 --targets blue.toml,green.toml
      two booking APIs, or two versions of one, as their target files describe them

  slotproof compare --quick --topologies single,pooled,cached
      what each step of the data tier costs here, and what it buys

  slotproof compare --quick --against runs/20260105T090000Z-compare
      an earlier comparison set beside this one

Exit codes: 0 every variant that claims to be safe was upheld, 1 one of them was violated, 2 one of them was not decided.";

/// Arguments of `slotproof compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Fewer settings and shorter loads: in under five minutes.
    #[arg(long)]
    quick: bool,

    /// Which strategies and negative controls [default: every safe strategy]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    strategies: Vec<StrategyKind>,

    /// A plan in TOML or JSON to compare, instead of strategies; give at least two, each with its
    /// strategy. The file's name is the variant's.
    #[arg(
        long = "plan",
        value_name = "FILE",
        conflicts_with_all = ["strategies", "loads", "clients", "offered", "duration", "warm_up"]
    )]
    plans: Vec<PathBuf>,

    /// Target files of booking APIs to compare, instead of strategies; give at least two.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "FILES",
        conflicts_with_all = ["strategies", "plans"]
    )]
    targets: Vec<PathBuf>,

    /// Topologies to compare, by name or file, instead of strategies; give at least two. All run the
    /// strategy that --strategies names [default: conditional]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES|FILES",
        conflicts_with_all = ["plans", "targets", "topology"]
    )]
    topologies: Vec<String>,

    /// With --targets: a host beside this machine that may be loaded; its file must allow it too.
    #[arg(long, value_name = "HOST", requires = "targets")]
    allow: Vec<String>,

    /// Which loads: hot_slot, many_slots and mostly_reads have seats to spare, and measure
    /// throughput; in a scenario seats run out, and verdicts are decided [default:
    /// hot_slot,many_slots,flash_sale,hot_and_cold; with --quick hot_slot,many_slots,hot_and_cold;
    /// with --topologies mostly_reads instead of hot_slot]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    loads: Vec<Load>,

    /// How many concurrent clients, a setting each [default: 50,200,600; with --quick 128]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = Plan::parse_clients)]
    clients: Vec<u32>,

    /// Open loads with seats to spare, beside clients that never pause (saturating): of_slowest is
    /// 70 % of the slowest upheld variant's throughput for all, of_best 70 % of the best's,
    /// overload 130 % of each one's own throughput [default: of_slowest,of_best,overload; with --quick
    /// of_slowest]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    offered: Vec<Offered>,

    /// How often each cell is measured at least.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Rounds are added where they decide most, until so much time has passed since the start, and
    /// open loads have theirs within it; 0s adds none and leaves none out [default: 45m; with
    /// --quick 4m30s]
    #[arg(long, value_name = "TIME")]
    budget: Option<Span>,

    /// The difference that does not matter: within it two variants are equal.
    #[arg(long, default_value = "10%", value_name = "SHARE")]
    margin: Share,

    /// The directory of an earlier comparison on this machine, to set beside this one.
    #[arg(long, value_name = "DIRECTORY")]
    against: Option<PathBuf>,

    /// Duration of each closed load; open ones last twice as long [default: 3s; with --quick 1200ms]
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,

    /// Load before the measured time of each cell: judged, and left out of the figures [default:
    /// 500ms; with --quick 250ms]
    #[arg(long, value_name = "TIME")]
    warm_up: Option<Span>,

    /// Of the order of cells, and of every load.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Where the directory of the comparison is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    /// Print comparison.json on standard output, instead of the report's path.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    stack: StackArgs,
}

pub(crate) fn exec(args: &Args) -> Result<Code> {
    init_tracing();
    let spec = spec(args)?;
    let console = Console::of_stderr();
    let conducted = conduct(async |guard| compare(&spec, guard, &console).await);
    for target in &spec.targets {
        end_target(&target.left, &console)?;
    }
    let (run, comparison) = conducted?;
    note!();
    output::lines(&comparison.document().markdown());
    if args.json {
        out!("{}", serde_json::to_string_pretty(&comparison)?);
    } else {
        out!("{}", run.file("report.html").display());
    }
    Ok(exit_code::of_verdict(comparison.verdict()))
}

/// What is listed twice is compared with itself, and counted twice.
fn listed_once<T: PartialEq + ToString>(flag: &str, values: &[T]) -> Result<(), UsageError> {
    let twice = (1..values.len()).find(|place| values[..*place].contains(&values[*place]));
    match twice {
        Some(place) => Err(UsageError(format!(
            "{flag} lists {} twice; list it once",
            values[place].to_string()
        ))),
        None => Ok(()),
    }
}

/// A margin of nothing is met by nobody, and one of half makes everything equal.
const MARGINS: std::ops::RangeInclusive<f64> = 0.01..=0.5;

fn spec(args: &Args) -> Result<CompareSpec> {
    listed_once("--strategies", &args.strategies)?;
    listed_once("--loads", &args.loads)?;
    listed_once("--clients", &args.clients)?;
    listed_once("--offered", &args.offered)?;
    if !MARGINS.contains(&args.margin.get()) {
        return Err(UsageError(format!(
            "--margin {} makes no sense; write 1% to 50%",
            args.margin
        ))
        .into());
    }
    let targets = targets(args)?;
    let variants = if !args.topologies.is_empty() {
        topologies(args)?
    } else if !args.plans.is_empty() {
        plans(&args.plans)?
    } else if !targets.is_empty() {
        of_targets(&targets)?
    } else {
        strategies(&args.strategies)
    };
    let strategies = variants.iter().filter_map(|variant| variant.subject.strategy());
    let stack = args.stack.spec_for(strategies)?;
    let quick = |quick_ms, full_ms| Span::of_ms(if args.quick { quick_ms } else { full_ms });
    let duration = args.duration.unwrap_or(quick(1_200, 3_000));
    let against = args.against.as_deref().map(|earlier| read_earlier(earlier, &stack, duration));
    let mut spec = CompareSpec {
        experiment: ExperimentSpec {
            stack,
            runs: args.runs.clone(),
            repeat_command: String::new(),
        },
        targets,
        loads: loads(args),
        clients: clients(args, &variants)?,
        variants,
        open: open(args).into_iter().map(|offered| (offered, open_rounds(args, offered))).collect(),
        rounds: args.rounds,
        budget: args.budget.unwrap_or(quick(270_000, 45 * 60_000)),
        margin: args.margin.get(),
        warm_up: args.warm_up.unwrap_or(quick(250, 500)),
        duration,
        seed: args.seed,
        against: against.transpose()?,
    };
    spec.experiment.repeat_command = repeat_command(args, &spec);
    Ok(spec)
}

fn strategies(given: &[StrategyKind]) -> Vec<VariantSpec> {
    let strategies = if given.is_empty() { StrategyKind::SAFE } else { given };
    let variant = |strategy: &StrategyKind| VariantSpec {
        name: strategy.name().to_owned(),
        subject: Subject::Strategy(*strategy),
        plan: PlanArgs::default(),
    };
    strategies.iter().map(variant).collect()
}

/// Topologies as variants: each can be had, no two are the same, and all run one strategy.
fn topologies(args: &Args) -> Result<Vec<VariantSpec>, UsageError> {
    listed_once("--topologies", &args.topologies)?;
    if args.topologies.len() < 2 {
        return Err(UsageError(
            "--topologies: one topology alone is compared with nothing; give two".to_owned(),
        ));
    }
    let strategy = match args.strategies.as_slice() {
        [] => StrategyKind::Conditional,
        [strategy] => *strategy,
        _ => {
            return Err(UsageError(
                "--topologies compares one strategy on each; give one with --strategies".to_owned(),
            ));
        }
    };
    if args.stack.environment != Kind::Native {
        return Err(UsageError(
            "--topologies needs --environment native, where each has servers of its own".to_owned(),
        ));
    }
    let of = |name: &String| Ok(args.stack.spec_on(name, [strategy])?.topology);
    let mut topologies = args.topologies.iter().map(of).collect::<Result<Vec<_>, UsageError>>()?;
    // What is announced costs CPU: all of them announce, or none.
    if topologies.iter().any(|it| it.service.queue.is_none()) {
        topologies = topologies.into_iter().map(Topology::without_its_queue).collect();
    }
    let mut variants: Vec<VariantSpec> = Vec::new();
    for topology in topologies {
        let (name, plan) = (topology.name.clone(), PlanArgs::default());
        if variants.iter().any(|it| it.name == name) {
            return Err(UsageError(format!(
                "--topologies: two are named {name}; change the name in one file"
            )));
        }
        let subject = Subject::Topology(Box::new(topology), strategy);
        variants.push(VariantSpec { name, subject, plan });
    }
    Ok(variants)
}

/// Plans as variants: each can be run, and no two are the same.
fn plans(paths: &[PathBuf]) -> Result<Vec<VariantSpec>, UsageError> {
    if paths.len() < 2 {
        return Err(UsageError(
            "--plan: one plan alone is compared with nothing; give two".to_owned(),
        ));
    }
    let mut variants: Vec<VariantSpec> = Vec::new();
    for path in paths {
        let variant = of_plan(path)?;
        let seedless = |it: &VariantSpec| PlanArgs { seed: None, ..it.plan.clone() };
        if let Some(same) = variants.iter().find(|it| seedless(it) == seedless(&variant)) {
            let (name, same) = (&variant.name, &same.name);
            return Err(UsageError(format!("--plan: {name} and {same} are the same plan")));
        }
        if variants.iter().any(|it| it.name == variant.name) {
            let name = &variant.name;
            return Err(UsageError(format!("--plan: two files are named {name}; rename one")));
        }
        variants.push(variant);
    }
    Ok(variants)
}

/// Target files to compare, which can be read.
fn targets(args: &Args) -> Result<Vec<TargetSpec>> {
    let left = Left::default();
    let target = |file: &PathBuf| {
        let (file, allow, left) = (file.clone(), args.allow.clone(), left.clone());
        TargetSpec { file, allow, left }
    };
    let targets: Vec<TargetSpec> = args.targets.iter().map(target).collect();
    if targets.len() == 1 {
        return Err(UsageError(
            "--targets: one target alone is compared with nothing; give two".to_owned(),
        )
        .into());
    }
    Ok(targets)
}

/// Targets as variants, each of another name.
fn of_targets(targets: &[TargetSpec]) -> Result<Vec<VariantSpec>> {
    let mut variants: Vec<VariantSpec> = Vec::new();
    for target in targets {
        let name = target.read()?.name;
        if variants.iter().any(|it| it.name == name) {
            return Err(UsageError(format!(
                "--targets: two targets are named {name}; change the name in one file"
            ))
            .into());
        }
        let (subject, plan) = (Subject::Target(name.clone()), PlanArgs::default());
        variants.push(VariantSpec { name, subject, plan });
    }
    Ok(variants)
}

fn of_plan(path: &Path) -> Result<VariantSpec, UsageError> {
    let plan = run::read_words(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Plan::try_from(plan.clone())
        .map_err(|error| UsageError(format!("{} cannot be run: {error}", path.display())))?;
    let strategy = plan.strategy.ok_or_else(|| {
        UsageError(format!("{} names no strategy; add strategy = \"conditional\"", path.display()))
    })?;
    Ok(VariantSpec { name, subject: Subject::Strategy(strategy), plan })
}

fn loads(args: &Args) -> Vec<Load> {
    if !args.plans.is_empty() {
        return vec![Load::Plan];
    }
    if !args.loads.is_empty() {
        return args.loads.clone();
    }
    let scenarios: &[ScenarioKind] = match args.quick {
        true => &[ScenarioKind::HotAndCold],
        false => &[ScenarioKind::FlashSale, ScenarioKind::HotAndCold],
    };
    // What a topology changes is how much of the load reaches the database, and not the queue for
    // one row.
    let spare = match args.topologies.is_empty() {
        true => [Load::HotSlot, Load::ManySlots],
        false => [Load::ManySlots, Load::MostlyReads],
    };
    spare.into_iter().chain(scenarios.iter().copied().map(Load::Scenario)).collect()
}

/// Plans bring their own; the setting is named by the largest.
fn clients(args: &Args, variants: &[VariantSpec]) -> Result<Vec<u32>, UsageError> {
    if !args.plans.is_empty() {
        let of = |it: &VariantSpec| Plan::try_from(it.plan.clone()).map(|plan| plan.clients());
        let clients: Result<Vec<u32>, _> = variants.iter().map(of).collect();
        let clients = clients.map_err(|error| UsageError(error.to_string()))?;
        return Ok(clients.into_iter().max().into_iter().collect());
    }
    Ok(match (args.clients.as_slice(), args.quick) {
        ([], true) => vec![128],
        ([], false) => vec![50, 200, 600],
        (given, _) => given.to_vec(),
    })
}

fn open(args: &Args) -> Vec<Offered> {
    match (args.offered.as_slice(), args.quick) {
        ([], true) => vec![Offered::OfSlowest],
        ([], false) => vec![Offered::OfSlowest, Offered::OfBest, Offered::Overload],
        (given, _) => given.iter().copied().filter(|it| it.share().is_some()).collect(),
    }
}

/// How often an open load is offered at least. Only what is contrasted needs rounds, the others are
/// shown; with --quick the budget adds them.
fn open_rounds(args: &Args, offered: Offered) -> u32 {
    match offered {
        Offered::OfSlowest if !args.quick => args.rounds,
        _ => 1,
    }
}

fn repeat_command(args: &Args, spec: &CompareSpec) -> String {
    fn list<T: ToString>(values: &[T]) -> String {
        values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
    let mut command = "slotproof compare".to_owned();
    if args.plans.is_empty() {
        let of = match () {
            () if !args.targets.is_empty() => {
                let files: Vec<_> =
                    args.targets.iter().map(|it| it.display().to_string()).collect();
                format!("--targets {}", list(&files))
            }
            () if !args.topologies.is_empty() => {
                let strategy = spec.variants.iter().find_map(|it| it.subject.strategy());
                let strategy = strategy.unwrap_or(StrategyKind::Conditional);
                format!("--topologies {} --strategies {strategy}", list(&args.topologies))
            }
            () => {
                let names: Vec<_> = spec.variants.iter().map(|it| it.name.clone()).collect();
                format!("--strategies {}", list(&names))
            }
        };
        let offered = match open(args) {
            none if none.is_empty() => vec![Offered::Saturating],
            open => open,
        };
        command.push_str(&format!(
            " {of} --loads {} --clients {} --offered {} --warm-up {} --duration {}",
            list(&spec.loads),
            list(&spec.clients),
            list(&offered),
            spec.warm_up,
            spec.duration,
        ));
    }
    for plan in &args.plans {
        command.push_str(&format!(" --plan {}", plan.display()));
    }
    if let Some(against) = &args.against {
        command.push_str(&format!(" --against {}", against.display()));
    }
    let stack = match args.targets.as_slice() {
        [] => format!(" {}", repeat(&spec.experiment.stack)),
        _ => String::new(),
    };
    format!(
        "{command} --rounds {} --budget {} --margin {} --seed {}{stack}",
        spec.rounds, spec.budget, args.margin, spec.seed,
    )
}
