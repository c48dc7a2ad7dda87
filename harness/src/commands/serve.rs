//! `slotproof serve`: the reference service. The only place that names its crate.

use std::net::SocketAddr;

use anyhow::Result;
use slotproof_target_service::{Application, Config};
use slotproof_vocabulary::StrategyKind;

use super::{Span, Stop, init_tracing, runtime};
use crate::exit_code::{self, Code, UsageError};

const EXAMPLES: &str = "Examples:
  slotproof serve --strategy conditional --database-url postgres://me@127.0.0.1/booking
      listens on 127.0.0.1:8080 and brings an empty database's schema up to date

  slotproof serve --list
      lists the strategies";

/// Arguments of `slotproof serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How `reserve` is made safe; see --list.
    #[arg(long, env = "SLOTPROOF_STRATEGY", required_unless_present = "list")]
    strategy: Option<StrategyKind>,

    /// The database; empty, or Slotproof's own.
    #[arg(long, env = "SLOTPROOF_DATABASE_URL", hide_env_values = true, required_unless_present = "list")]
    database_url: Option<String>,

    /// Where to listen; port 0 picks a free one.
    #[arg(long, env = "SLOTPROOF_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// How long a hold lasts.
    #[arg(long, env = "SLOTPROOF_HOLD", default_value = "5m")]
    hold: Span,

    /// Connections to the database.
    #[arg(long, env = "SLOTPROOF_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,

    /// List the strategies and the negative controls.
    #[arg(long)]
    list: bool,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    if args.list {
        list();
        return Ok(exit_code::UPHELD);
    }
    let (Some(strategy), Some(database_url)) = (args.strategy, args.database_url) else {
        return Err(UsageError("serve needs --strategy and --database-url".to_owned()).into());
    };
    if args.hold.ms() == 0 {
        return Err(UsageError("--hold must be longer than nothing".to_owned()).into());
    }
    if strategy.is_negative_control() {
        eprintln!("warning: {strategy} is a negative control: it is broken on purpose and will overbook");
    }
    let config = Config {
        listen: args.listen,
        database_url,
        strategy,
        hold: args.hold.0,
        connections: args.connections,
    };
    runtime()?.block_on(async {
        let mut stop = Stop::listen()?;
        let application = Application::build(config).await?;
        println!("{}", serde_json::json!({"listening": application.address()}));
        application.run_until(async move { stop.told().await }).await?;
        Ok(exit_code::UPHELD)
    })
}

fn list() {
    for kind in StrategyKind::ALL {
        let note = if kind.is_negative_control() { "negative control: " } else { "" };
        println!("{:<14} {note}{}", kind.name(), kind.mechanism());
    }
}
