//! `slotproof load`: runs a load order, in a process of its own. Progress goes to standard output,
//! a line of JSON at a time.

use std::{fs, io::Write, path::PathBuf};

use anyhow::Result;
use slotproof_scenarios::{Event, LoadOrder};
use slotproof_vocabulary::UsageError;

use super::{init_tracing, runtime};
use crate::exit_code::{self, Code};

/// Arguments of `slotproof load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The order, as JSON.
    order: PathBuf,
}

pub(crate) fn exec(args: Args) -> Result<Code> {
    init_tracing();
    let usage = |error: &dyn std::fmt::Display| {
        UsageError(format!("{} is not a load order: {error}", args.order.display()))
    };
    let text = fs::read(&args.order).map_err(|error| usage(&error))?;
    let order: LoadOrder = serde_json::from_slice(&text).map_err(|error| usage(&error))?;
    let done = runtime()?.block_on(slotproof_scenarios::run(
        order,
        Box::new(|progress| say(&Event::Progress(progress))),
    ))?;
    say(&Event::Ended(done));
    Ok(exit_code::UPHELD)
}

/// Nobody listening is no reason to stop a load: its result is the history.
fn say(event: &Event) {
    let line = serde_json::to_string(event).expect("an event is numbers and names");
    let _ = writeln!(std::io::stdout(), "{line}");
}
