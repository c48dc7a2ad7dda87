//! `slotproof doctor`: what is installed, what is missing, and how to get it.

use std::process::{Command, Stdio};

use anyhow::Result;
use slotproof_stack::Topology;

use super::init_tracing;
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof doctor
      exit 0 if `slotproof run` can work here with native servers, 69 if not";

/// Arguments of `slotproof doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn exec(_: Args) -> Result<Code> {
    init_tracing();
    let mut missing = false;
    out!("native environment");
    let default = Topology::single();
    for (kind, found) in slotproof_stack::programs() {
        match found {
            Ok(program) => out!("  ok       {} {}", program.path.display(), program.version),
            Err(error) if default.components.iter().any(|component| component.kind == kind) => {
                missing = true;
                out!("  missing  {error}");
            }
            Err(error) => {
                out!("  absent   {error}; only topologies with a {} need it", kind.name());
            }
        }
    }
    out!("containers environment");
    match docker_version() {
        Some(version) => out!("  ok       Docker engine {version}"),
        None => out!(
            "  missing  a Docker engine that answers `docker info`; needed for --environment containers only"
        ),
    }
    for (image, there) in slotproof_stack::images() {
        let note = if there { "ok       " } else { "absent   " };
        let remedy =
            if there { "" } else { " (pulled when needed; without a registry: ci/images/build)" };
        out!("  {note}{image}{remedy}");
    }
    out!("machine");
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let clients = files.maximum.map_or(10_000, |hard| hard.saturating_sub(200).min(10_000));
    out!(
        "  {} CPUs, {} clients at most by open files",
        std::thread::available_parallelism().map_or(1, usize::from),
        clients
    );
    Ok(if missing { exit_code::UNAVAILABLE } else { exit_code::UPHELD })
}

fn docker_version() -> Option<String> {
    let mut docker = Command::new("docker");
    let output = docker
        .args(["info", "--format", "{{.ServerVersion}}"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !version.is_empty()).then_some(version)
}
