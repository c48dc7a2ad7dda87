//! `slotproof compare` on plans, beside an earlier comparison, and what it refuses.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::stack::{endpoints, fresh_database, slotproof};

/// Clients that pause for long, so that the throughput follows their number on a slow machine too.
fn plan(clients: u32, timeout: &str) -> String {
    format!(
        "scenario = \"steady\"\nstrategy = \"conditional\"\nclients = {clients}\n\
         think = \"400ms\"\nmix = \"buy=1\"\nslots = 20\ncapacity = 500\nhold = \"600ms\"\n\
         duration = \"2s\"\nwarm_up = \"100ms\"\ntimeout = \"{timeout}\"\n"
    )
}

async fn compare(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = slotproof();
    command
        .current_dir(folder)
        .arg("compare")
        .args(arguments)
        .args(["--environment", "external", "--runs", "runs"])
        .env("SLOTPROOF_POSTGRES_URL", fresh_database().await)
        .env("SLOTPROOF_REDIS_URL", &endpoints().await.redis_url);
    command
}

#[tokio::test]
async fn plans_are_compared_and_an_earlier_comparison_is_set_beside() {
    let folder = tempfile::tempdir().expect("a directory");
    for (name, clients) in [("many.toml", 24), ("few.toml", 6)] {
        fs::write(folder.path().join(name), plan(clients, "30s")).expect("it can be written");
    }
    let plans = ["--plan", "many.toml", "--plan", "few.toml", "--rounds", "2", "--budget", "0s"];
    let output = compare(folder.path(), &plans).await.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Seats are to spare, so I15 is not reached: the plans are ranked, and not called upheld.
    assert_eq!(output.status.code(), Some(2), "{said}");
    let page = String::from_utf8(output.stdout).expect("a path");
    let earlier = Path::new(page.trim()).parent().expect("a directory").to_owned();
    let text = fs::read(earlier.join("comparison.json")).expect("it was written");
    let comparison: Value = serde_json::from_slice(&text).expect("JSON");
    let contrast = comparison["contrasts"]
        .as_array()
        .expect("contrasts")
        .iter()
        .find(|it| it["aspect"] == "throughput")
        .expect("two plans have one");
    assert_eq!((&contrast["variant"], &contrast["best"]), (&"few".into(), &"many".into()));
    let ratio = contrast["ratio"]["median"].as_f64().expect("two rounds");
    assert!((0.05..0.8).contains(&ratio), "a quarter of the clients, and {ratio} of the bookings");

    let beside = ["--against", earlier.to_str().expect("text")];
    let output = compare(folder.path(), &[&plans[..], &beside[..]].concat())
        .await
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let name = earlier.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(said.contains(&format!("Beside {name}")), "{said}");

    let mut elsewhere = comparison;
    elsewhere["environment"]["cpus"] = 4_096.into();
    fs::write(earlier.join("comparison.json"), elsewhere.to_string()).expect("it can be written");
    let output = compare(folder.path(), &[&plans[..], &beside[..]].concat())
        .await
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("it was made with 4096 CPUs"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_compared_is_refused_by_name_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a directory");
    let no_strategy = plan(40, "30s").replace("strategy = \"conditional\"\n", "");
    for (name, text) in [
        ("one.toml", plan(40, "30s")),
        ("same.toml", format!("{}seed = 9\n", plan(40, "30s"))),
        ("other.toml", plan(40, "20s")),
        ("none.toml", no_strategy),
        ("wrong.toml", plan(0, "30s")),
    ] {
        fs::write(folder.path().join(name), text).expect("it can be written");
    }
    let cases: [(&[&str], &str); 8] = [
        (&["--plan", "one.toml"], "one plan alone is compared with nothing"),
        (&["--plan", "one.toml", "--plan", "same.toml"], "same and one are the same plan"),
        (&["--plan", "one.toml", "--plan", "none.toml"], "none.toml names no strategy"),
        (&["--plan", "one.toml", "--plan", "wrong.toml"], "wrong.toml cannot be run"),
        (&["--plan", "one.toml", "--plan", "other.toml", "--loads", "hot_slot"], "--loads"),
        (&["--margin", "0%"], "--margin 0% makes no sense"),
        (&["--offered", "half"], "of_slowest"),
        (&["--strategies", "conditional", "--against", "."], "no comparison.json"),
    ];
    for (arguments, said) in cases {
        let output = compare(folder.path(), arguments).await.output().expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error} does not say {said:?}");
        assert!(!folder.path().join("runs").exists(), "{arguments:?}: something was begun");
    }
}

#[test]
fn topologies_are_compared_by_one_strategy_and_each_has_servers_of_its_own() {
    let folder = tempfile::tempdir().expect("a directory");
    let compare = |topologies: &str| {
        let words = "--loads mostly_reads,flash_sale --clients 60 --rounds 1 --duration 1s \
                     --budget 0s --offered saturating";
        let mut command = slotproof();
        command.args(["compare", "--topologies", topologies]).args(words.split_whitespace());
        command.arg("--runs").arg(folder.path()).output().expect("the binary runs")
    };
    let output = compare("single,cached,cache_decides");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // What is broken on purpose is disqualified, and is no failure.
    assert_eq!(output.status.code(), Some(0), "{said}");
    let page = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let text = fs::read(page.with_file_name("comparison.json")).expect("it was written");
    let comparison: Value = serde_json::from_slice(&text).expect("JSON");
    let of = |name: &str| {
        let cells = comparison["cells"].as_array().expect("cells").iter();
        let verdicts = cells.filter(|it| it["variant"] == name).map(|it| it["verdict"].as_str());
        verdicts.map(|it| it.expect("a verdict").to_owned()).collect::<Vec<_>>()
    };
    assert!(of("cache_decides").contains(&"violated".to_owned()), "{said}");
    assert_eq!((of("single").len(), of("cached").len()), (2, 2));
    assert!(!of("single").iter().chain(&of("cached")).any(|it| it == "violated"), "{said}");
    // `cached` announces nothing, so `single` was not to do so either.
    let servers = |variant: &Value| {
        let components = variant["topology"]["components"].as_array().expect("servers").iter();
        components.map(|it| it["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let variants = comparison["variants"].as_array().expect("variants");
    assert_eq!(servers(&variants[0]), ["postgresql", "redis"]);
    assert_eq!(servers(&variants[1]), ["postgresql", "redis", "cache"]);
    let page = fs::read_to_string(page.with_file_name("report.md")).expect("it was written");
    assert!(page.contains("what more machines would buy is not"), "{page}");
}
