//! Contention curves: one metric of each variant as clients grow, a line for each.

use super::{
    axis::Axis,
    canvas::{self, Frame},
    figure::Figure,
    legend::Key,
    palette::{Color, Dash, Marker, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    comparison::{Cell, Comparison, Load, Metric, Offered},
    table::{Table, numbers, words},
};

/// The looks of variants: no two are alike without their colours.
pub(super) const STYLES: [(Stroke, Marker); 11] = [
    (Stroke::new(Color::Blue, Dash::Solid, 5), Marker::Dot),
    (Stroke::new(Color::Vermillion, Dash::Solid, 5), Marker::Square),
    (Stroke::new(Color::Green, Dash::Solid, 5), Marker::Triangle),
    (Stroke::new(Color::Purple, Dash::Solid, 5), Marker::Ring),
    (Stroke::new(Color::Orange, Dash::Solid, 5), Marker::Cross),
    (Stroke::new(Color::Blue, Dash::Dashed, 5), Marker::Square),
    (Stroke::new(Color::Vermillion, Dash::Dotted, 5), Marker::Triangle),
    (Stroke::new(Color::Green, Dash::Dashed, 5), Marker::Ring),
    (Stroke::new(Color::Purple, Dash::Mixed, 5), Marker::Cross),
    (Stroke::new(Color::Text, Dash::Dotted, 5), Marker::Dot),
    (Stroke::new(Color::Sky, Dash::Solid, 5), Marker::Triangle),
];

/// A variant's line: (clients, median).
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The lines of one load; at most as many as there are looks.
fn lines(comparison: &Comparison, load: Load, metric: Metric) -> Vec<Line> {
    let of = |name: &str| {
        let drawn = comparison.cells_of(name).filter(|cell| {
            cell.load == load && cell.offered == Offered::Saturating && cell.convicted_by.is_empty()
        });
        let point =
            |cell: &Cell| Some((f64::from(cell.clients), cell.estimates.get(&metric)?.median));
        let mut points: Vec<(f64, f64)> = drawn.filter_map(point).collect();
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        Line { name: name.to_owned(), points }
    };
    let lines = comparison.names().map(of).filter(|line| !line.points.is_empty());
    lines.take(STYLES.len()).collect()
}

/// Draws the lines.
///
/// # Errors
/// There is nothing to draw unless some variant met at least two numbers of clients.
pub(crate) fn draw(comparison: &Comparison, load: Load, metric: Metric) -> Result<Svg, PlotError> {
    let lines = lines(comparison, load, metric);
    if !lines.iter().any(|line| line.points.len() > 1) {
        return Err(PlotError::NoData("only one number of clients was measured"));
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let clients_max = points().map(|(clients, _)| *clients).fold(1.0, f64::max);
    let highest = points().map(|(_, value)| *value).fold(0.0, f64::max);
    let lowest = points().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let y = match metric {
        Metric::Goodput => Axis::numbers(metric.title(), 0.0, highest * 1.06),
        _ => Axis::latency_us(lowest, highest).titled(&format!("response {}", metric.title())),
    };
    let frame = Frame {
        size: Frame::REGULAR,
        left: 132,
        label: format!("{} by number of clients", metric.title()),
        x: Axis::numbers("clients", 0.0, clients_max * 1.03),
        y,
    };
    canvas::draw(&frame, |canvas| {
        for (line, (stroke, marker)) in lines.iter().zip(STYLES) {
            canvas.series(&line.points, stroke)?;
            canvas.mark(&line.points, stroke.color, marker)?;
        }
        Ok(())
    })
}

/// The plot with its data.
pub(crate) fn figure(comparison: &Comparison, load: Load, metric: Metric) -> Figure {
    let lines = lines(comparison, load, metric);
    let mut data = Table::new(&[words("variant"), numbers("clients"), numbers("median")]);
    for line in &lines {
        for (clients, value) in &line.points {
            data.push(vec![line.name.clone(), format!("{clients:.0}"), format!("{value:.3}")]);
        }
    }
    let legend = lines
        .iter()
        .zip(STYLES)
        .map(|(line, (stroke, marker))| Key::marked(line.name.clone(), stroke, marker));
    let (title, caption) = match metric {
        Metric::Goodput => (
            format!("{load}: confirmed bookings per second"),
            "A line that falls to the right shows contention: more clients, fewer bookings.",
        ),
        _ => (
            format!("{load}: response p99 of reserves"),
            "99 % of reserves return within this time. A line that rises steeply shows a queue.",
        ),
    };
    Figure {
        id: format!("contention-{load}-{metric:?}").to_lowercase(),
        title,
        caption: caption.to_owned(),
        legend: legend.collect(),
        data,
        left_out: None,
        svg: draw(comparison, load, metric),
    }
    .limited()
}
