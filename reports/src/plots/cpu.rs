//! Who did the work: CPU by group of processes.

use super::{
    axis::Axis,
    canvas::{self, Frame},
    downsampling::downsampled,
    figure::Figure,
    legend::Key,
    palette::{Color, Dash, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    run_report::{Resource, RunReport},
    table::{Table, numbers, words},
};

/// One line for each group; more than these are not drawn.
const STROKES: [Stroke; 6] = [
    Stroke::new(Color::Blue, Dash::Solid, 5),
    Stroke::new(Color::Vermillion, Dash::Dashed, 5),
    Stroke::new(Color::Green, Dash::Mixed, 5),
    Stroke::new(Color::Purple, Dash::Dotted, 5),
    Stroke::new(Color::Orange, Dash::Solid, 5),
    Stroke::new(Color::Muted, Dash::Dashed, 5),
];

/// Draws the CPUs that each group of processes kept busy, second by second.
///
/// # Errors
/// There is nothing to draw when no CPU time was sampled.
pub fn draw(report: &RunReport) -> Result<Svg, PlotError> {
    let lines: Vec<_> = drawn(report).into_iter().map(points).collect();
    if lines.is_empty() {
        return Err(PlotError::NoData("no CPU time was sampled"));
    }
    let (last, busiest) =
        lines.iter().flatten().fold((0.0, 0.0), |(last, busiest): (f64, f64), (second, cpus)| {
            (last.max(*second), busiest.max(*cpus))
        });
    let cpus = f64::from(report.environment.cpus);
    let frame = Frame {
        size: Frame::REGULAR,
        left: 132,
        label: "CPUs kept busy by each group of processes".to_owned(),
        x: Axis::seconds(last),
        y: Axis::numbers("CPUs busy", 0.0, busiest.max(0.01).max(cpus.min(busiest * 2.0)) * 1.06),
    };
    canvas::draw(&frame, |canvas| {
        for (points, stroke) in lines.iter().zip(STROKES) {
            canvas.series(points, stroke)?;
        }
        Ok(())
    })
}

/// The plot with its data.
pub(crate) fn figure(report: &RunReport) -> Figure {
    let mut data = Table::new(&[words("group"), numbers("second"), numbers("cpu_ms")]);
    let mut legend = Vec::new();
    for (resource, stroke) in drawn(report).into_iter().zip(STROKES) {
        legend.push(Key::line(resource.group.clone(), stroke));
        for (second, cpu_ms) in &resource.cpu_ms_by_second {
            data.push(vec![resource.group.clone(), second.to_string(), cpu_ms.to_string()]);
        }
    }
    Figure {
        id: "cpu".to_owned(),
        title: "CPU by process group".to_owned(),
        caption: format!(
            "CPUs kept busy by each group; the machine has {}. A load generator that takes CPU \
             from the service distorts the measurement.",
            report.environment.cpus
        ),
        legend,
        data,
        left_out: None,
        svg: draw(report),
    }
    .limited()
}

fn drawn(report: &RunReport) -> Vec<&Resource> {
    let sampled = report.resources.iter().filter(|resource| !resource.cpu_ms_by_second.is_empty());
    sampled.take(STROKES.len()).collect()
}

/// (second, CPUs busy in it).
fn points(resource: &Resource) -> Vec<(f64, f64)> {
    let cpus = |(second, cpu_ms): &(u32, u64)| (f64::from(*second), *cpu_ms as f64 / 1e3);
    downsampled(&resource.cpu_ms_by_second.iter().map(cpus).collect::<Vec<_>>())
}
