//! `slotproof rebalance`: moves doctors from shard to shard, while bookings go on.

use anyhow::Result;
use slotproof_target_service::{
    ShardUrl,
    sharding::{self, Wanted},
};
use slotproof_vocabulary::{DoctorId, ShardMode, Span, UsageError};

use super::{init_tracing, interruptible, runtime};
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof rebalance --shard a=postgres://me@10.0.0.1/booking --shard b=postgres://me@10.0.0.2/booking
      after shard b was added: moves to it what belongs there, and what belongs elsewhere away

  slotproof rebalance --drain b --shard a=... --shard b=... --shard c=...
      moves all doctors of shard b to the others, before it is taken out

  slotproof rebalance --doctor 17 --to c --shard a=... --shard b=... --shard c=...
      moves one doctor, and those who share his bucket

Services that are running are given every shard with --shard, the new one before it gets doctors. A
bucket that moves is refused with retry_later for as long as it takes to copy what changed while its
rows were copied. A rebalance that was interrupted is run again, and goes on where it ended.";

/// Arguments of `slotproof rebalance`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A shard; give each.
    #[arg(
        long = "shard",
        value_name = "NAME=URL",
        env = "SLOTPROOF_SHARDS",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    shards: Vec<ShardUrl>,

    /// Move all doctors of this shard to the others.
    #[arg(long, value_name = "NAME", conflicts_with = "doctor")]
    drain: Option<String>,

    /// Move the bucket of this doctor.
    #[arg(long, value_name = "ID", requires = "to")]
    doctor: Option<u32>,

    /// The shard that gets it.
    #[arg(long, value_name = "NAME", requires = "doctor")]
    to: Option<String>,

    /// How buckets are moved: fenced, or a negative control: two_owners, move_without_tail.
    #[arg(long, value_name = "MODE", env = "SLOTPROOF_SHARD_MODE", default_value = "fenced")]
    shard_mode: ShardMode,

    /// How much longer the copy of a bucket with doctors takes, for tests of what changes meanwhile.
    #[arg(long, value_name = "TIME", default_value = "0ms")]
    copy_delay: Span,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    if args.shard_mode.is_negative_control() {
        note!("warning: the shard mode {} is a negative control", args.shard_mode);
    }
    let wanted = match (args.drain, args.doctor, args.to) {
        (Some(shard), _, _) => Wanted::Drain(shard),
        (None, Some(doctor), Some(to)) => Wanted::Doctor(DoctorId(doctor), to),
        (None, _, _) => Wanted::Home,
    };
    runtime()?.block_on(interruptible(async {
        let moved = sharding::rebalance(&args.shards, &wanted, args.shard_mode, args.copy_delay.0);
        let moved = match moved.await {
            Ok(moved) => moved,
            Err(error) if error.is_refusal() => return Err(UsageError(error.to_string()).into()),
            Err(error) => return Err(error.into()),
        };
        out!("{}", serde_json::to_string(&moved)?);
        note!(
            "moved {} buckets, {} of them with doctors: {} rows; changes of one bucket were refused for \
             {} ms at most",
            moved.buckets, moved.with_doctors, moved.rows, moved.refused_ms_max
        );
        Ok(exit_code::UPHELD)
    }))
}
