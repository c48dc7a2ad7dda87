//! The knee: latency over the rate that was asked for.

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
    capacity::{Capacity, Probe, ProbeOutcome},
    table::{Table, numbers, words},
};

const P99: Stroke = Stroke::new(Color::Blue, Dash::Solid, 5);
const P50: Stroke = Stroke::new(Color::Green, Dash::Dashed, 5);
const OBJECTIVE: Stroke = Stroke::new(Color::Vermillion, Dash::Dotted, 4);

/// The rates in rising order.
fn rising(capacity: &Capacity) -> Vec<&Probe> {
    let mut probes: Vec<&Probe> = capacity.probes.iter().collect();
    probes.sort_by(|left, right| left.asked_per_s.total_cmp(&right.asked_per_s));
    probes
}

/// Draws response latency over the rate asked for, and the objective.
///
/// # Errors
/// There is nothing to draw when no rate was tried.
pub(crate) fn draw(capacity: &Capacity) -> Result<Svg, PlotError> {
    let probes = rising(capacity);
    if probes.is_empty() {
        return Err(PlotError::NoData("no rate was tried"));
    }
    let line = |of: fn(&Probe) -> u64| -> Vec<(f64, f64)> {
        probes.iter().map(|probe| (probe.asked_per_s, of(probe) as f64)).collect()
    };
    let (p50, p99) = (line(|probe| probe.response_us_p50), line(|probe| probe.response_p99.us));
    let limit_us = capacity.objective.p99_ms as f64 * 1e3;
    let heights = || p50.iter().chain(&p99).map(|(_, us)| *us).chain([limit_us]);
    let asked_max = probes.iter().map(|probe| probe.asked_per_s).fold(1.0, f64::max);
    let frame = Frame {
        size: Frame::WIDE,
        left: 132,
        label: "Response latency by offered visits per second".to_owned(),
        x: Axis::numbers("offered visits per second", 0.0, asked_max * 1.04),
        y: Axis::latency_us(heights().fold(f64::INFINITY, f64::min), heights().fold(0.0, f64::max)),
    };
    canvas::draw(&frame, |canvas| {
        canvas.horizontal_line(limit_us, OBJECTIVE)?;
        canvas.annotate("objective", (asked_max, limit_us), Side::Right, 18)?;
        canvas.series(&p50, P50)?;
        canvas.series(&p99, P99)?;
        for probe in &probes {
            let at = [(probe.asked_per_s, probe.response_p99.us as f64)];
            let (color, marker) = probe_style(&probe.held);
            canvas.mark(&at, color, marker)?;
        }
        Ok(())
    })
}

fn probe_style(held: &ProbeOutcome) -> (Color, Marker) {
    match held {
        ProbeOutcome::Holds => (Color::Blue, Marker::Dot),
        ProbeOutcome::Fails(_) => (Color::Vermillion, Marker::Cross),
        ProbeOutcome::GeneratorSaturated(_) => (Color::Orange, Marker::Triangle),
        ProbeOutcome::Undecided(_) => (Color::Purple, Marker::Ring),
    }
}

/// The plot with its data.
pub(crate) fn figure(capacity: &Capacity) -> Figure {
    let mut data = Table::new(&[
        numbers("asked_per_s"),
        numbers("response_us_p50"),
        numbers("response_us_p99"),
        numbers("response_us_p99_low"),
        numbers("response_us_p99_high"),
        words("outcome"),
    ]);
    for probe in rising(capacity) {
        data.push(vec![
            format!("{:.2}", probe.asked_per_s),
            probe.response_us_p50.to_string(),
            probe.response_p99.us.to_string(),
            probe.response_p99.interval.low.to_string(),
            probe.response_p99.interval.high.map_or(String::new(), |high| high.to_string()),
            match &probe.held {
                ProbeOutcome::Holds => "holds",
                ProbeOutcome::Fails(_) => "fails",
                ProbeOutcome::GeneratorSaturated(_) => "generator",
                ProbeOutcome::Undecided(_) => "undecided",
            }
            .to_owned(),
        ]);
    }
    let marked = |label: &str, (color, marker): (Color, Marker)| {
        Key::marked(label, Stroke::new(color, Dash::Solid, 5), marker)
    };
    let mut legend = vec![marked("p99, sustained", probe_style(&ProbeOutcome::Holds))];
    let any =
        |wanted: fn(&ProbeOutcome) -> bool| capacity.probes.iter().any(|probe| wanted(&probe.held));
    if any(|held| matches!(held, ProbeOutcome::Fails(_))) {
        legend.push(marked("p99, failed", probe_style(&ProbeOutcome::Fails(String::new()))));
    }
    if any(|held| matches!(held, ProbeOutcome::GeneratorSaturated(_))) {
        legend.push(marked(
            "p99, load generator saturated",
            probe_style(&ProbeOutcome::GeneratorSaturated(String::new())),
        ));
    }
    if any(|held| matches!(held, ProbeOutcome::Undecided(_))) {
        let undecided = probe_style(&ProbeOutcome::Undecided(String::new()));
        legend.push(marked("p99, undecided", undecided));
    }
    legend.push(Key::line("p50", P50));
    Figure {
        id: "knee".to_owned(),
        title: "Latency by offered load".to_owned(),
        caption: "Each point is a separate load. Left of the knee, more visits cost no latency; \
                right of it they queue, and latency grows for as long as the load lasts."
            .to_owned(),
        legend,
        data,
        left_out: None,
        svg: draw(capacity),
    }
    .limited()
}
