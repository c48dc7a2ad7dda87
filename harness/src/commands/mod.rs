//! The commands: each file holds the arguments of one and what it does.

pub(crate) mod bench;
pub(crate) mod capacity;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod dead_letters;
pub(crate) mod doctor;
pub(crate) mod gate;
pub(crate) mod history;
pub(crate) mod load;
pub(crate) mod measured;
pub(crate) mod migrate;
pub(crate) mod model;
pub(crate) mod months;
pub(crate) mod rebalance;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod selftest;
pub(crate) mod serve;
pub(crate) mod target;
pub(crate) mod topologies;
pub(crate) mod up;

mod stack_args;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use slotproof_experiments::{Progress, target_run::Left};
use slotproof_stack::guard::Guard;

use crate::exit_code::Interrupted;

/// Logs go to stderr; `RUST_LOG` says how much.
pub(crate) fn init_tracing() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,sqlx=error,goose=error"));
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// Ctrl-C and SIGTERM, heard from the moment that this is made.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Completes when one of them comes, or has come.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs work to its end, or drops it at Ctrl-C or SIGTERM: whatever it had started ends with it.
async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // Before the work begins: a signal that comes while nobody listens is lost where the parent
    // ignores it.
    let mut stop = Stop::listen()?;
    tokio::select! {
        result = work => result,
        () = stop.told() => Err(Interrupted.into()),
    }
}

/// Takes away what runs on a target have made and stops its service, after an interrupt too. A second
/// interrupt ends it.
fn end_target(left: &Left, progress: &dyn Progress) -> Result<()> {
    runtime()?.block_on(interruptible(async {
        left.end(progress).await;
        Ok(())
    }))
}

/// Runs an experiment to its end, under a guard that ends what an experiment cannot.
fn conduct<T>(experiment: impl AsyncFnOnce(&Guard) -> Result<T>) -> Result<T> {
    runtime()?.block_on(async {
        let guard = Guard::start()?;
        interruptible(Box::pin(experiment(&guard))).await
    })
}
