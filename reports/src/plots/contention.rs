//! Contention curves: one metric of each strategy as clients grow, a line for each.

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
    comparison::{Comparison, Metric},
    table::{Table, numbers, words},
};

/// The looks of strategies: no two are alike without their colours.
const STYLES: [(Stroke, Marker); 10] = [
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
];

/// A strategy's line: (clients, median).
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The lines of the load in which clients were varied; at most as many as there are looks.
fn lines(comparison: &Comparison, metric: Metric) -> Vec<Line> {
    let mut lines: Vec<(String, Line)> = Vec::new();
    let loads: std::collections::BTreeSet<_> =
        comparison.cells.iter().map(|cell| cell.load).collect();
    // One load is enough for one plot: the first, in which all clients meet at one slot.
    let load = loads.first().copied();
    for cell in comparison
        .cells
        .iter()
        .filter(|cell| Some(cell.load) == load && cell.convicted_by.is_empty())
    {
        let Some(estimate) = cell.estimates.get(&metric) else { continue };
        let name = cell.strategy.to_string();
        let point = (f64::from(cell.clients), estimate.median);
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, line)) => line.points.push(point),
            None => lines.push((name.clone(), Line { name, points: vec![point] })),
        }
    }
    let mut lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).take(STYLES.len()).collect();
    for line in &mut lines {
        line.points.sort_by(|left, right| left.0.total_cmp(&right.0));
    }
    lines
}

/// Draws the lines.
///
/// # Errors
/// There is nothing to draw unless some strategy met at least two numbers of clients.
pub(crate) fn draw(comparison: &Comparison, metric: Metric) -> Result<Svg, PlotError> {
    let lines = lines(comparison, metric);
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
pub(crate) fn figure(comparison: &Comparison, metric: Metric) -> Figure {
    let lines = lines(comparison, metric);
    let mut data = Table::new(&[words("strategy"), numbers("clients"), numbers("median")]);
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
            "Confirmed bookings per second by number of clients",
            "A line that falls to the right shows contention: more clients, fewer bookings.",
        ),
        _ => (
            "Response p99 of reserves by number of clients",
            "99 % of reserves return within this time. A line that rises steeply shows a queue.",
        ),
    };
    Figure {
        id: format!("contention-{metric:?}").to_lowercase(),
        title: title.to_owned(),
        caption: caption.to_owned(),
        legend: legend.collect(),
        data,
        left_out: None,
        svg: draw(comparison, metric),
    }
    .limited()
}
