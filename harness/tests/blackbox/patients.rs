//! Booking services of others, in the styles of real APIs, judged through their target files: an
//! honest one is upheld, and each broken twin is convicted of what it breaks.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// Loads are made again for twice as long while they decide nothing: how much a machine does in a
/// second must not matter.
const SECONDS: [&str; 4] = ["2s", "4s", "8s", "16s"];

/// A load of clients that read, reserve, confirm and cancel.
const MIXED: &str = "--scenario hot_and_cold --slots 4 --capacity 20 --clients 30 --think 20ms";
/// One rush, in which some clients click twice.
const RUSH: &str = "--scenario flash_sale --slots 4 --capacity 30 --clients 40";
/// Most clients leave, and some come back too late.
const LEAVERS: &str =
    "--scenario abandoned_holds --slots 3 --capacity 10 --clients 40 --think 100ms";

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A command while a patient runs. `--broken` and what else the patient needs is in its words.
fn on(patient: &str) -> Command {
    let slotproof = Path::new(env!("CARGO_BIN_EXE_slotproof"));
    let patients = slotproof.with_file_name("slotproof-patients");
    assert!(
        patients.exists(),
        "{} is missing; build it by cargo build --package slotproof-patients",
        patients.display()
    );
    let mut command = Command::new(patients);
    command.args(patient.split(' ')).arg("--").arg(slotproof).current_dir(repository());
    command
}

/// A run that decided, or the last one.
fn judged(patient: &str, load: &str) -> (Output, PathBuf, TempDir) {
    let runs = tempfile::tempdir().expect("a directory");
    let name = patient.split(' ').next().expect("a name");
    let mut last = None;
    for seconds in SECONDS {
        let mut command = on(patient);
        command.args(["run", "--target"]).arg(format!("ci/targets/{name}.toml"));
        command.args(load.split(' ')).args(["--duration", seconds]);
        let output = command.arg("--runs").arg(runs.path()).output().expect("the patient runs");
        let expected = if patient.contains("--broken") { Some(1) } else { Some(0) };
        let decided = output.status.code() == expected || output.status.code() == Some(1);
        let run = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        last = Some((output, run));
        if decided {
            break;
        }
    }
    let (output, run) = last.expect("a load was made");
    (output, run, runs)
}

fn findings(run: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(run.join("verdict.json")).expect("it was judged");
    let verdict: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let findings = verdict["findings"].as_array().expect("findings").iter();
    findings.map(|it| (text(&it["invariant"]), text(&it["verdict"]))).collect()
}

/// Upheld, by these invariants among others.
fn upheld(patient: &str, load: &str, by: &[&str]) {
    let (output, run, _runs) = judged(patient, load);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{patient}: {said}");
    let findings = findings(&run);
    for invariant in by {
        let finding = findings.iter().find(|(name, _)| name == invariant);
        assert_eq!(finding.map(|(_, verdict)| &**verdict), Some("upheld"), "{invariant}: {said}");
    }
}

/// Convicted of one of these at least.
fn convicted(patient: &str, load: &str, of: &[&str]) {
    let (output, run, _runs) = judged(patient, load);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{patient}: {said}");
    let findings = findings(&run);
    let violated = |invariant: &&&str| {
        findings.iter().any(|(name, verdict)| name == **invariant && verdict == "violated")
    };
    assert!(of.iter().find(violated).is_some(), "{patient} is none of {of:?}: {said}");
}

#[test]
fn fhir_is_upheld_by_its_answers_and_by_its_pages_of_appointments() {
    upheld("fhir", MIXED, &["I1", "I2", "I3", "I4", "I8", "I11"]);
}

#[test]
fn fhir_whose_tokens_run_out_every_three_seconds_is_upheld() {
    upheld("fhir --token-seconds 3", RUSH, &["I1", "I2", "I3", "I5"]);
}

