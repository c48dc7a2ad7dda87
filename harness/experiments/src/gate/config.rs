//! The gate's configuration: `ci/gate.toml`. Read whole before anything is begun; whatever is wrong
//! is said with its line and what to write instead.

use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use slotproof_reports::gate::Undecided;
use slotproof_vocabulary::{
    Invariant, Plan, PlanArgs, Rate, Share, Span, StrategyKind, UsageError,
};
use toml::Spanned;

use crate::{input::line_of, target_run::Left, target_series::TargetSpec};

/// Contested grants of a check, unless its plan says otherwise: `unprotected` overbooks in one of
/// a few.
const CONTESTED_MIN: u32 = 30;

/// Not more than a quarter of the seats, all of which are granted once at least. Nothing is asked of
/// the API of a target file, which may be loaded so gently that no two calls overlap.
fn contested_min(strategy: Option<StrategyKind>, plan: &PlanArgs) -> Option<u32> {
    strategy?;
    let seats = plan.slots.unwrap_or(1).saturating_mul(plan.capacity.unwrap_or(u32::MAX));
    Some(CONTESTED_MIN.min(seats / 4))
}

/// What a merge is held against.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// The booking API that is checked, instead of the reference service.
    pub target: Option<TargetSpec>,
    /// Time after which no further check begins.
    pub budget: Span,
    /// What is checked.
    pub checks: Vec<CheckConfig>,
    /// What is measured against a baseline.
    pub performance: Option<PerformanceConfig>,
}

/// One scenario with one strategy.
#[derive(Debug, Clone)]
pub struct CheckConfig {
    /// Its name in reports.
    pub name: String,
    /// The load.
    pub plan: Plan,
    /// The strategy; `None` of a target.
    pub strategy: Option<StrategyKind>,
    /// Absent: all that a run is judged by.
    pub require: Option<Vec<Invariant>>,
    /// What figures have to keep.
    pub objectives: Objectives,
}

/// What is wanted beside correctness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Response latency that 99 % of reserves stay below.
    pub p99: Option<Span>,
    /// The share of operations that may get no decision; absent: that of the plan.
    pub errors: Option<Share>,
    /// Confirmed bookings per second at least.
    pub goodput: Option<Rate>,
}

/// What is measured against a base.
#[derive(Debug, Clone)]
pub struct PerformanceConfig {
    /// The load.
    pub plan: Plan,
    /// Rounds of each side.
    pub rounds: u32,
    /// Ratios from 1 / (1 + tolerance) to 1 + tolerance are no difference that matters.
    pub tolerance: f64,
    /// What it means for the gate that a measure is undecided.
    pub undecided: Undecided,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    #[serde(default = "budget")]
    budget: Span,
    target: Option<TargetWords>,
    #[serde(default)]
    check: Vec<Spanned<CheckWords>>,
    performance: Option<Spanned<PerformanceWords>>,
}

/// The booking API of a team.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetWords {
    /// Its target file, beside the gate's.
    file: PathBuf,
    /// Hosts beside this machine that may be loaded; the target file must allow them too.
    #[serde(default)]
    allow: Vec<String>,
}

