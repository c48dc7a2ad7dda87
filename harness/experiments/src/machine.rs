//! The machine that an experiment runs on: what a figure from elsewhere must have in common with it.

use std::fmt;

use slotproof_reports::run_report::EnvironmentBlock;

/// A machine, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let system = rustix::system::uname();
        let (name, release) =
            (system.sysname().to_string_lossy(), system.release().to_string_lossy());
        Self {
            cpus: std::thread::available_parallelism()
                .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX)),
            memory_bytes: rustix::system::sysinfo().totalram as u64
                * u64::from(rustix::system::sysinfo().mem_unit),
            kernel: format!("{name} {release}"),
        }
    }

    /// The one on which something was measured.
    pub(crate) fn of(block: &EnvironmentBlock) -> Self {
        let EnvironmentBlock { cpus, memory_bytes, kernel, .. } = block.clone();
        Self { cpus, memory_bytes, kernel }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CPUs, {} bytes of memory, {}", self.cpus, self.memory_bytes, self.kernel)
    }
}
