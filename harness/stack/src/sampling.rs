//! CPU and memory of groups of processes, from `/proc`, once a second while the load runs.
//!
//! A group is a process and everything that descends from it. What a child used is counted to its
//! parent once the parent has waited for it, so a group's time never falls when a child ends.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::proc::{MS_PER_TICK, Stat, memory_bytes, processes};

const EVERY: Duration = Duration::from_secs(1);

/// A line of `samples.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// On the history's clock.
    pub at_ns: u64,
    /// The group of processes.
    pub group: String,
    /// CPU time that it has used since it began.
    pub cpu_ms: u64,
    /// Proportional set size, where the kernel tells it; else resident.
    pub memory_bytes: u64,
}

/// A running sampler.
pub struct Sampler {
    task: JoinHandle<()>,
    samples: std::sync::Arc<std::sync::Mutex<Vec<Sample>>>,
}

impl Sampler {
    /// Samples groups, each given by its roots, until it is stopped.
    pub fn start(groups: Vec<(String, Vec<i32>)>) -> Self {
        let samples = std::sync::Arc::default();
        let task = tokio::spawn({
            let samples = std::sync::Arc::clone(&samples);
            async move {
                let mut ticks = tokio::time::interval(EVERY);
                loop {
                    ticks.tick().await;
                    keep(&samples, &groups);
                }
            }
        });
        Self { task, samples }
    }

    /// Ends it and answers with every sample.
    pub fn stop(self) -> Vec<Sample> {
        self.task.abort();
        std::mem::take(&mut self.samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn keep(samples: &std::sync::Mutex<Vec<Sample>>, groups: &[(String, Vec<i32>)]) {
    let at_ns = slotproof_scenarios::clock::now_ns();
    let processes = processes();
    let sampled = groups.iter().map(|(group, roots)| {
        let mut sample = Sample { at_ns, group: group.clone(), cpu_ms: 0, memory_bytes: 0 };
        for root in roots {
            add(&processes, *root, &mut sample);
        }
        sample
    });
    samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(sampled);
}

fn add(processes: &BTreeMap<i32, Stat>, pid: i32, sample: &mut Sample) {
    let Some(stat) = processes.get(&pid) else { return };
    sample.cpu_ms += stat.cpu_ticks * MS_PER_TICK;
    sample.memory_bytes +=
        memory_bytes(pid).unwrap_or(stat.rss_pages * rustix::param::page_size() as u64);
    for (child, _) in processes.iter().filter(|(_, stat)| stat.parent == pid) {
        add(processes, *child, sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let mut sample =
            Sample { at_ns: 0, group: "harness".to_owned(), cpu_ms: 0, memory_bytes: 0 };
        add(&processes(), std::process::id().cast_signed(), &mut sample);
        assert!(sample.memory_bytes > 0);
    }
}
