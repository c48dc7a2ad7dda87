//! `run.json`: the report's own data.

use crate::{render_error::RenderError, run_report::RunReport};

pub(crate) fn render(report: &RunReport) -> Result<Vec<u8>, RenderError> {
    let mut bytes = serde_json::to_vec_pretty(report)?;
    bytes.push(b'\n');
    Ok(bytes)
}
