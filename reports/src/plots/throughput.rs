//! What clients were told, second by second.

use super::{
    axis::Axis,
    canvas::{self, Frame},
    downsampling::downsampled,
    faults,
    figure::Figure,
    legend::Key,
    outcome_style::outcome_style,
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    measurements,
    run_report::{RunReport, Second},
    table::{Table, numbers},
};

/// Draws a line for each outcome that occurred.
///
/// # Errors
/// There is nothing to draw when no operation returned.
pub fn draw(report: &RunReport) -> Result<Svg, PlotError> {
    let lines: Vec<_> =
        outcomes(report).into_iter().map(|name| (name, points(report, name))).collect();
    let peak =
        |points: &Vec<(f64, f64)>| points.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    let peaks: Vec<_> = lines.iter().map(|(_, points)| peak(points)).collect();
    if lines.is_empty() {
        return Err(PlotError::NoData("no operation returned"));
    }
    let last = report.timeline.iter().map(|second| f64::from(second.second)).fold(0.0, f64::max);
    let frame = Frame {
        size: Frame::REGULAR,
        left: 132,
        label: "Operations per second by outcome".to_owned(),
        x: Axis::seconds(last),
        y: Axis::counts("operations per second", &peaks),
    };
    canvas::draw(&frame, |canvas| {
        faults::bands(canvas, report)?;
        for (name, points) in &lines {
            let (stroke, marker) = outcome_style(name);
            canvas.series(points, stroke)?;
            canvas.mark(&spread(points), stroke.color, marker)?;
        }
        Ok(())
    })
}

/// The plot with its data.
pub(crate) fn figure(report: &RunReport) -> Figure {
    let outcomes = outcomes(report);
    let mut data = Table::new(&[numbers("second")]);
    data.columns.extend(outcomes.iter().map(|name| numbers((*name).to_owned())));
    for second in &report.timeline {
        let counts = outcomes
            .iter()
            .map(|name| second.outcomes.get(*name).copied().unwrap_or(0).to_string());
        data.push(std::iter::once(second.second.to_string()).chain(counts).collect());
    }
    let key = |name: &&str| Key::marked(*name, outcome_style(name).0, outcome_style(name).1);
    let keys = outcomes.iter().map(key);
    Figure {
        id: "throughput".to_owned(),
        title: "Throughput by outcome".to_owned(),
        caption: "Operations by outcome, counted in the second in which they returned. An \
                unknown outcome may have happened: the client got no definite answer."
            .to_owned(),
        legend: keys.chain(faults::key(report)).collect(),
        data,
        left_out: None,
        svg: draw(report),
    }
    .limited()
}

/// The outcomes that occurred.
fn outcomes(report: &RunReport) -> Vec<&str> {
    let counts = report.timeline.iter().flat_map(|second| &second.outcomes);
    measurements::outcomes(counts.filter(|(_, count)| **count > 0).map(|(name, _)| name.as_str()))
}

fn points(report: &RunReport, outcome: &str) -> Vec<(f64, f64)> {
    let count = |second: &Second| second.outcomes.get(outcome).copied().unwrap_or(0) as f64;
    downsampled(
        &report
            .timeline
            .iter()
            .map(|second| (f64::from(second.second), count(second)))
            .collect::<Vec<_>>(),
    )
}

/// Enough points for the marker to be found, and no more. Those on the floor are left bare, or the
/// outcomes that are rare would cover each other there.
fn spread(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const MARKERS_MAX: usize = 8;
    let above: Vec<_> = points.iter().copied().filter(|(_, count)| *count > 0.0).collect();
    let step = above.len().div_ceil(MARKERS_MAX).max(1);
    above.into_iter().step_by(step).collect()
}
