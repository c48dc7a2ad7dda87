//! `slotproof target`: booking APIs that a file describes.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use slotproof_evidence::run_directory::write_whole;
use slotproof_experiments::target_try::{SEATS, Trial, suggested_rule, try_target};
use slotproof_scenarios::target::{
    draft::{Draft, draft},
    file::{Exchanged, FileTarget, OperationKind, schema},
};
use slotproof_vocabulary::{Span, UsageError};

use super::{init_tracing, interruptible, runtime};
use crate::exit_code::{self, Code};

const EXAMPLES: &str = "Examples:
  slotproof target init openapi.json --output their.toml
      a draft, with what is doubtful in it

  SLOTPROOF_SERVICE=http://127.0.0.1:8080 slotproof target try ci/targets/reference.toml
      one of each call, with the rule that each answer matched

  slotproof target try their.toml --dry-run
      every request of one visit, as it would be sent; nothing is sent

  slotproof target try their.toml --write
      what was found out is written into the file

Exit codes: 0 every answer was understood, 2 some answer was not, 64 the file is wrong, 69 the API does not answer.";

const SCHEMA_EXAMPLES: &str = "Examples:
  slotproof target schema > target.schema.json
      beside a target file whose first line is: #:schema ./target.schema.json";

const INIT_EXAMPLES: &str = "Examples:
  curl http://127.0.0.1:8080/openapi.json > openapi.json
  slotproof target init openapi.json --output their.toml
      a draft of a target file; what is doubtful in it is marked DOUBTFUL or CHECK, and listed

  slotproof target try their.toml
      then: makes each call once, and shows what is right

Exit codes: 0 there is a draft, 64 the document is wrong, or nothing in it takes a seat.";

/// Target files.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Draft a target file from an OpenAPI document.
    ///
    /// Operations are found by the names and the shapes of the document: nothing is sent.
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Make each call once, show which rule each answer matched, and find out what the API does not
    /// promise.
    #[command(after_help = EXAMPLES)]
    Try(TryArgs),
    /// Print the JSON Schema of target files, by which editors complete and check them.
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
}

/// Arguments of `slotproof target init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// An OpenAPI document of version 3.0 or 3.1, JSON or YAML.
    document: PathBuf,

    /// The operation that takes seats, where it is not found by its name: "POST /path", as the
    /// document writes it.
    #[arg(long, value_name = "OPERATION")]
    reserve: Option<String>,

    /// Write the draft to this file, which must not exist yet; else it goes to the standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Arguments of `slotproof target try`.
#[derive(Debug, clap::Args)]
pub(crate) struct TryArgs {
    /// The target file.
    file: PathBuf,

    /// A host beside this machine that may be called; the file must allow it too.
    #[arg(long, value_name = "HOST")]
    allow: Vec<String>,

    /// Print every request of one visit, setup and teardown included, and send nothing. What an
    /// answer would give is shown by its name, <slot.id>; secrets are starred out.
    #[arg(long, conflicts_with = "write")]
    dry_run: bool,

    /// How long an answer may take.
    #[arg(long, default_value = "10s", value_name = "TIME")]
    timeout: Span,

    /// Write what was found out into the file. What its [claims] say already stays.
    #[arg(long)]
    write: bool,
}

pub(crate) fn exec(command: Command) -> Result<Code> {
    init_tracing();
    match command {
        Command::Init(args) => init(&args),
        Command::Try(args) => try_file(&args),
        Command::Schema => {
            out!("{}", serde_json::to_string_pretty(&schema())?);
            Ok(exit_code::UPHELD)
        }
    }
}

fn init(args: &InitArgs) -> Result<Code> {
    let wrong = |reason: String| UsageError(format!("{}: {reason}", args.document.display()));
    let text = fs::read_to_string(&args.document).map_err(|error| wrong(error.to_string()))?;
    let Draft { text, doubts } = draft(&document(&text).map_err(wrong)?, args.reserve.as_deref())
        .map_err(|error| wrong(error.to_string()))?;
    match &args.output {
        None => out!("{}", text.trim_end()),
        Some(path) => write_new(path, &text)?,
    }
    for doubt in &doubts {
        note!("doubtful: {doubt}");
    }
    let name = args.output.as_deref().unwrap_or(Path::new("FILE"));
    note!("next: slotproof target try {}", name.display());
    Ok(exit_code::UPHELD)
}

