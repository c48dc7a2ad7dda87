//! Throughput over something that grows, with the fitted law and the claims that speak of as much.

use super::{
    axis::Axis,
    canvas::{self, Frame, Side},
    figure::Figure,
    legend::Key,
    palette::{Color, Dash, Marker, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    capacity::{JudgedClaim, Scaling},
    table::{Table, numbers},
};

const FIT: Stroke = Stroke::new(Color::Blue, Dash::Solid, 5);
const MEASURED: Stroke = Stroke::new(Color::Green, Dash::Solid, 5);
const CLAIM: Stroke = Stroke::new(Color::Purple, Dash::Dashed, 4);
/// A claim of more than this many times what was measured is left to the table: its
/// line would flatten all others.
const DRAWN_UP_TO: f64 = 3.0;

/// Draws points, law and claims.
///
/// # Errors
/// There is nothing to draw without points.
pub(crate) fn draw(scaling: &Scaling, claims: &[JudgedClaim]) -> Result<Svg, PlotError> {
    let points: Vec<(f64, f64)> = scaling
        .points
        .iter()
        .flat_map(|(n, rounds)| rounds.iter().map(|per_s| (f64::from(*n), *per_s)))
        .collect();
    if points.is_empty() {
        return Err(PlotError::NoData("scaling was not measured"));
    }
    let n_max = points.iter().map(|(n, _)| *n).fold(1.0, f64::max);
    let measured_max = points.iter().map(|(_, per_s)| *per_s).fold(0.0, f64::max);
    let drawn = drawn(claims, measured_max);
    let highest = drawn.iter().map(|(_, per_s)| *per_s).fold(measured_max, f64::max);
    let frame = Frame {
        size: Frame::REGULAR,
        left: 132,
        label: format!("Operations per second by number of {}", scaling.over),
        x: Axis::numbers(&scaling.over, 0.0, n_max * 1.05),
        y: Axis::numbers("operations per second", 0.0, highest * 1.1),
    };
    canvas::draw(&frame, |canvas| {
        for (place, (name, per_s)) in drawn.iter().enumerate() {
            canvas.horizontal_line(*per_s, CLAIM)?;
            // Lines may lie close; their names are written side by side then.
            let across = 0.02 + 0.34 * (place % 3) as f64;
            canvas.annotate(name, (n_max * across, *per_s), Side::Left, 18)?;
        }
        if let Some(usl) = &scaling.usl {
            let steps = 60;
            let line: Vec<(f64, f64)> = (0..=steps)
                .map(|step| 1.0 + (n_max - 1.0) * f64::from(step) / f64::from(steps))
                .map(|n| (n, usl.at(n)))
                .collect();
            canvas.line(&line, FIT)?;
        }
        canvas.mark(&points, MEASURED.color, Marker::Ring)
    })
}

fn drawn(claims: &[JudgedClaim], measured_max: f64) -> Vec<(String, f64)> {
    let each = claims.iter().filter_map(|claim| Some((claim.id.clone(), claim.operations_per_s?)));
    each.filter(|(_, per_s)| *per_s <= measured_max * DRAWN_UP_TO).collect()
}

/// The plot with its data.
pub(crate) fn figure(id: &str, title: &str, scaling: &Scaling, claims: &[JudgedClaim]) -> Figure {
    let mut data = Table::new(&[
        numbers(scaling.over.clone()),
        numbers("operations_per_s"),
        numbers("fitted"),
    ]);
    for (n, rounds) in &scaling.points {
        for per_s in rounds {
            let fitted = scaling
                .usl
                .as_ref()
                .map_or(String::new(), |usl| format!("{:.1}", usl.at(f64::from(*n))));
            data.push(vec![n.to_string(), format!("{per_s:.1}"), fitted]);
        }
    }
    let mut legend = vec![Key::marked("measured", MEASURED, Marker::Ring)];
    if let Some(usl) = &scaling.usl {
        let label = usl.misfit().map_or("fitted USL", |_| "USL, which does not fit");
        legend.push(Key::line(label, FIT));
    }
    let measured_max =
        scaling.points.iter().flat_map(|(_, rounds)| rounds).copied().fold(0.0, f64::max);
    if !drawn(claims, measured_max).is_empty() {
        legend.push(Key::line("claimed", CLAIM));
    }
    Figure {
        id: id.to_owned(),
        title: title.to_owned(),
        caption: "Each ring is a separate load. Where the curve flattens, calls wait for each \
                other (contention); where it falls, coordination costs more than concurrency \
                gains (coherence)."
            .to_owned(),
        legend,
        data,
        left_out: None,
        svg: draw(scaling, claims),
    }
    .limited()
}
