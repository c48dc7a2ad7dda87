//! Renders a stored run again: `cargo run --example render -- RUN_JSON OUT_DIR`.

use std::{error::Error, fs, path::PathBuf};

use slotproof_reports::{Format, RunReport, render};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(run_json), Some(out_dir)) = (arguments.next(), arguments.next()) else {
        return Err("usage: render RUN_JSON OUT_DIR".into());
    };
    let report = RunReport::from_json(&fs::read(run_json)?)?;
    fs::create_dir_all(&out_dir)?;
    for format in Format::ALL {
        fs::write(out_dir.join(format.file_name()), render(&report, format)?)?;
    }
    Ok(())
}
