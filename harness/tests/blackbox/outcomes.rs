//! The three outcomes: compare, capacity and gate, and the pages of what they leave.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::stack::{endpoints, fresh_database, slotproof};

/// Everything that a test leaves, and what it asked for.
struct Asked {
    output: Output,
    directory: PathBuf,
    /// Keeps the files until the test ends.
    folder: tempfile::TempDir,
}

impl Asked {
    fn code(&self) -> i32 {
        self.output.status.code().expect("it ended by itself")
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}; {}", self.said()))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).expect(name)
    }
}

/// Asks on the shared servers, in a database of its own.
async fn ask(arguments: &[&str], file: Option<(&str, &str)>) -> Asked {
    let (mut command, folder) = question(arguments, file).await;
    let output = command.output().expect("the binary runs");
    let last =
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    let directory = Path::new(&last).parent().map(Path::to_path_buf).unwrap_or_default();
    Asked { output, directory, folder }
}

/// A command on the shared servers, with a database and a folder of its own.
pub(crate) async fn question(
    arguments: &[&str],
    file: Option<(&str, &str)>,
) -> (Command, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a directory");
    let database_url = fresh_database().await;
    let mut command = slotproof();
    command.args(arguments);
    if let Some((flag, text)) = file {
        let path = folder.path().join("given.toml");
        fs::write(&path, text).expect("it can be written");
        command.arg(flag).arg(path);
    }
    let runs = folder.path().join("runs");
    command.args(["--environment", "external", "--runs"]).arg(&runs);
    command
        .env("SLOTPROOF_POSTGRES_URL", database_url)
        .env("SLOTPROOF_REDIS_URL", &endpoints().await.redis_url)
        .env_remove("GITHUB_STEP_SUMMARY")
        .env("GITHUB_ACTIONS", "true");
    (command, folder)
}

const CHECK: &str = r#"
[[check]]
name = "flash sale"
strategies = ["conditional"]
[check.plan]
clients = 150
capacity = 40
duration = "3s"
hold = "600ms"
"#;

#[tokio::test]
async fn a_gate_passes_what_is_upheld_and_leaves_what_ci_reads() {
    let asked = ask(&["gate"], Some(("--config", CHECK))).await;
    assert_eq!(asked.code(), 0, "{}", asked.said());
    let gate = asked.json("gate.json");
    assert_eq!(gate["checks"][0]["strategy"], "conditional");
    assert!(asked.text("junit.xml").contains("failures=\"0\""), "{}", asked.text("junit.xml"));
    assert!(asked.text("badge.json").contains("brightgreen"));
    assert!(
        asked.text("report.md").contains("passed")
            && asked.text("report.html").contains("flash sale")
    );
    let again = slotproof().arg("report").arg(&asked.directory).output().expect("the binary runs");
    let before = asked.text("report.html");
    assert!(
        again.status.success() && asked.text("report.html") == before,
        "drawn again it is the same"
    );
}

#[tokio::test]
async fn a_gate_that_passes_is_not_failed_by_a_step_summary_that_cannot_be_written() {
    let (mut command, folder) = question(&["gate"], Some(("--config", CHECK))).await;
    let nowhere = folder.path().join("gone").join("summary.md");
    let output = command.env("GITHUB_STEP_SUMMARY", nowhere).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: the step summary") && said.contains("No such file"), "{said}");

    let (mut command, folder) = question(&["gate"], Some(("--config", CHECK))).await;
    let summary = folder.path().join("summary.md");
    fs::write(&summary, "# another step\n").expect("it can be written");
    let output = command.env("GITHUB_STEP_SUMMARY", &summary).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&summary).expect("it is there");
    assert!(text.starts_with("# another step\n") && text.contains("flash sale"), "{text}");
}

