//! How slow the slow ones were: latency by percentile, for each operation, of those that were decided.

use super::{
    axis::Axis,
    canvas::{self, Frame},
    downsampling::downsampled,
    figure::Figure,
    legend::Key,
    palette::{Color, Dash, Marker, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    run_report::{Latency, Percentiles, RunReport},
    table::{Table, numbers, words},
};

/// The quantiles that get a marker.
const MARKED: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

/// Draws response (solid) and service (dashed) latency by percentile.
///
/// # Errors
/// There is nothing to draw when no operation was recorded.
pub fn draw(report: &RunReport) -> Result<Svg, PlotError> {
    let operations = all_outcomes(report);
    let points: Vec<_> = operations.iter().flat_map(|latency| curves(latency).concat()).collect();
    if points.is_empty() {
        return Err(PlotError::NoData("no operation was recorded"));
    }
    let heights = points.iter().map(|(_, us)| *us);
    let most = operations.iter().map(|latency| latency.count).max().unwrap_or(0);
    let frame = Frame {
        size: Frame::REGULAR,
        left: 132,
        label: "Latency by percentile: response solid, service dashed".to_owned(),
        x: Axis::nines(most),
        y: Axis::latency_us(
            heights.clone().fold(f64::INFINITY, f64::min),
            heights.fold(0.0, f64::max),
        ),
    };
    canvas::draw(&frame, |canvas| {
        for (latency, style) in operations.iter().zip(STYLES) {
            for (curve, dash) in curves(latency).iter().zip([Dash::Solid, Dash::Dashed]) {
                canvas.line(curve, Stroke::new(style.0, dash, 5))?;
                canvas.mark(&marks(curve), style.0, style.1)?;
            }
        }
        Ok(())
    })
}

/// The plot with its data.
pub(crate) fn figure(report: &RunReport) -> Figure {
    let mut legend = Vec::new();
    let mut data =
        Table::new(&[words("operation"), words("latency"), numbers("quantile"), numbers("us")]);
    for (latency, (color, marker)) in all_outcomes(report).into_iter().zip(STYLES) {
        let kinds = [
            ("response", &latency.response, Dash::Solid),
            ("service", &latency.service, Dash::Dashed),
        ];
        for (kind, percentiles, dash) in kinds {
            legend.push(Key::marked(
                format!("{} {kind}", latency.operation),
                Stroke::new(color, dash, 5),
                marker,
            ));
            for (quantile, us) in &percentiles.curve {
                data.push(vec![
                    latency.operation.clone(),
                    kind.to_owned(),
                    quantile.to_string(),
                    us.to_string(),
                ]);
            }
        }
    }
    Figure {
        id: "latency-percentiles".to_owned(),
        title: "Latency by percentile, decided operations".to_owned(),
        caption: "Each step to the right is ten times rarer. Response latency counts from the \
                scheduled send time and includes queueing in front of the service; service \
                latency counts from the actual send. Where the two part, clients waited to \
                send."
            .to_owned(),
        legend,
        data,
        left_out: None,
        svg: draw(report),
    }
    .limited()
}

/// More operations than looks cannot be told apart; the protocol has four that clients call.
const STYLES: [(Color, Marker); 4] = [
    (Color::Blue, Marker::Dot),
    (Color::Green, Marker::Square),
    (Color::Vermillion, Marker::Triangle),
    (Color::Purple, Marker::Ring),
];

/// Each operation over all its outcomes, `reserve` first.
fn all_outcomes(report: &RunReport) -> Vec<&Latency> {
    let mut found: Vec<_> =
        report.latency.iter().filter(|latency| latency.outcome.is_none()).collect();
    found.sort_by_key(|latency| latency.operation != "reserve");
    found.truncate(STYLES.len());
    found
}

fn curves(latency: &Latency) -> [Vec<(f64, f64)>; 2] {
    [&latency.response, &latency.service].map(curve)
}

/// The curve as points of the plot.
fn curve(percentiles: &Percentiles) -> Vec<(f64, f64)> {
    let points: Vec<_> =
        percentiles.curve.iter().map(|(quantile, us)| (*quantile, *us as f64)).collect();
    downsampled(&points)
}

/// The first point of the curve at or past each marked quantile that the curve reaches.
fn marks(curve: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reached =
        |quantile: &f64| curve.iter().find(|(at, _)| at >= quantile).filter(|(at, _)| *at < 1.0);
    let mut marks: Vec<_> = MARKED.iter().filter_map(reached).copied().collect();
    marks.dedup();
    if marks.is_empty() { curve.first().copied().into_iter().collect() } else { marks }
}
