//! Faults in the plots over time: a band from the beginning of each to its end.

use super::{canvas::Canvas, legend::Key, palette::Color, plot_error::PlotError};
use crate::run_report::RunReport;

const OPACITY: f64 = 0.16;

/// Draws a band for each fault. Seconds of a plot count from the end of the warm-up.
pub(super) fn bands(canvas: &mut Canvas<'_, '_>, report: &RunReport) -> Result<(), PlotError> {
    let warm_up_ms = report.plan.warm_up.ms();
    let second = |ms: u64| ms.saturating_sub(warm_up_ms) as f64 / 1e3;
    let last = report.timeline.iter().map(|second| f64::from(second.second)).fold(0.0, f64::max);
    let taken = report.faults.iter().filter(|it| it.problem.is_none());
    for fault in taken.filter(|it| it.ended_ms > warm_up_ms || it.began_ms >= warm_up_ms) {
        let (began, ended) = (second(fault.began_ms).min(last), second(fault.ended_ms).min(last));
        canvas.band((began, ended), Color::Muted, OPACITY)?;
    }
    Ok(())
}

/// What a band stands for, where there is one.
pub(super) fn key(report: &RunReport) -> Option<Key> {
    (!report.faults.is_empty()).then(|| Key::area("fault", Color::Muted, OPACITY))
}
