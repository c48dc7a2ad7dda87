//! One metric of several variants, as medians with their intervals.

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
    comparison::{Cell, Metric, Offered},
    estimate::Estimate,
    quantity,
    table::{Table, numbers, words},
};

/// The interval of a variant.
const INTERVAL: Stroke = Stroke::new(Color::Blue, Dash::Solid, 6);
/// The interval of one that is disqualified.
const DISQUALIFIED: Stroke = Stroke::new(Color::Vermillion, Dash::Dashed, 6);

fn drawn<'a>(metric: Metric, cells: &[&'a Cell]) -> Vec<(&'a Cell, Estimate)> {
    cells.iter().filter_map(|cell| Some((*cell, *cell.estimates.get(&metric)?))).collect()
}

/// Draws a row for each variant.
///
/// # Errors
/// There is nothing to draw where the metric was not measured.
pub(crate) fn draw(metric: Metric, cells: &[&Cell]) -> Result<Svg, PlotError> {
    let drawn = drawn(metric, cells);
    if drawn.is_empty() {
        return Err(PlotError::NoData("the metric was not measured"));
    }
    let labels: Vec<String> = drawn.iter().map(|(cell, _)| cell.variant.clone()).collect();
    let highest = drawn.iter().map(|(_, estimate)| estimate.high).fold(0.0, f64::max);
    let x = match metric {
        Metric::ResponseUsP50 | Metric::ResponseUsP99 | Metric::ResponseUsP999 => {
            let lowest =
                drawn.iter().map(|(_, estimate)| estimate.low).fold(f64::INFINITY, f64::min);
            Axis::latency_us(lowest, highest).titled(metric.title())
        }
        _ => Axis::numbers(metric.title(), 0.0, highest * 1.05),
    };
    let frame = Frame {
        size: Frame::REGULAR,
        left: 270,
        label: format!("{} by variant", metric.title()),
        x,
        y: Axis::rows(&labels),
    };
    canvas::draw(&frame, |canvas| {
        for (row, (cell, estimate)) in drawn.iter().enumerate() {
            let row = row as f64;
            let stroke = if cell.convicted_by.is_empty() { INTERVAL } else { DISQUALIFIED };
            canvas.line(&[(estimate.low, row), (estimate.high, row)], stroke)?;
            let marker = if cell.convicted_by.is_empty() { Marker::Dot } else { Marker::Cross };
            canvas.mark(&[(estimate.median, row)], stroke.color, marker)?;
        }
        Ok(())
    })
}

/// The figure's anchor: what is drawn, and under which load.
fn id(metric: Metric, cells: &[&Cell]) -> String {
    let of = cells
        .first()
        .map(|cell| format!("{}-{}-{}-", cell.load, cell.clients, cell.offered.name()));
    format!("{}{metric:?}", of.unwrap_or_default()).to_lowercase()
}

/// At which load the latency was measured.
fn latency_title(cells: &[&Cell]) -> String {
    let rate = || {
        let offered = cells.first().and_then(|cell| cell.offered_per_s);
        offered.map(quantity::rate).unwrap_or_default()
    };
    match cells.first().map(|cell| cell.offered) {
        None | Some(Offered::Saturating) => "Response p99 of reserves".to_owned(),
        Some(Offered::OfSlowest | Offered::OfBest) => {
            format!("Response p99 of reserves at {} visits/s", rate())
        }
        Some(Offered::Overload) => "Response p99 of reserves past saturation".to_owned(),
    }
}

/// The plot with its data.
pub(crate) fn figure(metric: Metric, cells: &[&Cell]) -> Figure {
    let mut data = Table::new(&[
        words("variant"),
        words("verdict"),
        numbers("median"),
        numbers("low"),
        numbers("high"),
    ]);
    let drawn = drawn(metric, cells);
    for (cell, estimate) in &drawn {
        let number = |value: f64| format!("{value:.3}");
        data.push(vec![
            cell.variant.clone(),
            cell.verdict.name().to_owned(),
            number(estimate.median),
            number(estimate.low),
            number(estimate.high),
        ]);
    }
    let mut legend = vec![Key::marked("median and 95 % interval", INTERVAL, Marker::Dot)];
    if drawn.iter().any(|(cell, _)| !cell.convicted_by.is_empty()) {
        legend.push(Key::marked("disqualified", DISQUALIFIED, Marker::Cross));
    }
    Figure {
        id: id(metric, cells),
        title: match metric {
            Metric::Goodput => "Confirmed bookings per second".to_owned(),
            Metric::ResponseUsP99 => latency_title(cells),
            other => other.title().to_owned(),
        },
        caption: match metric {
            Metric::Goodput => {
                "Further right is better. Where two intervals overlap, these rounds do not \
                separate the variants."
            }
            _ => {
                "Further left is better; the scale is logarithmic. Response latency counts from \
                the scheduled send time."
            }
        }
        .to_owned(),
        legend,
        data,
        left_out: None,
        svg: draw(metric, cells),
    }
    .limited()
}
