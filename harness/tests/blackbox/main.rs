//! Slotproof from outside: the binary, real servers, real sockets.

#[macro_use]
mod rows;

mod broker;
mod check;
mod command_line;
mod containers;
mod engine;
mod http;
mod lifecycle;
mod native;
mod outcomes;
mod queue;
mod replay;
mod runs;
mod stack;
mod strategies;
