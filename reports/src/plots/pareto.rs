//! Throughput against latency at equal load, a point for each variant.

use super::{
    axis::Axis,
    canvas::{self, Frame},
    contention::STYLES,
    figure::Figure,
    legend::Key,
    palette::{Color, Dash, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    comparison::{Aspect, Cell, Comparison, Metric, Setting},
    table::{Table, numbers, words},
};

/// Joins the points that no other one beats in both.
const FRONT: Stroke = Stroke::new(Color::Muted, Dash::Dashed, 3);

/// A variant in the plane.
struct Point<'a> {
    name: &'a str,
    throughput: f64,
    latency_us: f64,
    /// A variant that is better, when the cost counts too.
    dominated_by: Option<&'a str>,
}

/// The ranked variants of a setting for which both were measured, and whether the latency is that
/// at equal load. Where none was offered, it is that of clients that never pause.
fn points(comparison: &Comparison, setting: Setting) -> (Vec<Point<'_>>, bool) {
    let of = |name: &str, aspect: Aspect, metric: Metric| {
        let estimate = |cell: &Cell| cell.estimates.get(&metric).map(|it| it.median);
        comparison.cell(name, setting, aspect.offered()).and_then(estimate)
    };
    let latency = |name: &str, aspect| of(name, aspect, Metric::ResponseUsP99);
    let ranked = comparison.ranked();
    let at_equal_load = ranked.iter().any(|name| latency(name, Aspect::Latency).is_some());
    let aspect = if at_equal_load { Aspect::Latency } else { Aspect::Throughput };
    let point = |name| {
        Some(Point {
            name,
            throughput: of(name, Aspect::Throughput, Metric::Goodput)?,
            latency_us: latency(name, aspect)?,
            dominated_by: comparison.dominated_by(name, setting),
        })
    };
    (ranked.into_iter().filter_map(point).collect(), at_equal_load)
}

/// The points from left to right that have no other one above their throughput and below their
/// latency.
fn front(points: &[Point<'_>]) -> Vec<(f64, f64)> {
    let beaten = |point: &Point<'_>| {
        points.iter().any(|it| it.throughput > point.throughput && it.latency_us < point.latency_us)
    };
    let front = points.iter().filter(|point| !beaten(point));
    let mut front: Vec<(f64, f64)> = front.map(|it| (it.throughput, it.latency_us)).collect();
    front.sort_by(|left, right| left.0.total_cmp(&right.0));
    front
}

/// Draws a point for each ranked variant.
///
/// # Errors
/// There is nothing to draw unless throughput and latency were measured of some variant.
pub(crate) fn draw(comparison: &Comparison, setting: Setting) -> Result<Svg, PlotError> {
    let (points, at_equal_load) = points(comparison, setting);
    let most = points.iter().map(|point| point.throughput).fold(0.0, f64::max);
    let lowest = points.iter().map(|point| point.latency_us).fold(f64::INFINITY, f64::min);
    let highest = points.iter().map(|point| point.latency_us).fold(0.0, f64::max);
    if points.is_empty() || most <= 0.0 {
        return Err(PlotError::NoData("no variant has both a throughput and a latency"));
    }
    let latency = if at_equal_load { "response p99 at equal load" } else { "response p99" };
    let frame = Frame {
        size: Frame::REGULAR,
        left: 132,
        label: format!("{latency} by throughput"),
        x: Axis::numbers("confirmed bookings / s, clients never pause", 0.0, most * 1.06),
        y: Axis::latency_us(lowest / 1.3, highest * 1.3).titled(latency),
    };
    canvas::draw(&frame, |canvas| {
        canvas.line(&front(&points), FRONT)?;
        for (point, (stroke, marker)) in points.iter().zip(STYLES) {
            canvas.mark(&[(point.throughput, point.latency_us)], stroke.color, marker)?;
        }
        Ok(())
    })
}

/// The plot with its data.
pub(crate) fn figure(comparison: &Comparison, setting: Setting) -> Figure {
    let (points, at_equal_load) = points(comparison, setting);
    let columns =
        [words("variant"), numbers("bookings / s"), numbers("p99, µs"), words("dominated by")];
    let mut data = Table::new(&columns);
    for point in &points {
        data.push(vec![
            point.name.to_owned(),
            format!("{:.1}", point.throughput),
            format!("{:.0}", point.latency_us),
            point.dominated_by.unwrap_or("nothing").to_owned(),
        ]);
    }
    let keys = points.iter().zip(STYLES).map(|(point, (stroke, marker))| {
        Key::marked(point.name, Stroke::new(stroke.color, Dash::Solid, 0), marker)
    });
    let (load, clients) = setting;
    Figure {
        id: format!("{load}-{clients}-pareto"),
        title: match at_equal_load {
            true => "Throughput, and response p99 at equal load".to_owned(),
            false => "Throughput and response p99".to_owned(),
        },
        caption: "Right and below is better. The dashed line joins the variants that no other one \
                  beats in both; the data say which are dominated when CPU per booking counts too."
            .to_owned(),
        legend: keys.collect(),
        data,
        left_out: None,
        svg: draw(comparison, setting),
    }
    .limited()
}
