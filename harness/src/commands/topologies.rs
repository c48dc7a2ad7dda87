//! `slotproof topologies`: the built-in topologies.

use anyhow::Result;
use serde_json::json;
use slotproof_stack::Topology;

use super::init_tracing;
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof topologies
      lists the built-in topologies; run, up, compare, capacity, gate and selftest take --topology NAME

  slotproof topologies --json
      the same as JSON";

/// Arguments of `slotproof topologies`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn exec(args: &Args) -> Result<Code> {
    init_tracing();
    let topologies: Vec<_> = Topology::built_in().collect();
    if args.json {
        let listed: Vec<_> = topologies.iter().map(as_json).collect();
        out!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(exit_code::UPHELD);
    }
    let (controls, sound): (Vec<_>, Vec<_>) =
        topologies.iter().partition(|topology| topology.is_negative_control());
    for topology in sound {
        out!("{:<16} {}", topology.name, topology.summary);
        for component in &topology.components {
            let of = component.of.as_ref().map(|of| format!(" of {of}")).unwrap_or_default();
            let pool = component.pool.map(|pool| format!(", {pool}")).unwrap_or_default();
            out!("{:<16}   {:<12} {}{of}{pool}", "", component.name, component.kind.name());
        }
    }
    out!("\nnegative controls, broken on purpose:");
    for topology in controls {
        let summary = topology.summary.trim_start_matches("negative control: ");
        let twin = topology.right_twin().map(|it| format!(" (of {})", it.name)).unwrap_or_default();
        out!("  {:<30} {summary}{twin}", topology.name);
    }
    Ok(exit_code::UPHELD)
}

fn as_json(topology: &Topology) -> serde_json::Value {
    let components = topology.components.iter();
    let components: Vec<_> = components
        .map(|it| json!({"name": it.name, "kind": it.kind.name(), "of": it.of}))
        .collect();
    json!({
        "name": topology.name,
        "summary": topology.summary,
        "components": components,
        "stale_ms": topology.block().stale_ms,
        "negative_control": topology.is_negative_control(),
    })
}
