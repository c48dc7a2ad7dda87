//! The machine: what was measured of it, and what a measurement on it says of another one.

use slotproof_reports::{
    capacity::{Machine, Probe},
    estimate::{Estimate, median},
    quantity,
};
use slotproof_stack::{durable_commit, single_core_per_s};

use super::{
    claims::ClaimedMachine,
    search::{BUSY_CPUS, BUSY_FLUSHING, cpu_share},
};

/// Calibrations of durable commits, before and again after the loads: each takes half a second.
const COMMIT_ROUNDS: usize = 3;
/// A stated figure is this machine's if it lies in the measured range, or misses it by this share.
const AGREES_WITHIN: f64 = 0.1;

/// Calibrations before and after the loads.
#[derive(Debug, Default)]
pub(super) struct Calibration {
    /// CPUs that the harness may use.
    pub(super) cpus: u32,
    commits_per_s: Vec<f64>,
    single_core_per_s: Vec<f64>,
}

impl Calibration {
    pub(super) fn new() -> Self {
        let cpus = std::thread::available_parallelism()
            .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX));
        Self { cpus, ..Self::default() }
    }

    /// Calibrates once more: durable commits only where there is a database of ours.
    pub(super) async fn measure(&mut self, postgres_url: Option<&str>) {
        for _ in 0..COMMIT_ROUNDS {
            let Some(url) = postgres_url else { break };
            let commit = durable_commit(url).await;
            self.commits_per_s.extend(commit.map(|it| 1e6 / it.us_p50.max(1) as f64));
        }
        let rounds = tokio::task::spawn_blocking(single_core_per_s).await;
        self.single_core_per_s.extend(rounds.expect("the calibration does not panic"));
    }

    /// What is known so far.
    pub(super) fn machine(&self) -> Machine {
        let system = rustix::system::sysinfo();
        Machine {
            cpus: self.cpus,
            memory_bytes: system.totalram as u64 * u64::from(system.mem_unit),
            durable_commits_per_s: range(&self.commits_per_s),
            single_core_per_s: range(&self.single_core_per_s).expect("it was measured at first"),
        }
    }
}

/// The median and the range.
fn range(values: &[f64]) -> Option<Estimate> {
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    Some(Estimate { median: median(values.iter().copied()), low, high })
}

/// What a measurement here says of the machine that a claim names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Carried {
    /// The claim names no machine, or this one.
    Here,
    /// A rate of here times a factor from `low` to `high` is a rate of there.
    Scaled {
        /// Where the factor begins.
        low: f64,
        /// Where it ends.
        high: f64,
        /// How it was made.
        working: Vec<String>,
    },
    /// Nothing; says why, and what the claim would have to say.
    Nothing(String),
}

/// Something that a machine has so much of.
struct Resource {
    name: &'static str,
    /// The share of it that was busy where the objective was missed.
    busy: f64,
    /// From this share on it is what limits.
    limits_from: f64,
    /// How many times as much of it the claimed machine has.
    ratio: Option<(f64, f64)>,
    /// The keys that would say so.
    keys: &'static str,
}

/// Carries a bracket over. `failing` is the load that shows what limits here, `used_bytes` the
/// memory that servers, service and client took.
pub(super) fn carry(
    claimed: &ClaimedMachine,
    here: &Machine,
    failing: Option<&Probe>,
    used_bytes: u64,
) -> Carried {
    if agrees(claimed, here) {
        return Carried::Here;
    }
    if let Some(memory) = claimed.memory.filter(|memory| memory.0 < used_bytes as f64) {
        return Carried::Nothing(format!(
            "the claimed machine has {} of memory, and {} were used here: what happens with less was not measured",
            quantity::bytes(memory.0 as u64),
            quantity::bytes(used_bytes)
        ));
    }
    let Some(failing) = failing else {
        return Carried::Nothing(
            "no rate failed here, so what would limit another machine is not known".to_owned(),
        );
    };
    let resources = resources(claimed, here, failing);
    let (mut low, mut high) = (f64::INFINITY, f64::INFINITY);
    let mut working = Vec::new();
    for resource in &resources {
        let limits = resource.busy >= resource.limits_from;
        match resource.ratio {
            Some((ratio_low, ratio_high)) => {
                let room = if limits { 1.0 } else { resource.busy.max(f64::MIN_POSITIVE) };
                low = low.min(ratio_low / room);
                high = high.min(ratio_high / room);
                working.push(format!(
                    "{}: {:.0} % busy here; the claimed machine has {ratio_low:.2} to {ratio_high:.2} times as much",
                    resource.name,
                    resource.busy * 100.0
                ));
            }
            None if limits => {
                return Carried::Nothing(format!(
                    "{} were the limit here ({:.0} % busy), and the claim does not say how much of them its machine has: add {}",
                    resource.name,
                    resource.busy * 100.0,
                    resource.keys
                ));
            }
            None => working.push(format!(
                "{}: {:.0} % busy here; it is assumed that the claimed machine has as much",
                resource.name,
                resource.busy * 100.0
            )),
        }
    }
    if !resources.iter().any(|resource| resource.busy >= resource.limits_from) {
        return Carried::Nothing(
            "neither CPUs nor durable writes were busy when the objective was missed here, and what \
             limits instead (locks, for example) scales with neither calibration"
                .to_owned(),
        );
    }
    working.push(format!(
        "a rate of this machine is {low:.2} to {high:.2} times as much on the claimed one"
    ));
    Carried::Scaled { low, high, working }
}