fn budget() -> Span {
    Span::of_ms(60_000)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckWords {
    name: String,
    #[serde(default)]
    strategies: Vec<StrategyKind>,
    require: Option<Vec<Invariant>>,
    #[serde(default)]
    plan: PlanArgs,
    #[serde(default)]
    objectives: Objectives,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PerformanceWords {
    strategy: StrategyKind,
    #[serde(default = "rounds")]
    rounds: u32,
    tolerance: f64,
    #[serde(default)]
    undecided: Undecided,
    #[serde(default)]
    plan: PlanArgs,
}

fn rounds() -> u32 {
    5
}

impl GateConfig {
    /// Reads a configuration; every check is made once for each of `instead`, if there are any, and
    /// not for its own strategies.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn read(
        path: &Path,
        instead: &[StrategyKind],
        target: Option<TargetSpec>,
    ) -> Result<Self, UsageError> {
        let text = fs::read_to_string(path).map_err(|error| {
            UsageError(format!(
                "failed to read {}: {error}; --config names the gate's file",
                path.display()
            ))
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder, instead, target)
            .map_err(|reason| UsageError(format!("{} is not a gate: {reason}", path.display())))
    }

    fn parse(
        text: &str,
        folder: &Path,
        instead: &[StrategyKind],
        target: Option<TargetSpec>,
    ) -> Result<Self, String> {
        let words: Words = toml::from_str(text).map_err(|error| error.to_string())?;
        let of_file = words.target.map(|TargetWords { file, allow }| TargetSpec {
            file: folder.join(file),
            allow,
            left: Left::default(),
        });
        let target = target.or(of_file);
        if target.is_some() && !instead.is_empty() {
            return Err("--strategy names a strategy of the reference service, and this gate checks a target; \
                        leave out --strategy".to_owned());
        }
        if target.is_some() && words.performance.is_some() {
            return Err(
                "[performance] compares builds of the reference service; a target has none"
                    .to_owned(),
            );
        }
        if words.check.is_empty() {
            return Err(
                "it has no [[check]], and would pass whatever is merged; add one".to_owned()
            );
        }
        let mut checks: Vec<CheckConfig> = Vec::new();
        for spanned in words.check {
            let place = place(text, &spanned.span());
            let made = check(spanned.into_inner(), instead, target.is_some())
                .map_err(|reason| format!("{place}: {reason}"))?;
            if let Some(twin) =
                made.iter().find(|new| checks.iter().any(|old| old.name == new.name))
            {
                return Err(format!(
                    "{place}: there is another check named {:?}; name it otherwise",
                    twin.name
                ));
            }
            checks.extend(made);
        }
        let performance = words.performance.map(|spanned| {
            let place = place(text, &spanned.span());
            performance(spanned.into_inner()).map_err(|reason| format!("{place}: {reason}"))
        });
        Ok(Self { target, budget: words.budget, checks, performance: performance.transpose()? })
    }
}

fn place(text: &str, span: &Range<usize>) -> String {
    format!("line {}", line_of(text, span.start))
}

fn check(
    words: CheckWords,
    instead: &[StrategyKind],
    on_target: bool,
) -> Result<Vec<CheckConfig>, String> {
    let CheckWords { name, strategies, require, plan, objectives } = words;
    let named = |reason: &str| format!("check {name:?}: {reason}");
    let strategies: Vec<Option<StrategyKind>> = match (on_target, instead) {
        (true, _) if !strategies.is_empty() => {
            return Err(named("it has strategies of the reference service, and the gate a target"));
        }
        (true, _) => vec![None],
        (false, []) => strategies.into_iter().map(Some).collect(),
        (false, instead) => instead.iter().copied().map(Some).collect(),
    };
    if strategies.is_empty() {
        return Err(named("it has no strategies; name one at least"));
    }
    if plan.strategy.is_some() {
        return Err(named("its plan names a strategy; that is what `strategies` is for"));
    }
    possible(objectives).map_err(|reason| named(&reason))?;
    let require = match require {
        Some(listed) if listed.is_empty() => {
            return Err(named(
                "`require` is empty, and it would pass whatever happens; leave it out to require all",
            ));
        }
        // Without I15 a load in which nothing was at stake would pass.
        Some(listed) => Some(
            listed
                .into_iter()
                .chain([Invariant::RunCoverage])
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        ),
        None => None,
    };
    let made = strategies.iter().map(|strategy| {
        let words = PlanArgs {
            strategy: *strategy,
            errors_max: objectives.errors.or(plan.errors_max),
            contested_min: plan.contested_min.or_else(|| contested_min(*strategy, &plan)),
            ..plan.clone()
        };
        let plan = Plan::try_from(words)
            .map_err(|error| named(&format!("its plan cannot be run: {error}")))?;
        Ok(CheckConfig {
            name: name.clone(),
            plan,
            strategy: *strategy,
            require: require.clone(),
            objectives,
        })
    });
    made.collect()
}

fn possible(objectives: Objectives) -> Result<(), String> {
    let Objectives { p99, goodput, errors: _ } = objectives;
    if p99.is_some_and(|limit| limit.ms() == 0) {
        return Err(
            "p99 = \"0s\" cannot be met by anybody; write a duration such as 500ms".to_owned()
        );
    }
    if goodput.is_some_and(|rate| rate.per_s() <= 0.0) {
        return Err("goodput must be more than nothing, such as 50/s".to_owned());
    }
    Ok(())
}

fn performance(words: PerformanceWords) -> Result<PerformanceConfig, String> {
    let PerformanceWords { strategy, rounds, tolerance, undecided, plan } = words;
    if !(0.0..1.0).contains(&tolerance) {
        return Err("tolerance is a share from 0 to 1; ten percent is 0.1".to_owned());
    }
    if !(3..=100).contains(&rounds) {
        return Err("rounds must be 3 to 100: fewer have no interval".to_owned());
    }
    let words = PlanArgs { strategy: Some(strategy), ..plan };
    let plan = Plan::try_from(words).map_err(|error| format!("its plan cannot be run: {error}"))?;
    Ok(PerformanceConfig { plan, rounds, tolerance, undecided })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, instead: &[StrategyKind]) -> Result<GateConfig, String> {
        GateConfig::parse(text, Path::new("ci"), instead, None)
    }

    const CHECK: &str = "[[check]]\nname = \"a\"\nstrategies = [\"conditional\"]\n";

    #[test]
    fn the_gate_of_this_repository_is_one() {
        let text = include_str!("../../../../ci/gate.toml");
        let config = parse(text, &[]).expect("it is a gate");
        assert!(!config.checks.is_empty() && config.performance.is_some());
        let instead = parse(text, &[StrategyKind::Unprotected]).expect("it is a gate");
        assert!(
            instead.checks.iter().all(|check| check.strategy == Some(StrategyKind::Unprotected))
        );
    }

    #[test]
    fn whether_anything_was_at_stake_is_always_required() {
        let config = parse(&format!("{CHECK}require = [\"I1\"]\n"), &[]).expect("a gate");
        assert_eq!(
            config.checks[0].require,
            Some(vec![Invariant::NoOverbookingObserved, Invariant::RunCoverage])
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_to_write() {
        let cases = [
            (String::new(), "no [[check]]"),
            (format!("{CHECK}objectives = {{ p99 = \"0s\" }}\n"), "500ms"),
            (format!("\n\n{CHECK}objectives = {{ errors = 2.0 }}\n"), "\"2\" is not a share"),
            (format!("{CHECK}objectives = {{ p99 = \"5 parsecs\" }}\n"), "line 4"),
            (format!("{CHECK}speed = 3\n"), "unknown field `speed`"),
            (format!("{CHECK}require = []\n"), "leave it out"),
            (format!("{CHECK}plan = {{ clients = 0 }}\n"), "cannot be run"),
            (format!("{CHECK}{CHECK}"), "another check named"),
            (
                format!("{CHECK}[performance]\nstrategy = \"queue\"\ntolerance = 3.0\n"),
                "line 4: tolerance",
            ),
            (
                format!(
                    "{CHECK}[performance]\nstrategy = \"queue\"\ntolerance = 0.1\nundecided = \"no\"\n"
                ),
                "expected `passes` or `fails`",
            ),
        ];
        for (text, said) in cases {
            let error = parse(&text, &[]).expect_err(&text);
            assert!(error.contains(said), "{error}\ndoes not say {said:?}");
        }
    }
}
