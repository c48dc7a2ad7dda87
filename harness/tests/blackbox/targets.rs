//! `slotproof target try` and `run --target`: the reference service by its file, and files that are
//! wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use sqlx::{Connection, Executor, PgConnection};

use crate::stack::{Service, eventually, fresh_database, slotproof};

fn reference() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ci/targets/reference.toml")
}

fn try_file(file: &PathBuf, service: &str, more: &[&str]) -> Output {
    let mut command = slotproof();
    command.args(["target", "try"]).arg(file).args(more).env("SLOTPROOF_SERVICE", service);
    command.output().expect("the binary runs")
}

/// What a command prints on the standard output with the variables of the FHIR target file.
fn dry(arguments: &[&str]) -> String {
    let mut command = slotproof();
    command.args(arguments).arg(reference().with_file_name("fhir.toml")).arg("--dry-run");
    command
        .env("FHIR_URL", "http://127.0.0.1:1/fhir")
        .env("FHIR_TOKEN_URL", "http://127.0.0.1:1/t");
    command.env("FHIR_CLIENT_SECRET", "s3cret");
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(!printed.contains("s3cret") && !said.contains("s3cret"), "{printed}");
    printed
}

#[test]
fn a_dry_run_prints_the_requests_and_sends_nothing() {
    // Nothing listens there.
    let printed = dry(&["target", "try"]);
    assert!(
        printed.contains("### reserve\nPOST http://127.0.0.1:1/fhir/Appointment\n"),
        "{printed}"
    );
    assert!(printed.contains("client_secret=***"), "{printed}");
}

#[test]
fn a_dry_run_on_a_target_prints_a_plan_with_the_requests_as_comments() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("plan.toml");
    let printed = dry(&["run", "--capacity", "7", "--target"]);
    assert!(printed.contains("# ### reserve\n# POST "), "{printed}");
    assert!(printed.contains("\"valueInteger\":7"), "{printed}");
    fs::write(&file, &printed).expect("it can be written");
    let mut command = slotproof();
    let again = command.args(["run", "--dry-run", "--plan"]).arg(&file).output();
    let again = String::from_utf8(again.expect("the binary runs").stdout).expect("text");
    assert!(printed.starts_with(again.trim_end()), "{again}");
}

#[test]
fn the_schema_that_is_printed_is_the_kept_one() {
    let output = slotproof().args(["target", "schema"]).output().expect("the binary runs");
    let kept = fs::read(reference().with_file_name("target.schema.json")).expect("it is kept");
    let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).expect("JSON");
    assert!(json(&output.stdout) == json(&kept));
}

