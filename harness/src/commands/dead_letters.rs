//! `slotproof dead-letters`: messages that could not be handled.

use anyhow::Result;
use slotproof_target_service::queue::dead_letters;

use super::{init_tracing, interruptible, runtime};
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof dead-letters list --amqp-url amqp://me:secret@127.0.0.1:5672/%2f
      one line of JSON for each message, oldest first: where it died, why, and what it says

  slotproof dead-letters replay --amqp-url amqp://me:secret@127.0.0.1:5672/%2f
      sends each to the queue in which it died, when the cause is gone";

/// Subcommands of `slotproof dead-letters`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Show them; they stay where they are.
    #[command(after_help = EXAMPLES)]
    List(Args),
    /// Send each to the queue in which it died.
    #[command(after_help = EXAMPLES)]
    Replay(Args),
}

/// Where they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The broker: amqp://user:password@host:port/vhost
    #[arg(long, env = "SLOTPROOF_AMQP_URL", hide_env_values = true)]
    amqp_url: String,
}

pub(crate) fn exec(command: Command) -> Result<Code> {
    init_tracing();
    let letters = runtime()?.block_on(interruptible(async {
        Ok(match &command {
            Command::List(args) => dead_letters::list(&args.amqp_url).await?,
            Command::Replay(args) => dead_letters::replay(&args.amqp_url).await?,
        })
    }))?;
    for letter in &letters {
        out!("{}", serde_json::to_string(letter)?);
    }
    let done = if matches!(command, Command::List(_)) { "found" } else { "sent again" };
    note!("{} dead letters {done}", letters.len());
    Ok(exit_code::UPHELD)
}
