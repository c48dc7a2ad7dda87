//! Processes as Linux tells of them in `/proc`: descendants, CPU time, memory.

use std::{collections::BTreeMap, fs};

/// Linux counts CPU time for `/proc` in hundredths of a second on every architecture that Rust's
/// standard library supports.
pub(crate) const MS_PER_TICK: u64 = 10;

/// One line of `/proc/<pid>/stat`, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: i32,
    pub(crate) cpu_ticks: u64,
    pub(crate) rss_pages: u64,
}

pub(crate) fn processes() -> BTreeMap<i32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
    })
    .collect()
}

/// Processes that descend from this one.
pub fn descendants(pid: i32) -> Vec<i32> {
    let processes = processes();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            processes.iter().filter(|(_, stat)| stat.parent == parent).map(|(child, _)| *child),
        );
        next += 1;
    }
    found.split_off(1)
}

/// CPU time that this process and its descendants have used, in milliseconds.
pub fn cpu_ms(pid: i32) -> u64 {
    let processes = processes();
    let mut members = descendants(pid);
    members.push(pid);
    members
        .iter()
        .filter_map(|member| processes.get(member))
        .map(|stat| stat.cpu_ticks * MS_PER_TICK)
        .sum()
}

/// CPU time of all children of this process that have ended and been waited for, in milliseconds.
pub fn reaped_cpu_ms() -> u64 {
    let own = fs::read_to_string("/proc/self/stat").ok();
    own.as_deref().and_then(reaped_ticks).unwrap_or_default() * MS_PER_TICK
}

fn reaped_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    Some(number(13)? + number(14)?)
}

/// The largest resident size that a process has had.
pub fn resident_bytes_max(pid: i32) -> Option<u64> {
    kib_of(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

/// A number of KiB from a file of `/proc`, in bytes.
fn kib_of(text: &str, field: &str) -> Option<u64> {
    let kib = text.lines().find_map(|line| {
        line.strip_prefix(field)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    })?;
    Some(kib * 1_024)
}

fn parse(stat: &str) -> Option<Stat> {
    // The second field is a name in parentheses, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        // User and system time, of itself and of the children that it has waited for.
        cpu_ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        rss_pages: number(21)?,
    })
}

/// The proportional set size: pages that n processes share count for 1/n in each. PostgreSQL's
/// backends share its buffers, and by resident size a hundred of them would seem to use a hundred
/// times as much.
pub(crate) fn memory_bytes(pid: i32) -> Option<u64> {
    kib_of(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_a_name_that_looks_like_fields() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 5 0 100 1000 77 18446744073709551615";
        assert_eq!(parse(line), Some(Stat { parent: 7, cpu_ticks: 100, rss_pages: 77 }));
        assert_eq!(reaped_ticks(line), Some(70));
        assert_eq!((parse("nonsense"), reaped_ticks("nonsense")), (None, None));
    }
}