/// Through its file, with what a key that was sent again is answered.
async fn the_reference_is_understood(strategy: &str, replays: &str) {
    let service = Service::start(strategy, "60s").await;
    let output = try_file(&reference(), &service.target, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let claims = String::from_utf8(output.stdout).expect("text");
    for claim in [
        replays,
        "# a confirm that is sent again is answered with ok",
        "# a cancel that is sent again is answered with ok",
    ] {
        assert!(claims.lines().any(|line| line == claim), "{claim} is not in\n{claims}\n{said}");
    }
    assert!(said.contains("one seat too many -> sold_out"), "{said}");
    assert!(!said.contains("no rule matches"), "{said}");
}

#[tokio::test]
async fn the_reference_service_is_understood_through_its_file() {
    the_reference_is_understood("conditional", "replays = \"ok\"").await;
}

fn init(document: &Path, more: &[&str]) -> Output {
    let mut command = slotproof();
    command.args(["target", "init"]).arg(document).args(more);
    command.output().expect("the binary runs")
}

#[tokio::test]
async fn a_draft_from_the_reference_services_own_document_is_understood_as_it_is() {
    let service = Service::start("conditional", "60s").await;
    let folder = tempfile::tempdir().expect("a directory");
    let (document, file) = (folder.path().join("openapi.json"), folder.path().join("their.toml"));
    let served = service.get("/openapi.json").await.text().await.expect("a text");
    fs::write(&document, served).expect("it can be written");
    let output = init(&document, &["--output", file.to_str().expect("a name")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("next: slotproof target try"), "{said}");

    let mut command = slotproof();
    command.args(["target", "try"]).arg(&file).env("TARGET_URL", &service.target);
    let output = command.output().expect("the binary runs");
    let tried = String::from_utf8_lossy(&output.stderr).into_owned();
    let draft = fs::read_to_string(&file).expect("it is there");
    assert_eq!(output.status.code(), Some(0), "{tried}\n{draft}");
    assert!(tried.contains("one seat too many -> sold_out"), "{tried}");

    let again = init(&document, &["--output", file.to_str().expect("a name")]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(64), "{said}");
    assert!(said.contains("exists already"), "{said}");
}

#[test]
fn a_document_that_gives_no_draft_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a directory");
    let document = folder.path().join("openapi.yaml");
    for (text, said) in [
        ("{ \"openapi\": ", "it is no JSON"),
        ("just words", "neither JSON nor YAML"),
        ("swagger: '2.0'\npaths: {}\n", "Swagger 2.0"),
        ("openapi: 3.1.0\npaths: {}\n", "no paths"),
        (
            "openapi: 3.0.3\npaths:\n  /news:\n    get:\n      responses:\n        200: {}\n",
            "no operation takes a seat",
        ),
    ] {
        fs::write(&document, text).expect("it can be written");
        let output = init(&document, &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{text}: {error}");
        assert!(error.contains(said), "{error} does not say {said:?}");
    }
}

#[test]
fn a_document_in_yaml_gives_a_draft_on_the_standard_output() {
    let folder = tempfile::tempdir().expect("a directory");
    let document = folder.path().join("openapi.yaml");
    let text = "
openapi: 3.0.3
info: { title: Hall }
paths:
  /events/{id}/bookings:
    post:
      responses:
        201: { description: booked, headers: { Location: {} } }
        409: { description: the event is full }
";
    fs::write(&document, text).expect("it can be written");
    let output = init(&document, &[]);
    let (draft, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(draft.contains("path = \"/events/{{ slot.id }}/bookings\""), "{draft}");
    assert!(draft.contains("status = 409, when"), "{draft}");
    assert!(said.contains("doubtful: "), "{said}");
}

#[tokio::test]
async fn a_service_that_decides_later_is_polled_as_its_file_says() {
    // A refusal of the queue is kept by its key; one of the other strategies is decided anew.
    the_reference_is_understood("queue", "replays = \"all\"").await;
}

#[tokio::test]
async fn an_answer_without_a_rule_is_shown_with_the_line_to_add_and_claims_are_written_once() {
    let service = Service::start("conditional", "60s").await;
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("their.toml");
    let text = fs::read_to_string(reference()).expect("it is kept");
    let rules = text.lines().filter(|line| !line.contains("means = \"sold_out\""));
    let without = rules.collect::<Vec<_>>().join("\n");
    let refused = "404, 405, 409, 410";
    assert!(without.contains(refused), "{without}");
    fs::write(&file, without.replace(refused, "404, 405, 410")).expect("it can be written");
    let output = try_file(&file, &service.target, &["--write"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let line = "{ status = 409, when = [[\"$.code\", \"==\", \"sold_out\"]], means = \"...\" },";
    assert!(said.contains(line), "{said}");
    let written = fs::read_to_string(&file).expect("it is there");
    assert!(written.contains("[claims]\n") && written.contains("replays"), "{written}");
    let output = try_file(&file, &service.target, &["--write"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("nothing to write"), "{said}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), written);

    // What the section says already stays, and what it lacks comes to it.
    let own = written.lines().filter(|line| !line.starts_with("replays = "));
    let own = own.collect::<Vec<_>>().join("\n").replace("[claims]", "[claims]\nstale_ms = 7");
    fs::write(&file, own).expect("it can be written");
    try_file(&file, &service.target, &["--write"]);
    let added = fs::read_to_string(&file).expect("it is there");
    assert!(added.contains("stale_ms = 7\n") && added.contains("\nreplays = "), "{added}");
    assert_eq!(added.matches("[claims]").count(), 1, "{added}");
}

#[tokio::test]
async fn what_cannot_be_tried_is_said_by_name_and_line() {
    let folder = tempfile::tempdir().expect("a directory");
    let text = fs::read_to_string(reference()).expect("it is kept");
    let line = |of: &str| 1 + text.lines().position(|line| line.contains(of)).expect(of);
    let booking = "booking = \"$.id\"";
    let no_capture = format!("line {}: reserve: \"id\" is no capture", line(booking));
    let elsewhere = format!("line {}: api.example.org is not this machine", line("base ="));
    let no_answer = format!("[[setup]] on line {}", line("[[setup]]"));
    let wrong = text.replace(booking, "booking = \"id\"");
    let cases = [
        (wrong, "http://127.0.0.1:9", 64, no_capture.as_str()),
        (text.clone(), "http://api.example.org", 64, &elsewhere),
        (text.clone(), "http://127.0.0.1:9", 69, &no_answer),
        (text.replace("slot.id", "slot.uid"), "http://127.0.0.1:9", 64, "slot.uid"),
    ];
    for (text, service, code, said) in cases {
        let file = folder.path().join("target.toml");
        fs::write(&file, text).expect("it can be written");
        let output = try_file(&file, service, &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}: {error}");
        assert!(error.contains(said), "{error} does not say {said:?}");
    }
}

#[tokio::test]
async fn a_slot_that_does_not_begin_free_is_said_before_the_load() {
    let service = Service::start("conditional", "60s").await;
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("their.toml");
    let text = fs::read_to_string(reference()).expect("it is kept");
    let smaller = text.replace("{{ slot.capacity }}", "{{ slot.capacity - 2 }}");
    assert_ne!(smaller, text);
    fs::write(&file, smaller).expect("it can be written");
    let mut command = slotproof();
    command.args(["run", "--target"]).arg(&file).args(["--capacity", "20", "--duration", "1s"]);
    command.arg("--runs").arg(folder.path()).env("SLOTPROOF_SERVICE", &service.target);
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("has 18 of 20 seats free before the load"), "{said}");
    assert!(said.contains("use --capacity 18"), "{said}");
}

/// A run on a service of the reference, through its file.
async fn run_on(strategy: &str, more: &[&str]) -> (Output, String) {
    let service = Service::start(strategy, "2s").await;
    let runs = tempfile::tempdir().expect("a directory");
    let mut command = slotproof();
    command.args(["run", "--target"]).arg(reference()).args(more);
    command.arg("--runs").arg(runs.path()).env("SLOTPROOF_SERVICE", &service.target);
    let output = command.output().expect("the binary runs");
    let run = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let page = fs::read_to_string(PathBuf::from(run).join("report.md")).unwrap_or_default();
    (output, page)
}

/// A machine that does little in a second gets a longer load.
const UNTIL_COVERED: [&str; 2] = ["--until", "covered"];
const FLASH_SALE: [&str; 8] =
    ["--clients", "60", "--capacity", "20", "--duration", "3s", "--hold", "2s"];

#[tokio::test]
async fn an_honest_service_is_upheld_through_its_file_as_far_as_clients_were_told() {
    let (output, page) = run_on("conditional", &[&FLASH_SALE[..], &UNTIL_COVERED].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(page.contains("upheld as far as clients were told"), "{page}");
    for not_judged in ["I2", "I4", "I14"] {
        let line = page.lines().find(|line| line.starts_with(&format!("| {not_judged} |")));
        assert!(line.is_some_and(|line| line.contains("not judged")), "{not_judged}: {page}");
    }
}

#[tokio::test]
async fn a_broken_service_is_convicted_through_its_file() {
    let (output, page) = run_on("off_by_one", &[&FLASH_SALE[..], &UNTIL_COVERED].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(page.contains("violated"), "{page}");
}

/// What the target file says of the reference service's log: no claim but what its tables hold.
const LOG: &str = r#"
[log]
records_expiry = true
sql.url = { env = "SLOTPROOF_LOG_URL" }
sql.query = """
select slot_id as slot, slot_version as version, booking_id as booking, to_status as status, seats,
    available_seats as available
from booking_audit
"""
"#;

/// A run on a service whose log is read by a role that can do nothing else.
async fn run_with_its_log(strategy: &str, log: &str) -> (Output, String) {
    let text = fs::read_to_string(reference()).expect("it is kept") + log;
    run_by_file(strategy, &text, &UNTIL_COVERED).await
}

/// A run through a target file of this text, which may read the log.
async fn run_by_file(strategy: &str, text: &str, more: &[&str]) -> (Output, String) {
    run_by_file_for("3s", strategy, text, more).await
}

async fn run_by_file_for(
    duration: &str,
    strategy: &str,
    text: &str,
    more: &[&str],
) -> (Output, String) {
    let url = fresh_database().await;
    let variables = [("SLOTPROOF_DATABASE_URL", url.as_str()), ("SLOTPROOF_HOLD", "2s")];
    let service = Service::start_with(strategy, &variables).await;
    eventually("the service is ready", async || service.get("/readyz").await.status() == 200).await;
    let mut reader = reqwest::Url::parse(&url).expect("a URL");
    let role = format!("{}_reader", reader.path().trim_start_matches('/'));
    let mut database = PgConnection::connect(&url).await.expect("the server answers");
    let grants = format!(
        "create role {role} login password 'reader'; grant select on booking_audit, bookings to {role};"
    );
    database.execute(sqlx::AssertSqlSafe(grants)).await.expect("a role");
    reader.set_username(&role).and(reader.set_password(Some("reader"))).expect("it can have one");

    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("their.toml");
    fs::write(&file, text).expect("it can be written");
    let mut command = slotproof();
    command.args(["run", "--target"]).arg(&file);
    command.args(FLASH_SALE.map(|word| if word == "3s" { duration } else { word })).args(more);
    // A control may leave operations without a decision.
    command.args(["--errors-max", "100%"]);
    command.arg("--runs").arg(folder.path()).env("SLOTPROOF_SERVICE", &service.target);
    let output = command.env("SLOTPROOF_LOG_URL", reader.as_str()).output().expect("it runs");
    database.close().await.expect("it closes");
    let run = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let page = fs::read_to_string(PathBuf::from(run).join("report.md")).unwrap_or_default();
    (output, page)
}

#[tokio::test]
async fn a_log_lets_what_clients_cannot_see_be_judged() {
    let (output, page) = run_with_its_log("conditional", LOG).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!page.contains("as far as clients were told"), "{page}");
    for judged in ["I2", "I6", "I7", "I13"] {
        let line = page.lines().find(|line| line.starts_with(&format!("| {judged} |")));
        assert!(line.is_some_and(|line| line.contains("upheld")), "{judged}: {page}");
    }

    // Clients are told what is true; the log shows a seat more of each booking.
    let more = LOG.replace("status, seats,", "status, seats + 1 as seats,");
    let (output, page) = run_with_its_log("conditional", &more).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}\n{page}");
    let line = page.lines().find(|line| line.starts_with("| I2 |"));
    assert!(line.is_some_and(|line| line.contains("violated")), "{page}");
    // Its records are written apart from the bookings. Where two bookings meet, they differ; a slow
    // machine needs longer for that.
    let text = fs::read_to_string(reference()).expect("it is kept") + LOG;
    let mut codes = Vec::new();
    for duration in ["3s", "6s", "12s", "24s"] {
        let (output, _) = run_by_file_for(duration, "audit_apart", &text, &[]).await;
        codes.push(output.status.code());
        if codes.last() != Some(&Some(0)) {
            break;
        }
    }
    assert!(matches!(codes.last(), Some(Some(1 | 2))), "{codes:?}");
}

#[tokio::test]
async fn a_log_without_the_bookings_that_clients_were_told_of_decides_nothing() {
    let first_page = LOG.replace("from booking_audit", "from booking_audit where slot_version < 4");
    let kept = fs::read_to_string(reference()).expect("it is kept");
    let (output, page) = run_by_file("conditional", &(kept + &first_page), &[]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(page.contains("the log has 3 changes of these slots, and none of booking"), "{page}");
}

#[tokio::test]
async fn rows_and_a_log_convict_no_honest_service() {
    let both = LOG.to_owned()
        + r#"
[rows]
ended_are_kept = true
sql.url = { env = "SLOTPROOF_LOG_URL" }
sql.query = "select slot_id as slot, booking_id as booking, status, seats, idempotency_key as key from bookings"
"#;
    let (output, page) = run_with_its_log("conditional", &both).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for judged in ["I2", "I3", "I4", "I13"] {
        let line = page.lines().find(|line| line.starts_with(&format!("| {judged} |")));
        assert!(line.is_some_and(|line| line.contains("upheld")), "{judged}: {page}");
    }
}

#[tokio::test]
async fn a_log_that_is_no_log_is_refused_before_the_load() {
    let no_expiry = LOG.replace("records_expiry = true\n", "");
    let no_version = LOG.replace("slot_version as version, ", "");
    for (log, code, said) in [
        (no_expiry, 64, "say records_expiry = true"),
        (no_version, 69, "the query has no column version"),
    ] {
        let (output, page) = run_with_its_log("conditional", &log).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), page.as_str()), (Some(code), ""), "{error}");
        assert!(error.contains(said), "{error} does not say {said:?}");
    }
}

#[tokio::test]
async fn a_fault_that_the_file_declares_is_injected_and_one_that_fails_decides_nothing() {
    let service = Service::start("conditional", "2s").await;
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("their.toml");
    let pid = service.pid();
    let faults = format!(
        "\n[stack]\nready = \"/readyz\"\n[[stack.fault]]\nname = \"stall\"\n\
         inject = \"kill -STOP {pid}\"\nheal = \"kill -CONT {pid}\"\n\
         [[stack.fault]]\nname = \"broken\"\ninject = \"exit 3\"\n"
    );
    let text = fs::read_to_string(reference()).expect("it is kept") + &faults;
    fs::write(&file, text).expect("it can be written");
    let run = |fault: &str| {
        let mut command = slotproof();
        command.args(["run", "--target"]).arg(&file).args(FLASH_SALE).args(["--fault", fault]);
        command.args(["--errors-max", "100%", "--runs"]).arg(folder.path());
        let output = command.env("SLOTPROOF_SERVICE", &service.target).output().expect("it runs");
        let run = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), run, said)
    };
    let (code, stalled, said) = run("target:stall@500ms for 700ms");
    // On a slow machine the slot may not be sold out in what is left of the load.
    assert!(matches!(code, Some(0 | 2)) && !said.contains("did not take"), "{said}");
    let injected = fs::read(stalled.join("faults.json")).expect("it is noted");
    let injected: serde_json::Value = serde_json::from_slice(&injected).expect("JSON");
    let at = |name: &str| injected[0][name].as_u64().expect("a time");
    assert!(at("ended_ms") >= at("began_ms") + 700, "{injected:#}");

    let (code, broken, said) = run("target:broken@500ms");
    assert_eq!(code, Some(2), "{said}");
    let page = fs::read_to_string(broken.join("report.md")).expect("it is there");
    assert!(
        page.contains("the fault target:broken@500ms did not take: \\`exit 3\\` ended"),
        "{page}"
    );

    let (code, _, said) = run("target:other@1s");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("no such [[stack.fault]]: it declares stall, broken"), "{said}");
}

#[tokio::test]
async fn slots_that_are_spread_and_read_are_upheld_through_the_file() {
    let more = ["--scenario", "hot_and_cold", "--slots", "3", "--capacity", "5", "--think", "0s"];
    let load = ["--clients", "40", "--duration", "3s", "--hold", "1s"];
    let words = [&more[..], &load[..], &UNTIL_COVERED].concat();
    let (output, _) = run_on("pessimistic", &words).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn a_retry_storm_goes_through_the_file_and_resends_by_its_keys() {
    let more = ["--scenario", "retry_storm", "--slots", "1", "--capacity", "5", "--resend", "3ms"];
    let load = ["--clients", "60", "--duration", "3s", "--hold", "1s"];
    let (output, page) = run_on("conditional", &[&more[..], &load[..]].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // On a slow machine most operations have no answer, and an order may not be found in time.
    assert!(matches!(output.status.code(), Some(0 | 2)), "{said}");
    // It is judged only where some key was sent twice.
    let line = page.lines().find(|line| line.starts_with("| I5 |"));
    assert!(line.is_some_and(|line| line.contains("upheld")), "{page}");
}

#[tokio::test]
async fn a_load_that_a_target_file_cannot_carry_is_refused_by_name() {
    let kept = fs::read_to_string(reference()).expect("it is kept");
    let (before, after) = kept.split_once("[idempotency]").expect("it has keys");
    let (_, after) = after.split_once("\n\n").expect("the next section");
    let folder = tempfile::tempdir().expect("a directory");
    let without_keys = folder.path().join("target.toml");
    fs::write(&without_keys, [before, after].concat()).expect("it can be written");
    for (file, more, said) in [
        (without_keys, &["--scenario", "retry_storm"][..], "--attempts 1"),
        (reference(), &["--strategy", "conditional"], "strategy conditional is of the reference"),
        (reference(), &["--fault", "kill-worker@1s"], "[[stack.fault]]"),
    ] {
        let mut command = slotproof();
        command.args(["run", "--target"]).arg(file).args(more).current_dir(folder.path());
        let output = command.env("SLOTPROOF_SERVICE", "http://127.0.0.1:9").output().expect("runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(error.contains(said), "{error} does not say {said:?}");
    }
}
