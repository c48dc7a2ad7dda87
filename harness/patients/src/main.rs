//! `slotproof-patients`: four small booking services, each in the API style of a real family and
//! with storage of its own, honest or broken on purpose. Target files are tried on them.

mod cart;
mod fhir;
mod maps;
mod octo;

mod command;
mod patient;
mod servers;

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use slotproof_stack::guard::{self, Guard};
use tokio::net::TcpListener;

use crate::{
    command::{Ended, Stop},
    patient::{Patient, Place},
};

const EXAMPLES: &str = "Examples:
  slotproof-patients fhir -- slotproof run --target ci/targets/fhir.toml --duration 10s
  slotproof-patients octo --broken confirm_after_expiry --hold-ms 1000
      prints the variables that ci/targets/octo.toml needs, and stays until Ctrl-C";

/// No server, or no command to run: `EX_UNAVAILABLE` of sysexits.h.
const UNAVAILABLE: u8 = 69;

/// Booking services in the styles of real APIs, honest or broken on purpose.
#[derive(Debug, Parser)]
#[command(name = "slotproof-patients", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// FHIR R4 Slot and Appointment, on PostgreSQL.
    Fhir(Run<fhir::Options>),
    /// OCTO bookings of tours, on PostgreSQL.
    Octo(Run<octo::Options>),
    /// A ticket shop with a cart, on MariaDB.
    Cart(Run<cart::Options>),
    /// Maps Booking v3, in memory with a journal.
    Maps(Run<maps::Options>),
    /// A private database server alone: its URL is what `--database-url` takes.
    Server {
        /// Which server.
        kind: servers::Kind,
    },
    #[command(hide = true)]
    Guard,
}

#[derive(Debug, clap::Args)]
struct Run<O: clap::Args> {
    #[command(flatten)]
    options: O,
    /// The loopback port of the service [default: a free one]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Runs with the variables set, and its exit code is ours; without it they are printed
    #[arg(last = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.kind, Kind::Guard) {
        guard::keep();
        return ExitCode::SUCCESS;
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(cli.kind) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("slotproof-patients: {error:#}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

#[tokio::main]
async fn run(kind: Kind) -> Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let guard = Guard::start().context("start the guard")?;
    let directory = tempfile::Builder::new().prefix("slotproof-patient-").tempdir()?;
    let (port, command) = match &kind {
        Kind::Fhir(Run { port, command, .. })
        | Kind::Octo(Run { port, command, .. })
        | Kind::Cart(Run { port, command, .. })
        | Kind::Maps(Run { port, command, .. }) => (*port, command.clone()),
        Kind::Server { .. } | Kind::Guard => (0, Vec::new()),
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.context("bind the port")?;
    let base = format!("http://{}", listener.local_addr()?);
    let place = Place { base, directory: directory.path(), guard: &guard };
    let opened = tokio::select! {
        opened = open(&kind, &place) => opened?,
        () = stop.told() => return Ok(Ended::Interrupted.code()),
    };
    let Patient { router, variables, held } = opened;
    let serving = tokio::spawn(patient::serve(listener, router));
    let ended = command::run(&command, &variables, &guard, &mut stop).await;
    serving.abort();
    held.end().await;
    Ok(ended?.code())
}

async fn open(kind: &Kind, place: &Place<'_>) -> Result<Patient> {
    match kind {
        Kind::Fhir(run) => fhir::open(&run.options, place).await,
        Kind::Octo(run) => octo::open(&run.options, place).await,
        Kind::Cart(run) => cart::open(&run.options, place).await,
        Kind::Maps(run) => maps::open(&run.options, place),
        Kind::Server { kind } => servers::alone(*kind, place).await,
        Kind::Guard => unreachable!("it is answered before anything is opened"),
    }
}
