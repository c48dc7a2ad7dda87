//! What a booking costs: CPU of the service and its servers, stacked.

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
    comparison::{Cell, Metric},
    table::{Column, Table, numbers, words},
};

/// Each part of the cost, with its colour.
const PARTS: [(Metric, &str, Color); 5] = [
    (Metric::CpuUsService, "service", Color::Blue),
    (Metric::CpuUsPostgresql, "PostgreSQL", Color::Orange),
    (Metric::CpuUsRedis, "Redis", Color::Vermillion),
    (Metric::CpuUsRabbitmq, "RabbitMQ", Color::Green),
    (Metric::CpuUsOthers, "standbys, poolers, caches", Color::Purple),
];

/// Half the height of a bar, in units of the plot.
const HALF: i32 = 12;

/// The parts of a cell's cost in microseconds; absent of one that confirmed nothing.
fn parts(cell: &Cell) -> Option<[f64; PARTS.len()]> {
    cell.estimates.get(&Metric::CpuUsPerBooking)?;
    Some(PARTS.map(|(metric, ..)| cell.estimates.get(&metric).map_or(0.0, |it| it.median)))
}

fn drawn<'a>(cells: &[&'a Cell]) -> Vec<(&'a Cell, [f64; PARTS.len()])> {
    cells.iter().filter_map(|cell| Some((*cell, parts(cell)?))).collect()
}

/// Draws a bar for each variant.
///
/// # Errors
/// There is nothing to draw where no booking was confirmed.
pub(crate) fn draw(cells: &[&Cell]) -> Result<Svg, PlotError> {
    let drawn = drawn(cells);
    if drawn.is_empty() {
        return Err(PlotError::NoData("no CPU was measured, or no booking was confirmed"));
    }
    let labels: Vec<String> = drawn.iter().map(|(cell, _)| cell.variant.clone()).collect();
    let highest = drawn.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(0.0, f64::max);
    let frame = Frame {
        size: Frame::REGULAR,
        left: 270,
        label: "CPU per confirmed booking by variant".to_owned(),
        x: Axis::numbers("microseconds of CPU per confirmed booking", 0.0, highest * 1.05),
        y: Axis::rows(&labels),
    };
    canvas::draw(&frame, |canvas| {
        for (row, (_, parts)) in drawn.iter().enumerate() {
            let mut from = 0.0;
            for ((.., color), part) in PARTS.iter().zip(parts).filter(|(_, part)| **part > 0.0) {
                canvas.bar((from, from + part), row as f64, HALF, *color)?;
                from += part;
            }
        }
        Ok(())
    })
}

/// The plot with its data.
pub(crate) fn figure(cells: &[&Cell]) -> Figure {
    let mut columns: Vec<Column> = vec![words("variant")];
    columns.extend(PARTS.map(|(_, name, _)| numbers(format!("{name}, µs"))));
    let mut data = Table::new(&columns);
    for (cell, parts) in drawn(cells) {
        let mut row = vec![cell.variant.clone()];
        row.extend(parts.map(|part| format!("{part:.1}")));
        data.push(row);
    }
    let key = |(_, name, color): (Metric, &str, Color)| {
        Key::marked(name, Stroke::new(color, Dash::Solid, 0), Marker::Square)
    };
    let setting = cells.first().map(|cell| format!("{}-{}-", cell.load, cell.clients));
    Figure {
        id: format!("{}cost", setting.unwrap_or_default()),
        title: "CPU per confirmed booking".to_owned(),
        caption: "Shorter is cheaper. Counted while clients never pause; the load engine is not \
                  in it."
            .to_owned(),
        legend: PARTS.map(key).into(),
        data,
        left_out: None,
        svg: draw(cells),
    }
    .limited()
}
