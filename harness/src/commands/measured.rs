//! `slotproof measured`: what `bench engine` runs in processes of their own, beside the load
//! engine.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_experiments::bench::{checker, trivial_server};

use super::{Stop, init_tracing, runtime};
use crate::exit_code::{self, Code};

/// Processes of the bench.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// A server whose every answer is the same, on a free port of the loopback, until it is told to
    /// stop.
    TrivialServer,
    /// Reads and judges a history.
    Judge { file: PathBuf },
    /// Reads a history and lets porcupine-rs decide.
    #[cfg(feature = "porcupine")]
    Porcupine { file: PathBuf },
    /// Plain goose, reading one path.
    PlainGoose { target: String, path: String, users: usize, seconds: usize },
}

pub(crate) fn exec(command: Command) -> Result<Code> {
    init_tracing();
    runtime()?.block_on(async {
        match command {
            Command::TrivialServer => {
                let mut stop = Stop::listen()?;
                let listening = |address| out!("{}", serde_json::json!({"listening": address}));
                trivial_server::serve(&listening, std::pin::pin!(stop.told())).await?;
            }
            Command::Judge { file } => {
                out!("{}", serde_json::to_string(&checker::judge_file(&file)?)?)
            }
            #[cfg(feature = "porcupine")]
            Command::Porcupine { file } => {
                let judged = slotproof_experiments::bench::porcupine::porcupine_file(&file)?;
                out!("{}", serde_json::to_string(&judged)?);
            }
            Command::PlainGoose { target, path, users, seconds } => {
                slotproof_scenarios::plain_goose(&target, &path, users, seconds).await?;
            }
        }
        Ok(exit_code::UPHELD)
    })
}
