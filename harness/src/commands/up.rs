//! `slotproof up`: start the stack and the service, and leave them running until Ctrl-C.

use std::path::PathBuf;

use anyhow::Result;
use slotproof_evidence::RunDirectory;
use slotproof_experiments::Progress;
use slotproof_stack::{Directed, Replicas, ServiceSpec, guard::Guard, provision};
use slotproof_vocabulary::{Span, StrategyKind};

use super::{Stop, init_tracing, interruptible, runtime, stack_args::StackArgs};
use crate::{
    console::Console,
    exit_code::{self, Code},
};

const EXAMPLES: &str = "Examples:
  slotproof up --strategy conditional --port 8080
      then, in another terminal: curl http://127.0.0.1:8080/openapi.json

  slotproof up --strategy pessimistic --replicas 3 --environment containers";

/// Arguments of `slotproof up`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How the service makes `reserve` safe.
    #[arg(long, default_value = "conditional")]
    strategy: StrategyKind,

    /// Where the first service process listens [default: a free port]
    #[arg(long)]
    port: Option<u16>,

    /// How long a hold lasts before it expires.
    #[arg(long, default_value = "5m")]
    hold: Span,

    /// Where the directory with the logs is made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    runs: PathBuf,

    #[command(flatten)]
    stack: StackArgs,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    let stack = args.stack.spec_for([args.strategy])?;
    if args.strategy.is_negative_control() {
        note!(
            "warning: {} is a negative control: it is broken on purpose and will overbook",
            args.strategy
        );
    }
    runtime()?.block_on(async {
        let mut stop = Stop::listen()?;
        let guard = Guard::start()?;
        let console = Console::of_stderr();
        let progress: &dyn Progress = &console;
        let (environment, replicas) = interruptible(async {
            let directory = directory(&args)?;
            note!("logs {}", directory.logs().display());
            let step = progress.step(format!("start {}", stack.topology.servers()));
            let environment = provision(&stack, directory.path(), &guard).await?;
            step.done("");
            let service = ServiceSpec {
                strategy: args.strategy,
                endpoints: environment.endpoints.clone(),
                hold: args.hold.0,
                connections: stack.connections,
                replicas: stack.replicas,
                port: args.port,
                lock_ttl: stack.lock_ttl,
                announces: true,
                directed: Directed::No,
                replaceable: false,
            };
            let replicas = Replicas::start(&service, &directory.logs(), &guard).await?;
            Ok((environment, replicas))
        })
        .await?;
        let endpoints = serde_json::json!({
            "service": replicas.targets(),
            "postgres_url": environment.endpoints.postgres_url(),
            "shards": environment.endpoints.shards(),
            "read_urls": environment.endpoints.read_urls(),
            "redis_url": environment.endpoints.redis_url(),
            "amqp_url": environment.endpoints.amqp_url(),
        });
        out!("{}", serde_json::to_string_pretty(&endpoints)?);
        note!("ready; Ctrl-C ends everything");
        stop.told().await;
        replicas.stop().await;
        environment.stop().await;
        Ok(exit_code::UPHELD)
    })
}

fn directory(args: &Args) -> Result<RunDirectory> {
    let now = time::OffsetDateTime::now_utc();
    RunDirectory::create_named(&args.runs.join("up"), args.strategy.name(), now)
}
