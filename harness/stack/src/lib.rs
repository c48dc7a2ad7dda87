//! The stack of a run: the servers, the service on them, and what is done to both under load.
//!
//! A [`StackSpec`] goes in: a [`Topology`] says which components there are and how the service is
//! wired to them, an [`EnvironmentSpec`] where they come from. [`provision`] starts or finds them,
//! [`Replicas`] are the service's processes, and [`faults`] act on both. Everything that is started
//! is a child in a process group of its own and is watched by a [`guard::Guard`] that outlives us,
//! so that nothing is left running, however a run ends.

pub mod spec;
pub mod topology;

mod components;
mod endpoints;

#[cfg(feature = "containers")]
mod containers;
#[cfg(not(feature = "containers"))]
#[path = "containers_absent.rs"]
mod containers;
pub mod environment;
mod external;
mod native;

pub mod replicas;

pub mod faults;
pub mod migration;

mod calibration;
pub mod proc;
pub mod sampling;

mod address;
mod data;
pub mod guard;
pub mod process;
mod programs;

pub use calibration::{durable_commit, single_core_per_s};
pub use endpoints::Endpoints;
pub use environment::{Environment, EnvironmentError, provision};
pub use programs::{Program, pgbench, programs};
pub use replicas::{Directed, ReplicaError, Replicas, ServiceSpec};
pub use spec::{EnvironmentKind, EnvironmentSpec, External, Images, Remote, StackSpec};
pub use topology::{
    Component, ComponentKind, PoolMode, Synchronous, Topology, TopologyError, Wiring,
};

/// The images of the containers environment, and whether each is on this machine.
pub fn images() -> Vec<(String, bool)> {
    containers::images()
}