fn resources(claimed: &ClaimedMachine, here: &Machine, failing: &Probe) -> [Resource; 2] {
    let calibration = claimed.calibration.unwrap_or_default();
    let over = |claimed: f64, here: Estimate| (claimed / here.high, claimed / here.low);
    let cpus = claimed.cores.zip(calibration.single_core_per_s).map(|(cores, speed)| {
        let (slow, fast) = over(speed, here.single_core_per_s);
        let cores = f64::from(cores) / f64::from(here.cpus);
        (slow * cores.min(1.0), fast * cores.max(1.0))
    });
    let commits = calibration.durable_commits_per_s.zip(here.durable_commits_per_s);
    [
        Resource {
            name: "CPUs",
            busy: cpu_share(failing, here.cpus),
            limits_from: BUSY_CPUS,
            ratio: cpus,
            keys: "`cores` and `calibration.single_core_per_s`",
        },
        Resource {
            name: "durable writes",
            busy: failing.flushing.unwrap_or(0.0),
            limits_from: BUSY_FLUSHING,
            ratio: commits.map(|(claimed, here)| over(claimed, here)),
            keys: "`calibration.durable_commits_per_s`",
        },
    ]
}

/// Whether everything that the claim says of its machine is so of this one.
pub(super) fn agrees(claimed: &ClaimedMachine, here: &Machine) -> bool {
    let calibration = claimed.calibration.unwrap_or_default();
    let near = |claimed: Option<f64>, low: f64, high: f64| {
        claimed.is_none_or(|it| {
            it >= low * (1.0 - AGREES_WITHIN) && it <= high * (1.0 + AGREES_WITHIN)
        })
    };
    let memory = here.memory_bytes as f64;
    let commits = here.durable_commits_per_s;
    claimed.cores.is_none_or(|cores| cores == here.cpus)
        && near(claimed.memory.map(|it| it.0), memory, memory)
        && near(
            calibration.single_core_per_s,
            here.single_core_per_s.low,
            here.single_core_per_s.high,
        )
        && match commits {
            Some(commits) => near(calibration.durable_commits_per_s, commits.low, commits.high),
            None => calibration.durable_commits_per_s.is_none(),
        }
}

/// Whether the claimed machine has at least, or at most, as much of everything as this one; only
/// where the claim says all of it.
pub(super) fn compared(claimed: &ClaimedMachine, here: &Machine) -> Option<AllOfIt> {
    let calibration = claimed.calibration?;
    let commits = here.durable_commits_per_s?;
    let pairs = [
        (f64::from(claimed.cores?), Estimate::exactly(here.cpus.into())),
        (calibration.single_core_per_s?, here.single_core_per_s),
        (calibration.durable_commits_per_s?, commits),
        (
            claimed.memory.map_or(here.memory_bytes as f64, |it| it.0),
            Estimate::exactly(here.memory_bytes as f64),
        ),
    ];
    if pairs.iter().all(|(claimed, here)| *claimed >= here.high) {
        return Some(AllOfIt::AtLeast);
    }
    pairs.iter().all(|(claimed, here)| *claimed <= here.low).then_some(AllOfIt::AtMost)
}

