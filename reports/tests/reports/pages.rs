//! Every page in a browser: opened from a file, without a network, on a phone and on a screen.
//! Nothing overflows, no two texts of a plot lie on each other, and the console stays silent.
//!
//! Needs Chromium, which `ci/setup --browser` installs. With `CI=true` a missing one is a failure;
//! else the tests pass it by, and say so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use slotproof_reports::{
    Format,
    capacity::Capacity,
    comparison::Comparison,
    gate::{Gate, GateOutcome},
    index::{self, Entry},
    render,
};

use slotproof_vocabulary::Verdict;

use crate::{
    benches,
    fixtures::{self, example},
    several,
};

const WIDTHS: [u32; 2] = [400, 1_400];

/// The page is looked at from a page around it, which then says what it has seen.
const LOOK: &str = r#"<!doctype html><meta charset="utf-8"><body><iframe id="page" style="border:0;height:900px"></iframe><pre id="seen"></pre><script>
const seen = [];
const page = document.getElementById('page');
page.style.width = 'WIDTHpx';
page.onload = () => {
  const root = page.contentDocument;
  if (!root.querySelector('h1')) seen.push('it has no heading');
  if (root.documentElement.scrollWidth > WIDTH + 1) seen.push('it is ' + root.documentElement.scrollWidth + ' wide');
  for (const svg of root.querySelectorAll('svg.plot')) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    for (const [text, box] of texts) {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) seen.push('cut off: ' + text);
    }
    for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
      const [a, b] = [texts[i][1], texts[j][1]];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left), high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 4) seen.push('on each other: ' + texts[i][0] + ' | ' + texts[j][0]);
    }
  }
  document.getElementById('seen').textContent = 'SEEN ' + JSON.stringify(seen) + ' END';
};
page.src = 'SOURCE';
</script>"#;

fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    let found = found.into_iter().find(|program| program.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "no Chromium: run ci/setup --browser"
        );
        eprintln!("no Chromium: the pages are not looked at");
    }
    found
}

/// What is wrong with a page at a width, by what the browser says.
fn look(browser: &Path, folder: &Path, page: &str, width: u32) -> String {
    let around = folder.join(format!("around-{page}-{width}.html"));
    let text = LOOK.replace("WIDTH", &width.to_string()).replace("SOURCE", page);
    fs::write(&around, text).expect("it can be written");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
        ])
        .args([
            "--allow-file-access-from-files",
            "--virtual-time-budget=5000",
            "--enable-logging=stderr",
        ])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--window-size={},1000", width + 40))
        .arg("--dump-dom")
        .arg(format!("file://{}", around.display()))
        .output()
        .expect("the browser runs");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let seen = dom.split("SEEN ").nth(1).and_then(|rest| rest.split(" END").next());
    let seen = seen.unwrap_or_else(|| panic!("{page} at {width} was not looked at: {dom}\n{said}"));
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    if seen == "[]" && console.is_empty() {
        String::new()
    } else {
        format!("{page} at {width}: {seen} {console:?}\n")
    }
}

#[test]
fn every_page_is_whole_on_a_phone_and_on_a_screen() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let (comparison, capacity, gate): (Comparison, Capacity, Gate) =
        (example("comparison.json"), example("capacity.json"), example("gate.json"));
    let violated = several::gate(vec![several::check("sale", GateOutcome::Violated)]);
    let run = fixtures::violated();
    let entries = vec![
        Entry::of_run(&run),
        Entry::of("comparison", &comparison.document()),
        Entry::of("capacity", &capacity.document()),
        Entry::of("gate", &gate.document()),
    ];
    let pages = [
        ("run.html", render(&run, Format::Html).expect("a page")),
        ("comparison.html", comparison.document().html().expect("a page")),
        ("capacity.html", capacity.document().html().expect("a page")),
        ("gate.html", gate.document().html().expect("a page")),
        ("bench-strategies.html", benches::strategies().document(16).html().expect("a page")),
        ("bench-engine.html", benches::engine(None).document().html().expect("a page")),
        ("selftest.html", several::selftest(Verdict::Violated).document().html().expect("a page")),
        ("gate-violated.html", violated.document().html().expect("a page")),
        ("index.html", index::document(entries, &[]).html().expect("a page")),
    ];
    let mut wrong = String::new();
    for (name, page) in &pages {
        assert!(page.len() < 5_000_000, "{name} has {} bytes", page.len());
        let text = String::from_utf8_lossy(page);
        assert!(!text.contains("http://") && !text.contains("https://"), "{name} names an address");
        fs::write(folder.path().join(name), page).expect("it can be written");
        for width in WIDTHS {
            wrong.push_str(&look(&browser, folder.path(), name, width));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