#[tokio::test]
async fn a_gate_stops_an_overbooking_and_the_witness_convicts_alone() {
    // Holds outlast the load: I1 sees seats of late answers as held, too.
    let check = CHECK.replace("600ms", "10s");
    let asked = ask(&["gate", "--strategy", "off_by_one"], Some(("--config", &check))).await;
    assert_eq!(asked.code(), 1, "{}", asked.said());
    let junit = asked.text("junit.xml");
    assert!(
        junit.contains("I1 never more seats promised") && junit.contains("returned ms"),
        "{junit}"
    );
    assert!(junit.contains("repeat: slotproof run") && junit.contains("name=\"seed\""), "{junit}");
    let said = String::from_utf8_lossy(&asked.output.stdout).into_owned();
    assert!(
        said.starts_with("::error title=slotproof%3A flash sale violated with off_by_one::I1"),
        "{said}"
    );
    let evidence = asked.json("gate.json")["checks"][0]["ran"]["evidence"][0]
        .as_str()
        .expect("a file")
        .to_owned();
    let alone = slotproof()
        .arg("check")
        .arg(asked.directory.join(&evidence))
        .args(["--capacity", "40"])
        .output()
        .expect("the binary runs");
    assert_eq!(
        alone.status.code(),
        Some(1),
        "{evidence}: {}",
        String::from_utf8_lossy(&alone.stderr)
    );
}

#[tokio::test]
async fn a_gate_is_unknown_where_nothing_was_at_stake_and_misses_what_is_too_slow() {
    let idle = CHECK.replace("capacity = 40", "capacity = 100000").replace("3s", "1s");
    let idle = ask(&["gate"], Some(("--config", &idle))).await;
    assert_eq!(idle.code(), 2, "{}", idle.said());
    let slow = format!("{CHECK}[check.objectives]\np99 = \"1ms\"\n");
    let slow = ask(&["gate"], Some(("--config", &slow))).await;
    assert_eq!(slow.code(), 3, "{}", slow.said());
    assert!(slow.text("junit.xml").contains("type=\"objective\""));
    let spent = ask(&["gate"], Some(("--config", &format!("budget = \"0s\"\n{CHECK}")))).await;
    assert_eq!(spent.code(), 2, "{}", spent.said());
    assert!(spent.text("report.md").contains("budget was spent"), "{}", spent.text("report.md"));
}

/// Claims of which no plan can be made, and one of which it can.
const TOO_MANY: &str = "strategy = \"pessimistic\"\nobjective = { p99 = \"1s\", errors = 0.0 }\n[[claim]]\nid = \"a\"\nsays = \"b\"\nkind = \"contention\"\nstrategy = \"pessimistic\"\nclients = 10001\n";
const TOO_FAST: &str = "strategy = \"pessimistic\"\nobjective = { p99 = \"1s\", errors = 0.0 }\n[[claim]]\nid = \"a\"\nsays = \"b\"\nkind = \"latency\"\nrate = \"1000000/s\"\np99 = \"1s\"\n";
const SOUND: &str = "strategy = \"pessimistic\"\nobjective = { p99 = \"1s\", errors = 0.0 }\n[[claim]]\nid = \"a\"\nsays = \"b\"\nkind = \"size\"\nbytes = \"1GB\"\n";

/// A program that does as ours, and a tolerance that no luck of a shared machine exceeds.
const PERFORMANCE: &str = r#"
[performance]
strategy = "conditional"
rounds = 3
tolerance = 0.95
[performance.plan]
clients = 60
capacity = 40
duration = "1s"
hold = "600ms"
"#;

async fn gate_of_performance(more: &[&str], performance: &str) -> Asked {
    let config = format!("{CHECK}{performance}");
    ask(&[&["gate"], more].concat(), Some(("--config", &config))).await
}