/// A document, as JSON or as YAML.
fn document(text: &str) -> Result<serde_json::Value, String> {
    let no_json = match serde_json::from_str(text) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    if text.trim_start().starts_with(['{', '[']) {
        return Err(format!("it is no JSON: {no_json}"));
    }
    match yaml_serde::from_str(text) {
        Ok(document @ serde_json::Value::Object(_)) => Ok(document),
        Ok(_) => Err("it is neither JSON nor YAML".to_owned()),
        Err(error) => Err(format!("it is neither JSON nor YAML: {error}")),
    }
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = match File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let reason = "exists already, and may have been edited; remove it, or name another";
            return Err(UsageError(format!("{} {reason}", path.display())).into());
        }
        Err(error) => return Err(UsageError(format!("{}: {error}", path.display())).into()),
    };
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))?;
    note!("written into {}", path.display());
    Ok(())
}

fn try_file(args: &TryArgs) -> Result<Code> {
    let target = FileTarget::read(&args.file, &args.allow)?;
    if args.dry_run {
        let requests = target.dry_run(SEATS).iter().map(ToString::to_string).collect::<Vec<_>>();
        out!("{}", requests.join("\n\n"));
        return Ok(exit_code::UPHELD);
    }
    note!("target {} at {}", target.name, target.base_url);
    let trial = runtime()?.block_on(interruptible(try_target(&target, args.timeout.0)))?;
    show(&trial);
    let claims = trial.claims_section();
    out!("{}", claims.trim_end());
    if args.write {
        write_claims(&args.file, &claims)?;
    }
    if target.claims.hold_ms == Some(0) && target.has(OperationKind::Confirm) {
        note!(
            "note: hold_ms = 0: an unconfirmed booking is held for ever. No call here has checked \
             it. If holds end, write their length in milliseconds: without it a seat that is sold \
             again looks like an overbooking"
        );
    }
    if !trial.is_understood() {
        return Ok(exit_code::UNKNOWN);
    }
    note!("next: slotproof run --target {} --clients 40 --duration 5s", args.file.display());
    Ok(exit_code::UPHELD)
}

fn show(trial: &Trial) {
    note!();
    note!("setup");
    trial.setup.iter().for_each(show_exchange);
    for call in &trial.calls {
        note!();
        let answer = &call.made.answer;
        let reason =
            answer.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        note!("{}: {} -> {}{reason}", call.operation.name(), call.purpose, answer.outcome.name());
        call.made.exchanges.iter().for_each(show_exchange);
    }
    for exchanged in trial.unmatched() {
        note!();
        note!("no rule matches this answer of {}; add one to its step:", exchanged.request);
        note!("  {}", suggested_rule(exchanged));
    }
    for doubt in &trial.doubts {
        note!();
        note!("doubt: {doubt}");
    }
    note!();
}

/// Bytes of a body that are shown.
const SHOWN_MAX: usize = 400;

fn show_exchange(exchanged: &Exchanged) {
    let short = |text: &str| {
        let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        match text.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    };
    note!("  > {} {}", exchanged.request, short(&exchanged.sent));
    let status = exchanged.status.map_or("no answer".to_owned(), |status| status.to_string());
    let meaning = match exchanged.matched {
        Some((meaning, line)) => format!("{} by line {line}", meaning.name()),
        None => "no rule".to_owned(),
    };
    note!("  < {status} [{meaning}] {}", short(&exchanged.received));
}

/// Adds the lines of `claims` to the file, below its [claims] if it has them.
fn write_claims(path: &Path, claims: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let words: toml::Table = toml::from_str(&text).unwrap_or_default();
    let said = words.get("claims").and_then(toml::Value::as_table);
    let written = match said {
        None => format!("{text}\n{claims}"),
        Some(said) => {
            let found: Vec<&str> = claims.lines().collect();
            let is_new = |line: &str| {
                let key = line.split_once('=').map(|(key, _)| key.trim());
                key.is_some_and(|key| !key.starts_with('#') && !said.contains_key(key))
            };
            // Each with the comment that says why.
            let pairs = found.windows(2).filter(|pair| is_new(pair[1])).flatten();
            let new: Vec<&str> = pairs.copied().filter(|line| *line != "[claims]").collect();
            if new.is_empty() {
                note!("nothing to write: {} has these claims already", path.display());
                return Ok(());
            }
            let header = text.lines().position(|line| line.trim_start().starts_with("[claims]"));
            let Some(header) = header else {
                let reason = "has its claims in another form; write them below a line [claims]";
                return Err(UsageError(format!("{} {reason}", path.display())).into());
            };
            let mut lines: Vec<&str> = text.lines().collect();
            lines.splice(header + 1..header + 1, new);
            lines.join("\n") + "\n"
        }
    };
    write_whole(path, written.as_bytes())?;
    note!("written into {}", path.display());
    Ok(())
}
