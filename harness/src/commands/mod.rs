//! The commands: each file holds the arguments of one and what it does.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod dead_letters;
pub(crate) mod doctor;
pub(crate) mod load;
pub(crate) mod model;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod up;

mod stack_args;

use std::{str::FromStr, time::Duration};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::exit_code::Interrupted;

/// Logs go to stderr; `RUST_LOG` says how much.
pub(crate) fn init_tracing() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,sqlx=error,goose=error"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
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
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
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
    // Before the work begins: a signal that comes while nobody listens is lost where the parent ignores it.
    let mut stop = Stop::listen()?;
    tokio::select! {
        result = work => result,
        () = stop.told() => Err(Interrupted.into()),
    }
}

/// A duration as people write it: `250ms`, `15s`, `5m`; a bare number is refused, because its unit would be a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a duration; write 250ms, 15s or 5m");
        let digits = text.trim_end_matches(char::is_alphabetic);
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let unit_ms = match &text[digits.len()..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit_ms).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ms() {
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let ms = |text: &str| text.parse::<Span>().map(Span::ms);
        assert_eq!(
            (ms("250ms"), ms("15s"), ms("5m"), ms("1h")),
            (Ok(250), Ok(15_000), Ok(300_000), Ok(3_600_000))
        );
        for wrong in ["15", "s", "", "-1s", "1.5s", "15 s", "99999999999999999999h", "18446744073709551615h"]
        {
            assert!(ms(wrong).is_err(), "{wrong:?}");
        }
    }
}