/// How much the claimed machine has of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AllOfIt {
    /// As much as this one, or more.
    AtLeast,
    /// As much as this one, or less.
    AtMost,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{
            claims::{Bytes, ClaimedCalibration},
            probe::tests::probe,
        },
        *,
    };

    fn here() -> Machine {
        Machine {
            cpus: 2,
            memory_bytes: 16_000_000_000,
            durable_commits_per_s: Some(Estimate { median: 1_000.0, low: 900.0, high: 1_100.0 }),
            single_core_per_s: Estimate { median: 300e6, low: 290e6, high: 310e6 },
        }
    }

    fn claimed(cores: u32, single_core: f64, commits: f64) -> ClaimedMachine {
        let calibration = ClaimedCalibration {
            durable_commits_per_s: Some(commits),
            single_core_per_s: Some(single_core),
        };
        ClaimedMachine { cores: Some(cores), memory: None, calibration: Some(calibration) }
    }

    fn busy(cpus: f64, flushing: f64) -> Probe {
        Probe {
            cpus_busy: BTreeMap::from([("service".to_owned(), cpus)]),
            flushing: Some(flushing),
            ..probe(100.0)
        }
    }

    #[test]
    fn a_claim_about_this_machine_is_judged_here() {
        let failing = busy(1.9, 0.1);
        let of = |claimed: &ClaimedMachine| carry(claimed, &here(), Some(&failing), 1);
        assert_eq!(of(&ClaimedMachine::default()), Carried::Here);
        assert_eq!(of(&claimed(2, 300e6, 1_000.0)), Carried::Here);
        assert_eq!(of(&claimed(2, 330e6, 850.0)), Carried::Here, "within the range and a tenth");
        assert_ne!(of(&claimed(4, 300e6, 1_000.0)), Carried::Here);
    }

    #[test]
    fn a_rate_scales_with_what_was_busy_and_keeps_the_error() {
        let scaled =
            |claimed: &ClaimedMachine, probe: &Probe| match carry(claimed, &here(), Some(probe), 1)
            {
                Carried::Scaled { low, high, .. } => (low, high),
                other => panic!("{other:?}"),
            };
        // Twice the cores, each twice as fast: the cores count between once and twice.
        let (low, high) = scaled(&claimed(4, 600e6, 1e6), &busy(1.9, 0.1));
        assert!((low - 600.0 / 310.0).abs() < 1e-9 && (high - 2.0 * 600.0 / 290.0).abs() < 1e-9);
        // Writes limit: CPUs that are half idle leave room for twice as much.
        let (low, high) = scaled(&claimed(2, 300e6, 5_000.0), &busy(1.0, 0.9));
        assert!((high - 2.0 * 300.0 / 290.0).abs() < 1e-9, "the CPUs are busy before: {high}");
        assert!((low - 2.0 * 300.0 / 310.0).abs() < 1e-9, "{low}");
        // A far slower disk limits though CPUs were the limit here.
        let (_, high) = scaled(&claimed(8, 600e6, 10.0), &busy(1.9, 0.1));
        assert!((high - 10.0 / 900.0 / 0.1).abs() < 1e-9, "{high}");
    }

    #[test]
    fn what_the_claim_or_the_run_does_not_say_is_not_carried_over() {
        let cores_alone = ClaimedMachine { cores: Some(8), ..ClaimedMachine::default() };
        let said = |claimed: &ClaimedMachine, probe: Option<&Probe>, used| match carry(
            claimed,
            &here(),
            probe,
            used,
        ) {
            Carried::Nothing(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert!(said(&cores_alone, Some(&busy(1.9, 0.1)), 1).contains("single_core_per_s"));
        assert!(said(&cores_alone, None, 1).contains("no rate failed"));
        let idle = busy(0.5, 0.1);
        assert!(said(&claimed(8, 300e6, 1e3), Some(&idle), 1).contains("neither CPUs"));
        let small = ClaimedMachine { memory: Some(Bytes(1e9)), ..claimed(8, 300e6, 1e3) };
        assert!(said(&small, Some(&busy(1.9, 0.1)), 2_000_000_000).contains("of memory"));
    }

    #[test]
    fn a_machine_is_at_least_this_one_only_if_it_is_so_in_everything() {
        assert_eq!(compared(&claimed(4, 320e6, 1_200.0), &here()), Some(AllOfIt::AtLeast));
        assert_eq!(compared(&claimed(1, 200e6, 100.0), &here()), Some(AllOfIt::AtMost));
        assert_eq!(compared(&claimed(4, 200e6, 1_200.0), &here()), None);
        let silent = ClaimedMachine { cores: Some(64), ..ClaimedMachine::default() };
        assert_eq!(compared(&silent, &here()), None);
    }
}