#[tokio::test]
async fn a_recorded_baseline_and_the_same_program_are_no_regression() {
    let recorded = gate_of_performance(&["--record"], PERFORMANCE).await;
    assert_eq!(recorded.code(), 0, "{}", recorded.said());
    let performance = &recorded.json("gate.json")["performance"];
    assert_eq!(performance["measures"][0]["head"].as_array().map(Vec::len), Some(6));
    assert!(recorded.text("report.md").contains("nothing was compared"));
    let directory = recorded.directory.to_str().expect("plain").to_owned();

    let stored = gate_of_performance(&["--baseline", &directory], PERFORMANCE).await;
    assert_eq!(stored.code(), 0, "{}", stored.said());
    let text = stored.text("report.md");
    assert!(text.contains("not paired") && text.contains("Undecided does not fail"), "{text}");
    assert_eq!(stored.json("gate.json")["performance"]["rounds_lay"], "apart");

    let program = env!("CARGO_BIN_EXE_slotproof");
    let same = gate_of_performance(&["--baseline", program], PERFORMANCE).await;
    assert_eq!(same.code(), 0, "{}", same.said());
    let performance = &same.json("gate.json")["performance"];
    assert_eq!(performance["rounds_lay"], "in_turns");
    assert_eq!(performance["measures"][1]["base"].as_array().map(Vec::len), Some(3));
    for measure in performance["measures"].as_array().expect("measures") {
        let ratio = &measure["ratio"];
        let (low, high) = (ratio["low"].as_f64(), ratio["high"].as_f64());
        assert!(low < high && high.is_some(), "paired rounds have an interval: {measure:#}");
    }

    // What was recorded elsewhere, or is no baseline, is refused by name before anything starts.
    let other = tempfile::tempdir().expect("a directory");
    let file = other.path().join("gate.json");
    let mut gate = recorded.json("gate.json");
    let cpus = gate["performance"]["environment"]["cpus"].as_u64().expect("a number");
    gate["performance"]["environment"]["cpus"] = (cpus + 62).into();
    let elsewhere = format!("another machine ({} CPUs", cpus + 62);
    let plan = PERFORMANCE.replace("capacity = 40", "capacity = 41");
    let mut unmeasured = recorded.json("gate.json");
    unmeasured["performance"] = Value::Null;
    let cases = [
        (gate.to_string(), PERFORMANCE, elsewhere.as_str()),
        (recorded.text("gate.json"), &plan, "another plan"),
        (recorded.text("gate.json").replace('}', ""), PERFORMANCE, "is not a gate.json"),
        (unmeasured.to_string(), PERFORMANCE, "measured no performance"),
    ];
    for (text, performance, said) in cases {
        fs::write(&file, text).expect("it can be written");
        let directory = other.path().to_str().expect("plain");
        let refused = gate_of_performance(&["--baseline", directory], performance).await;
        assert_eq!(refused.code(), 64, "{said}: {}", refused.said());
        assert!(refused.said().contains(said), "{} does not say {said:?}", refused.said());
        assert!(!refused.folder.path().join("runs").exists(), "{said}: something was begun");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_nothing_is_begun() {
    let cases = [
        (vec!["gate"], Some(("--config", "[[check]]\nname = 3\n")), "line 2"),
        (vec!["gate", "--baseline", "/nowhere"], Some(("--config", CHECK)), "--record"),
        (vec!["gate", "--baseline", "/bin/true"], Some(("--config", CHECK)), "not a build"),
        (vec!["gate", "--record"], Some(("--config", CHECK)), "no [performance]"),
        (vec!["capacity"], Some(("--claims", "strategy = \"queue\"\n")), "objective"),
        (vec!["capacity"], Some(("--claims", TOO_MANY)), "line 3: clients must be 2 to 10000"),
        (vec!["capacity", "--window", "60s"], Some(("--claims", TOO_FAST)), "line 3: rate"),
        (vec!["capacity", "--start", "0.5/s"], Some(("--claims", SOUND)), "--start"),
        (vec!["capacity", "--window", "20h"], Some(("--claims", SOUND)), "--window"),
        (vec!["capacity", "--fill", "1GB"], Some(("--claims", SOUND)), "--environment native"),
        (vec!["compare", "--strategies", "fast"], None, "fast"),
        (vec!["compare", "--rounds", "0"], None, "--rounds"),
        (vec!["compare", "--clients", "9,9"], None, "--clients lists 9 twice"),
        (
            vec!["compare", "--loads", "hot_slot,cold_slot"],
            None,
            "hot_slot, many_slots or mostly_reads",
        ),
        (vec!["compare", "--topologies", "single"], None, "compared with nothing"),
        (vec!["compare", "--topologies", "single,cached"], None, "--environment native"),
    ];
    for (arguments, file, said) in cases {
        let asked = ask(&arguments, file).await;
        assert_eq!(asked.code(), 64, "{arguments:?}: {}", asked.said());
        assert!(
            asked.said().contains(said),
            "{arguments:?}: {} does not say {said:?}",
            asked.said()
        );
        assert!(!asked.folder.path().join("runs").exists(), "{arguments:?}: something was begun");
    }
}

#[tokio::test]
async fn a_comparison_disqualifies_what_was_violated_and_ranks_the_rest() {
    let arguments =
        ["compare", "--strategies", "conditional,pessimistic,off_by_one", "--loads", "flash_sale"];
    let more = [
        "--clients",
        "30",
        "--rounds",
        "2",
        "--budget",
        "0s",
        "--duration",
        "3s",
        "--warm-up",
        "200ms",
    ];
    let asked = ask(&[&arguments[..], &more[..]].concat(), None).await;
    assert_eq!(asked.code(), 0, "a control that is convicted is no failure: {}", asked.said());
    let comparison = asked.json("comparison.json");
    let cells = comparison["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 3);
    for cell in cells {
        let verdict = if cell["variant"] == "off_by_one" { "violated" } else { "upheld" };
        assert_eq!(cell["verdict"], verdict, "{cell:#}");
        assert_eq!(cell["rounds"].as_array().expect("rounds").len(), 2);
        assert!(cell["estimates"]["goodput"]["median"].as_f64().expect("it was measured") > 0.0);
    }
    let text = asked.text("report.md");
    assert!(
        text.contains("Disqualified: off_by_one")
            && text.contains("| off_by_one | violated | disqualified |"),
        "{text}"
    );

    let folder = asked.directory.parent().expect("the folder of runs");
    let index = slotproof().arg("report").arg(folder).output().expect("the binary runs");
    assert!(index.status.success(), "{}", String::from_utf8_lossy(&index.stderr));
    let page = fs::read_to_string(folder.join("index.html")).expect("the index");
    assert!(page.contains("Disqualified: off_by_one"), "{page}");
    let empty = tempfile::tempdir().expect("a directory");
    let refused = slotproof().arg("report").arg(empty.path()).output().expect("the binary runs");
    assert_eq!(refused.status.code(), Some(64));
}

#[tokio::test]
async fn a_capacity_search_ends_in_a_bracket_and_judges_every_claim() {
    let claims = r#"
strategy = "conditional"
objective = { p99 = "10s", errors = 0.0 }
[load]
scenario = "hot_and_cold"
slots = 10
capacity = 500
hold = "300ms"
[[claim]]
id = "little"
says = "5 requests/second"
kind = "throughput"
rate = "5/s"
nodes = 1
[[claim]]
id = "much"
says = "a million requests/second on this machine"
kind = "throughput"
rate = "1000000/s"
nodes = 1
[[claim]]
id = "people"
says = "50 people at once"
kind = "users"
users = 50
think = "10s"
[[claim]]
id = "retries"
says = "it never has to try again"
kind = "retries"
strategy = "pessimistic"
clients = 20
"#;
    let arguments = ["capacity", "--quick", "--window", "1s", "--rounds", "1", "--start", "60/s"];
    let asked = ask(&arguments, Some(("--claims", claims))).await;
    assert_eq!(asked.code(), 0, "{}", asked.said());
    let capacity = asked.json("capacity.json");
    let holds = capacity["bracket"]["holds"]["visits_per_s"]
        .as_f64()
        .unwrap_or_else(|| panic!("some rate holds: {capacity:#}"));
    let probes = capacity["probes"].as_array().expect("probes");
    let confirmed: Vec<_> = probes
        .iter()
        .filter(|probe| {
            probe["phase"] == "confirmation"
                && probe["rate_per_s"] == capacity["bracket"]["holds"]["rate_per_s"]
        })
        .collect();
    assert!(confirmed.len() >= 2, "{capacity:#}");
    let at_holds = &capacity["bracket"]["at_holds"];
    assert!(at_holds["held"].as_u64() > at_holds["failed"].as_u64(), "{at_holds:#}");
    for probe in confirmed.into_iter().filter(|probe| probe["held"] == "holds") {
        let p99 = &probe["response_p99"];
        let (low, us, high) =
            (p99["interval"]["low"].as_u64(), p99["us"].as_u64(), p99["interval"]["high"].as_u64());
        assert!(low <= us && us <= high && high <= Some(10_000_000), "{probe:#}");
        assert!(p99["operations"].as_u64() >= Some(368), "{probe:#}");
        assert!(p99["beyond"].as_u64() > Some(0), "{probe:#}");
    }
    let machine = &capacity["machine"];
    assert!(machine["single_core_per_s"]["median"].as_f64() > Some(0.0), "{machine:#}");
    assert!(machine["durable_commits_per_s"]["low"].as_f64() > Some(0.0), "{machine:#}");
    let residuals = capacity["by_clients"]["usl"]["residuals"].as_array().expect("residuals");
    assert_eq!(residuals.len(), 4);
    if let Some(fails) = capacity["bracket"]["fails"]["visits_per_s"].as_f64() {
        assert!(holds < fails);
    }
    assert!(
        capacity["by_clients"]["usl"]["lambda"]["median"].as_f64().expect("it was fitted") > 0.0
    );
    let verdicts: Vec<&str> = capacity["claims"]
        .as_array()
        .expect("claims")
        .iter()
        .map(|claim| claim["verdict"].as_str().expect("a verdict"))
        .collect();
    assert_eq!((verdicts[0], verdicts[2]), ("supported", "supported"), "{capacity:#}");
    assert_ne!(verdicts[1], "supported");
    let text = asked.text("report.md");
    assert!(text.contains("Little's law"), "{text}");
    assert!(text.contains("supported on this machine"), "{text}");
    assert!(text.contains("loads kept the objective"), "{text}");
}

#[tokio::test]
async fn a_violated_invariant_ends_a_capacity_search_and_is_its_headline() {
    let claims = r#"
strategy = "off_by_one"
objective = { p99 = "2s", errors = 0.0 }
[load]
scenario = "hot_and_cold"
slots = 2
capacity = 20
hold = "300ms"
[[claim]]
id = "much"
says = "10,000 requests/second"
kind = "throughput"
rate = "10000/s"
"#;
    let arguments = ["capacity", "--quick", "--window", "1s", "--rounds", "1", "--start", "400/s"];
    let asked = ask(&arguments, Some(("--claims", claims))).await;
    assert_eq!(asked.code(), 1, "{}", asked.said());
    let capacity = asked.json("capacity.json");
    let probes = capacity["probes"].as_array().expect("probes");
    let violated = probes.iter().position(|probe| probe["verdict"] == "violated");
    assert_eq!(violated, Some(probes.len() - 1), "it was the last: {capacity:#}");
    assert_eq!(capacity["by_clients"]["points"].as_array().map(Vec::len), Some(0));
    assert_eq!(capacity["claims"][0]["verdict"], "not_measurable_here");
    let text = asked.text("report.md");
    let first = text.lines().nth(2).expect("the headline");
    assert!(first.contains("is violated"), "{text}");
}
