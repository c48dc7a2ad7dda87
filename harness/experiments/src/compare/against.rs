//! A comparison beside an earlier one.

use std::{fs, path::Path};

use slotproof_reports::comparison::{Against, Aspect, Cell, Comparison};
use slotproof_vocabulary::{EnvironmentBlock, Span, UsageError};

use slotproof_stack::{StackSpec, Topology};

use crate::{machine::Machine, statistics::ratio_of_medians};

/// Reads the earlier comparison of a directory, to be set beside one on this stack.
///
/// # Errors
/// There is none, one of another version, or one of another machine: what differs would be the
/// machine.
pub fn read(directory: &Path, stack: &StackSpec, duration: Span) -> Result<Comparison, UsageError> {
    let path = directory.join("comparison.json");
    let not = |why: String| {
        UsageError(format!(
            "--against {}: {why}; give the directory that an earlier `slotproof compare` made",
            directory.display()
        ))
    };
    let text = fs::read(&path).map_err(|error| not(format!("no comparison.json: {error}")))?;
    let version = serde_json::from_slice::<serde_json::Value>(&text)
        .map_err(|error| not(format!("comparison.json is not JSON: {error}")))?
        .get("schema_version")
        .and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(Comparison::SCHEMA_VERSION)) {
        return Err(not(format!(
            "its comparison.json has schema version {}, and this slotproof reads {}",
            version.map_or("none".to_owned(), |version| version.to_string()),
            Comparison::SCHEMA_VERSION
        )));
    }
    let earlier: Comparison =
        serde_json::from_slice(&text).map_err(|error| not(format!("comparison.json: {error}")))?;
    comparable(&earlier.header.context.environment, stack).map_err(not)?;
    if earlier.duration_ms != duration.ms() {
        let then = Span::of_ms(earlier.duration_ms);
        return Err(not(format!("its loads lasted {then}, and here they last {duration}")));
    }
    Ok(earlier)
}

/// What differs between the machine of an earlier comparison and this one.
fn comparable(then: &EnvironmentBlock, stack: &StackSpec) -> Result<(), String> {
    let memory = |bytes: u64| format!("{:.1} GiB of memory", bytes as f64 / f64::from(1 << 30));
    let cpus = |cpus: u32| format!("{cpus} CPUs");
    let replicas = |replicas: u32| format!("{replicas} service processes");
    let topology = |name: &str| format!("the topology {name}");
    // Before topologies had names there was one.
    let single = Topology::single().name;
    let theirs = then.topology.as_ref().map_or(&single, |it| &it.name);
    let here = Machine::here();
    let differing = [
        (cpus(then.cpus), cpus(here.cpus)),
        (memory(then.memory_bytes), memory(here.memory_bytes)),
        (replicas(then.replicas), replicas(stack.replicas)),
        (topology(theirs), topology(&stack.topology.name)),
    ];
    match differing.into_iter().find(|(then, here)| then != here) {
        Some((then, here)) => Err(format!("it was made with {then}, and here are {here}")),
        None => Ok(()),
    }
}

/// Whether as much was offered, but for a difference that does not matter.
fn as_much(then: Option<f64>, now: Option<f64>, margin: f64) -> bool {
    match (then, now) {
        (None, None) => true,
        (Some(then), Some(now)) => now <= then * (1.0 + margin) && then <= now * (1.0 + margin),
        _ => false,
    }
}

/// Every cell that both have, in every aspect.
pub(super) fn against(then: &Comparison, now: &Comparison) -> Vec<Against> {
    let mut all = Vec::new();
    for cell in &now.cells {
        let same = |other: &&Cell| {
            (other.setting(), other.offered) == (cell.setting(), cell.offered)
                && other.variant == cell.variant
                && as_much(other.offered_per_s, cell.offered_per_s, now.margin)
        };
        let Some(earlier) = then.cells.iter().find(same) else { continue };
        for aspect in Aspect::ALL.iter().filter(|aspect| aspect.offered() == cell.offered) {
            let metric = aspect.metric();
            let ratio = ratio_of_medians(&cell.of_rounds(metric), &earlier.of_rounds(metric));
            all.extend(ratio.map(|ratio| Against {
                comparison: then.header.name.clone(),
                load: cell.load,
                clients: cell.clients,
                variant: cell.variant.clone(),
                metric,
                ratio,
            }));
        }
    }
    all
}