#[test]
fn fhir_that_counts_and_then_inserts_is_convicted() {
    convicted("fhir --broken check_then_insert", MIXED, &["I1", "I2"]);
}

#[test]
fn fhir_whose_cancels_give_nothing_back_is_convicted() {
    convicted("fhir --broken cancel_returns_none", MIXED, &["I8", "I11"]);
}

#[test]
fn octo_is_upheld_by_the_bookings_that_clients_know() {
    upheld("octo --slots 4 --capacity 20", MIXED, &["I1", "I3", "I8", "I9"]);
}

#[test]
fn octo_whose_holds_run_out_is_upheld() {
    upheld("octo --slots 3 --capacity 10 --hold-ms 2500", LEAVERS, &["I1", "I3", "I8"]);
}

#[test]
fn octo_whose_key_books_twice_is_convicted() {
    let octo = "octo --slots 4 --capacity 30 --broken key_books_twice";
    convicted(octo, RUSH, &["I5", "I7", "I8", "I9"]);
}

#[test]
fn octo_that_confirms_what_has_expired_is_convicted() {
    let octo = "octo --slots 3 --capacity 10 --hold-ms 2500 --broken confirm_after_expiry";
    convicted(octo, LEAVERS, &["I1", "I6", "I7", "I13"]);
}

#[test]
fn a_cart_shop_is_upheld_by_its_database() {
    upheld("cart", MIXED, &["I1", "I2", "I3", "I4", "I8", "I11"]);
}

#[test]
fn a_cart_shop_whose_checkouts_fail_gives_the_seats_of_the_cart_back() {
    upheld("cart --checkout-fails-every 5", MIXED, &["I1", "I2", "I3", "I11"]);
}

#[test]
fn a_cart_shop_that_sells_by_a_cached_number_is_convicted() {
    convicted("cart --broken cached_stock", MIXED, &["I1", "I2"]);
}

#[test]
fn a_cart_shop_where_paying_revives_a_cancelled_order_is_convicted() {
    convicted("cart --broken pay_revives", RUSH, &["I1", "I3", "I6"]);
}

#[test]
fn a_cart_shop_is_upheld_in_a_rush() {
    upheld("cart", RUSH, &["I1", "I2", "I3", "I4"]);
}

#[test]
fn maps_is_upheld_by_its_lists() {
    upheld("maps", MIXED, &["I1", "I2", "I3", "I4", "I8", "I11"]);
}

#[test]
fn maps_that_loses_what_it_acknowledged_is_convicted() {
    convicted("maps --broken lost_ack", MIXED, &["I3"]);
}

#[test]
fn maps_that_refuses_while_seats_are_free_is_convicted() {
    convicted("maps --broken false_full", MIXED, &["I8"]);
}

#[test]
fn the_gate_passes_an_honest_service_and_shows_the_witness_of_a_broken_one() {
    for (patient, code) in [("fhir", 0), ("fhir --broken check_then_insert", 1)] {
        let runs = tempfile::tempdir().expect("a directory");
        let mut command = on(patient);
        command.args(["gate", "--config", "ci/gate-target.toml", "--runs"]).arg(runs.path());
        let output = command.output().expect("the patient runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{patient}: {said}");
        let report = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let junit = std::fs::read_to_string(report.with_file_name("junit.xml")).expect("junit.xml");
        assert_eq!(junit.contains("acknowledged seats were held at once"), code == 1, "{junit}");
    }
}

#[test]
fn a_trial_reads_the_rows_of_the_slot_that_it_filled() {
    for (patient, name) in [("fhir", "fhir"), ("cart", "cart")] {
        let mut command = on(patient);
        let output =
            command.args(["target", "try"]).arg(format!("ci/targets/{name}.toml")).output();
        let output = output.expect("the patient runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{patient}: {said}");
        let found = String::from_utf8_lossy(&output.stdout);
        assert!(found.contains("the rows of the full slot are 2 bookings with 2 seats"), "{found}");
    }
}
