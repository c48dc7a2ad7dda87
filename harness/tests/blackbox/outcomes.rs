//! The three outcomes: compare, capacity and gate, and the pages of what they leave.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
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
    let output = command.output().expect("the binary runs");
    let last =
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    let directory = Path::new(&last).parent().map(Path::to_path_buf).unwrap_or_default();
    Asked { output, directory, folder }
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
async fn a_gate_stops_an_overbooking_and_the_witness_convicts_alone() {
    let asked = ask(&["gate", "--strategy", "unprotected"], Some(("--config", CHECK))).await;
    assert_eq!(asked.code(), 1, "{}", asked.said());
    let junit = asked.text("junit.xml");
    assert!(
        junit.contains("I1 never more seats promised") && junit.contains("returned ms"),
        "{junit}"
    );
    assert!(junit.contains("repeat: slotproof run") && junit.contains("name=\"seed\""), "{junit}");
    let said = String::from_utf8_lossy(&asked.output.stdout).into_owned();
    assert!(
        said.starts_with("::error title=slotproof%3A flash sale violated with unprotected::I1"),
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

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_nothing_is_begun() {
    let cases = [
        (vec!["gate"], Some(("--config", "[[check]]\nname = 3\n")), "line 2"),
        (vec!["gate", "--baseline", "/nowhere"], Some(("--config", CHECK)), "--record"),
        (vec!["gate", "--record"], Some(("--config", CHECK)), "no [performance]"),
        (vec!["capacity"], Some(("--claims", "strategy = \"queue\"\n")), "objective"),
        (vec!["compare", "--strategies", "fast"], None, "fast"),
        (vec!["compare", "--rounds", "0"], None, "--rounds"),
        (vec!["compare", "--clients", "9,9"], None, "--clients lists 9 twice"),
        (vec!["compare", "--loads", "hot_slot,cold_slot"], None, "hot_slot or many_slots"),
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
        ["compare", "--strategies", "conditional,pessimistic,unprotected", "--loads", "flash_sale"];
    let more = ["--clients", "100", "--rounds", "2", "--duration", "2s", "--warm-up", "200ms"];
    let asked = ask(&[&arguments[..], &more[..]].concat(), None).await;
    assert_eq!(asked.code(), 0, "a control that is convicted is no failure: {}", asked.said());
    let comparison = asked.json("comparison.json");
    let cells = comparison["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 3);
    for cell in cells {
        let verdict = if cell["strategy"] == "unprotected" { "violated" } else { "upheld" };
        assert_eq!(cell["verdict"], verdict, "{cell:#}");
        assert_eq!(cell["rounds"].as_array().expect("rounds").len(), 2);
        assert!(cell["estimates"]["goodput"]["median"].as_f64().expect("it was measured") > 0.0);
    }
    let text = asked.text("report.md");
    assert!(
        text.contains("Disqualified: unprotected")
            && text.contains("| unprotected | violated | disqualified |"),
        "{text}"
    );

    let folder = asked.directory.parent().expect("the folder of runs");
    let index = slotproof().arg("report").arg(folder).output().expect("the binary runs");
    assert!(index.status.success(), "{}", String::from_utf8_lossy(&index.stderr));
    let page = fs::read_to_string(folder.join("index.html")).expect("the index");
    assert!(page.contains("Disqualified: unprotected"), "{page}");
    let empty = tempfile::tempdir().expect("a directory");
    let refused = slotproof().arg("report").arg(empty.path()).output().expect("the binary runs");
    assert_eq!(refused.status.code(), Some(64));
}

#[tokio::test]
async fn a_capacity_search_ends_in_a_bracket_and_judges_every_claim() {
    let claims = r#"
strategy = "conditional"
objective = { p99 = "400ms", errors = 0.0 }
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
    let arguments =
        ["capacity", "--quick", "--window", "700ms", "--rounds", "1", "--start", "60/s"];
    let asked = ask(&arguments, Some(("--claims", claims))).await;
    assert_eq!(asked.code(), 0, "{}", asked.said());
    let capacity = asked.json("capacity.json");
    let holds = capacity["bracket"]["holds"]["visits_per_s"].as_f64().expect("some rate holds");
    let probes = capacity["probes"].as_array().expect("probes");
    let confirmed =
        probes.iter().rfind(|probe| probe["phase"] == "confirmation").expect("it was confirmed");
    assert_eq!(
        (confirmed["held"].as_str(), confirmed["asked_per_s"].as_f64()),
        (Some("holds"), Some(holds))
    );
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
    assert!(asked.text("report.md").contains("Little's law"), "{}", asked.text("report.md"));
}
