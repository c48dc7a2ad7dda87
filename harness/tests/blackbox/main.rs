//! Slotproof from outside: the binary, real servers, real sockets.

#[macro_use]
mod rows;

mod archive;
mod broker;
mod caches;
mod change_lanes;
mod check;
mod command_line;
mod comparing;
mod containers;
mod distributed;
mod engine;
mod full_disk;
mod http;
mod lanes;
mod lifecycle;
mod migration;
mod native;
mod outcomes;
mod partitioned;
mod patients;
mod pooled;
mod queue;
mod replay;
mod runs;
mod sharded;
mod stack;
mod strategies;
mod targets;
mod topologies;
mod workflows;
