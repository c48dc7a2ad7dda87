//! Damaged histories: bytes of the examples changed at random. Reading and judging them ends
//! without a panic, and a history that breaks off is never upheld.

use std::fs;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_checker::{Case, History, HistoryError, judge};
use slotproof_vocabulary::Verdict;

const MUTATIONS: u64 = 200_000;

fn examples() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("histories");
    let mut paths: Vec<_> = ["good", "bad"]
        .iter()
        .flat_map(|name| fs::read_dir(folder.join(name)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("it is there")).collect()
}

fn mutate(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    const NUMBERS: [&str; 8] = [
        "-1",
        "0",
        "1",
        "9223372036854775807",
        "18446744073709551615",
        "18446744073709551616",
        "1e999",
        "4294967296",
    ];
    match rng.random_range(0..6) {
        0 => {
            let place = rng.random_range(0..text.len());
            text[place] = rng.random();
        }
        1 => text.truncate(rng.random_range(1..=text.len())),
        2 => {
            let (from, to) = (rng.random_range(0..text.len()), rng.random_range(0..text.len()));
            text.drain(from.min(to)..from.max(to));
        }
        3 => {
            let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
            let copy = lines[rng.random_range(0..lines.len())].to_vec();
            text.extend(copy);
        }
        _ => {
            // A number becomes one that is at an edge.
            let digits: Vec<usize> =
                (0..text.len()).filter(|place| text[*place].is_ascii_digit()).collect();
            let Some(place) = digits.get(rng.random_range(0..digits.len().max(1))) else { return };
            let end = (*place..text.len())
                .find(|place| !text[*place].is_ascii_digit())
                .unwrap_or(text.len());
            let number = NUMBERS[rng.random_range(0..NUMBERS.len())];
            text.splice(*place..end, number.bytes());
        }
    }
    if text.is_empty() {
        text.push(b'\n');
    }
}

#[test]
fn whatever_bytes_come_judging_them_ends() {
    let examples = examples();
    let (mut read, mut refused, mut cut) = (0, 0, 0);
    for seed in 0..MUTATIONS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut text = examples[rng.random_range(0..examples.len())].clone();
        for _ in 0..rng.random_range(1..=4) {
            mutate(&mut text, &mut rng);
        }
        let history = match History::read(&text[..]) {
            Ok(history) => history,
            Err(error) => {
                let lines = text.split(|byte| *byte == b'\n').count();
                match error {
                    HistoryError::Line { line, .. } => assert!((1..=lines).contains(&line)),
                    // It begins with the mark of a frame.
                    HistoryError::Frame { line, .. } => assert_eq!(line, 0),
                    HistoryError::LateDeclarations { .. } => panic!("{error}"),
                }
                refused += 1;
                continue;
            }
        };
        let broken_off = history.cut_off.is_some();
        let case = Case { history, capacity: rng.random_range(0..5), ..Case::default() };
        if case.validate().is_err() {
            refused += 1;
            continue;
        }
        let verdict = judge(&case).verdict;
        assert!(
            !(broken_off && verdict == Verdict::Upheld),
            "seed {seed}: half a history upholds nothing"
        );
        read += 1;
        cut += u64::from(broken_off);
    }
    assert!(
        read > 20_000 && refused > 20_000 && cut > 3_000,
        "{read} read, {refused} refused, {cut} cut: too tame"
    );
}
