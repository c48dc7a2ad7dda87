//! When it was slow: latency by second, as a heat map of all responses with the medians and the
//! slowest hundredths over it.

use super::{
    axis::Axis,
    canvas::{self, Frame},
    downsampling::downsampled,
    faults,
    figure::Figure,
    legend::Key,
    palette::{Color, Dash, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    run_report::{RunReport, Second},
    table::{Table, numbers},
};

/// A line of the plot.
struct Line {
    name: &'static str,
    stroke: Stroke,
    of: fn(&Second) -> u64,
}

/// The lines, response above service where they meet.
const LINES: [Line; 4] = [
    Line {
        name: "service p50",
        stroke: Stroke::new(Color::Orange, Dash::Dotted, 5),
        of: |second| second.service_us_p50,
    },
    Line {
        name: "service p99",
        stroke: Stroke::new(Color::Vermillion, Dash::Dashed, 5),
        of: |second| second.service_us_p99,
    },
    Line {
        name: "response p50",
        stroke: Stroke::new(Color::Sky, Dash::Mixed, 5),
        of: |second| second.response_us_p50,
    },
    Line {
        name: "response p99",
        stroke: Stroke::new(Color::Blue, Dash::Solid, 5),
        of: |second| second.response_us_p99,
    },
];

/// Draws median and 99th percentile of response and service latency, second by second.
///
/// # Errors
/// There is nothing to draw when no operation returned.
pub fn draw(report: &RunReport) -> Result<Svg, PlotError> {
    let lines: Vec<_> = LINES.iter().map(|line| points(report, line)).collect();
    let cells = heat(report);
    let heights =
        lines.iter().flatten().map(|(_, us)| *us).chain(cells.iter().map(|cell| cell.from_us));
    if heights.clone().next().is_none() {
        return Err(PlotError::NoData("no operation returned"));
    }
    let last = lines.iter().flatten().map(|(second, _)| *second).fold(0.0, f64::max);
    let frame = Frame {
        size: Frame::REGULAR,
        left: 132,
        label: "Latency by second: median and 99th percentile of response and service".to_owned(),
        x: Axis::seconds(last),
        y: Axis::latency_us(
            heights.clone().fold(f64::INFINITY, f64::min),
            heights.fold(0.0, f64::max),
        ),
    };
    canvas::draw(&frame, |canvas| {
        faults::bands(canvas, report)?;
        for cell in &cells {
            let opacity = 0.06 + 0.5 * cell.share;
            canvas.cell(cell.seconds, (cell.from_us, cell.to_us), Color::Muted, opacity)?;
        }
        for (points, line) in lines.iter().zip(&LINES) {
            canvas.series(points, line.stroke)?;
        }
        Ok(())
    })
}

/// A stretch of time and a range of latency, and how many responses fell there.
struct Cell {
    seconds: (f64, f64),
    from_us: f64,
    to_us: f64,
    /// Of the fullest cell of its stretch.
    share: f64,
}

/// The heat map, in no more stretches than can be told apart.
fn heat(report: &RunReport) -> Vec<Cell> {
    const STRETCHES_MAX: usize = 120;
    let stretch = report.timeline.len().div_ceil(STRETCHES_MAX).max(1);
    let mut cells = Vec::new();
    for seconds in report.timeline.chunks(stretch) {
        let mut counts = std::collections::BTreeMap::<u8, u64>::new();
        for (bucket, count) in seconds.iter().flat_map(|second| &second.response_buckets) {
            *counts.entry(*bucket).or_default() += count;
        }
        let most = counts.values().copied().max().unwrap_or(1).max(1) as f64;
        let from = seconds.first().map_or(0.0, |second| f64::from(second.second));
        let to = seconds.last().map_or(1.0, |second| f64::from(second.second));
        cells.extend(counts.into_iter().filter(|(_, count)| *count > 0).map(|(bucket, count)| {
            Cell {
                seconds: (from - 0.5, to + 0.5),
                from_us: Second::bucket_from_us(bucket),
                to_us: Second::bucket_from_us(bucket.saturating_add(1)),
                share: count as f64 / most,
            }
        }));
    }
    cells
}

/// The plot with its data.
pub(crate) fn figure(report: &RunReport) -> Figure {
    let mut data = Table::new(&[
        numbers("second"),
        numbers("response_us_p50"),
        numbers("response_us_p99"),
        numbers("service_us_p50"),
        numbers("service_us_p99"),
    ]);
    let keys = LINES.iter().rev().map(|line| Key::line(line.name, line.stroke));
    for second in &report.timeline {
        let row = [
            second.response_us_p50,
            second.response_us_p99,
            second.service_us_p50,
            second.service_us_p99,
        ];
        let row = row.map(|us| us.to_string());
        data.push(std::iter::once(second.second.to_string()).chain(row).collect());
    }
    Figure {
        id: "latency-over-time".to_owned(),
        title: "Latency over time".to_owned(),
        caption: "The darker a cell, the more responses of that second took that long. A flat \
                band is steady service; a p99 that rises away from p50 is a growing queue. \
                Seconds in which nothing returned are left out."
            .to_owned(),
        legend: keys.chain(faults::key(report)).collect(),
        data,
        left_out: None,
        svg: draw(report),
    }
    .limited()
}

/// A line's points, without the seconds in which nothing returned.
fn points(report: &RunReport, line: &Line) -> Vec<(f64, f64)> {
    let busy =
        report.timeline.iter().filter(|second| second.outcomes.values().any(|count| *count > 0));
    downsampled(
        &busy
            .map(|second| (f64::from(second.second), (line.of)(second) as f64))
            .collect::<Vec<_>>(),
    )
}
