//! CPU and memory of groups of processes, from `/proc`, once a second while the load runs.
//!
//! A group is some processes and everything that descends from them. What a child used is counted
//! to its parent once the parent has waited for it. What a process had used when it was last seen
//! stays counted after it was killed, and the process that replaces it is counted from then on: a
//! group's time never falls.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::{
    proc::{MS_PER_TICK, Stat, memory_bytes, processes},
    process::Leader,
};

const EVERY: Duration = Duration::from_secs(1);

/// A line of `samples.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// On the history's clock.
    pub at_ns: u64,
    /// The group of processes.
    pub group: String,
    /// CPU time that it has used since it began, by all processes that it has had.
    pub cpu_ms: u64,
    /// Proportional set size, where the kernel tells it; else resident.
    pub memory_bytes: u64,
}

/// Processes whose CPU and memory are added up.
#[derive(Debug)]
pub struct Group {
    name: String,
    roots: Vec<Leader>,
    /// CPU time of each root and its descendants when it was last seen, by pid.
    used_ms: BTreeMap<i32, u64>,
}

/// A running sampler.
pub struct Sampler {
    task: JoinHandle<()>,
    samples: std::sync::Arc<std::sync::Mutex<Vec<Sample>>>,
}

impl Group {
    /// A group of these processes and all that descends from them.
    pub fn new(name: &str, roots: Vec<Leader>) -> Self {
        Self { name: name.to_owned(), roots, used_ms: BTreeMap::new() }
    }

    fn sample(&mut self, at_ns: u64, processes: &BTreeMap<i32, Stat>) -> Sample {
        let mut memory = 0;
        for root in &self.roots {
            let pid = root.pid();
            let seen = Usage::of(pid, processes);
            let used_ms = self.used_ms.entry(pid).or_default();
            // Of a server that is just being killed, some children are gone before their parent.
            *used_ms = seen.cpu_ms.max(*used_ms);
            memory += seen.memory_bytes;
        }
        let cpu_ms = self.used_ms.values().sum();
        Sample { at_ns, group: self.name.clone(), cpu_ms, memory_bytes: memory }
    }
}

/// What a process and its descendants use.
#[derive(Debug, Default)]
struct Usage {
    cpu_ms: u64,
    memory_bytes: u64,
}

impl Usage {
    fn of(pid: i32, processes: &BTreeMap<i32, Stat>) -> Self {
        let Some(stat) = processes.get(&pid) else { return Self::default() };
        let resident = || stat.rss_pages * rustix::param::page_size() as u64;
        let own = Self {
            cpu_ms: stat.cpu_ticks * MS_PER_TICK,
            memory_bytes: memory_bytes(pid).unwrap_or_else(resident),
        };
        let children = processes.iter().filter(|(_, stat)| stat.parent == pid);
        children.map(|(child, _)| Self::of(*child, processes)).fold(own, |sum, child| Self {
            cpu_ms: sum.cpu_ms + child.cpu_ms,
            memory_bytes: sum.memory_bytes + child.memory_bytes,
        })
    }
}

impl Sampler {
    /// Samples groups until it is stopped.
    pub fn start(mut groups: Vec<Group>) -> Self {
        let samples = std::sync::Arc::default();
        let task = tokio::spawn({
            let samples = std::sync::Arc::clone(&samples);
            async move {
                let mut ticks = tokio::time::interval(EVERY);
                loop {
                    ticks.tick().await;
                    keep(&samples, &mut groups);
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

fn keep(samples: &std::sync::Mutex<Vec<Sample>>, groups: &mut [Group]) {
    let at_ns = slotproof_scenarios::clock::now_ns();
    let processes = processes();
    let sampled = groups.iter_mut().map(|group| group.sample(at_ns, &processes));
    samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(sampled);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Above the largest pid that Linux gives, so that no process of this machine has it.
    const LAUNCHER: i32 = 5_000_000;
    const NODE: i32 = 5_000_001;
    const RESTARTED: i32 = 5_000_002;

    fn stat(parent: i32, cpu_ticks: u64) -> Stat {
        Stat { parent, cpu_ticks, rss_pages: 1 }
    }

    #[test]
    fn this_process_uses_memory() {
        let own = Leader::new(std::process::id().cast_signed());
        let sample = Group::new("harness", vec![own]).sample(0, &processes());
        assert!(sample.memory_bytes > 0);
    }

    #[test]
    fn what_a_child_of_the_launcher_does_is_counted() {
        let running = [(LAUNCHER, stat(1, 1)), (NODE, stat(LAUNCHER, 50))].into();
        let sample = Group::new("rabbitmq", vec![Leader::new(LAUNCHER)]).sample(0, &running);
        assert_eq!(sample.cpu_ms, 510);
    }

    #[test]
    fn a_server_that_is_restarted_is_followed_and_what_it_had_used_stays_counted() {
        let server = Leader::new(LAUNCHER);
        let mut group = Group::new("postgresql", vec![server.clone()]);
        let mut cpu_ms = |processes: &[(i32, Stat)]| {
            let processes = processes.iter().map(|(pid, stat)| (*pid, stat.clone())).collect();
            group.sample(0, &processes).cpu_ms
        };
        assert_eq!(cpu_ms(&[(LAUNCHER, stat(1, 10)), (NODE, stat(LAUNCHER, 20))]), 300);
        assert_eq!(cpu_ms(&[(LAUNCHER, stat(1, 12))]), 300, "its child is killed first");
        assert_eq!(cpu_ms(&[]), 300, "it is down");
        server.replace(RESTARTED);
        assert_eq!(cpu_ms(&[(RESTARTED, stat(1, 5))]), 350, "it is back, under another pid");
        assert_eq!(cpu_ms(&[(RESTARTED, stat(1, 9))]), 390);
    }
}
