//! The containers environment, where a Docker engine answers. Under `CI=true` a missing engine is a
//! failure.

use std::process::{Command, Stdio};

use crate::stack::{eventually, slotproof};

fn docker(arguments: &[&str]) -> Option<String> {
    let output = Command::new("docker").args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[tokio::test]
async fn a_run_in_containers_is_judged_like_any_other_and_leaves_none() {
    if docker(&["info"]).is_none() {
        assert!(std::env::var("CI").is_err(), "CI needs a Docker engine for this test");
        eprintln!("skipped: no Docker engine answers");
        return;
    }
    for (strategy, topology, code) in
        [("conditional", "single", 0), ("off_by_one", "cached", 1), ("conditional", "sharded", 0)]
    {
        let runs = tempfile::tempdir().expect("a directory");
        let mut command = slotproof();
        command.args([
            "run",
            "--strategy",
            strategy,
            "--topology",
            topology,
            "--clients",
            "150",
            "--capacity",
            "20",
            "--duration",
            "4s",
            "--until",
            "covered",
        ]);
        command.args(["--hold", "1s", "--environment", "containers", "--runs"]).arg(runs.path());
        let output = command.output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // Another test may be starting containers at this moment; those are removed as well.
    let listed = || docker(&["ps", "--all", "--quiet", "--filter", "label=org.slotproof.run"]);
    eventually("every container is removed", async || listed().as_deref() == Some("")).await;
}

#[test]
fn an_image_that_is_nowhere_is_69_with_a_remedy() {
    if docker(&["info"]).is_none() {
        assert!(std::env::var("CI").is_err(), "CI needs a Docker engine for this test");
        return;
    }
    let runs = tempfile::tempdir().expect("a directory");
    let mut command = slotproof();
    command.args([
        "run",
        "--strategy",
        "conditional",
        "--environment",
        "containers",
        "--redis-image",
        "slotproof/none:0",
    ]);
    let output = command.arg("--runs").arg(runs.path()).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(stderr.contains("slotproof/none:0") && stderr.contains("ci/images/build"), "{stderr}");
}
