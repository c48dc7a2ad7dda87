//! Ratios of a bench over its records, each against its first.

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
    bench::history::{BenchRecord, Better},
    table::{Table, numbers, words},
};

const FIRST: Stroke = Stroke::new(Color::Text, Dash::Dotted, 3);

/// A ratio: (number of the record, gain against the first record that has it).
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

fn lines(records: &[&BenchRecord]) -> Vec<Line> {
    let mut names: Vec<&String> = records.iter().flat_map(|record| record.ratios.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let line = |name: &String| {
        let values = records.iter().enumerate().filter_map(|(number, record)| {
            let ratio = record.ratios.get(name)?;
            let value = match ratio.better {
                Better::Higher => ratio.value,
                Better::Lower => 1.0 / ratio.value,
            };
            Some((number as f64 + 1.0, value))
        });
        let values: Vec<(f64, f64)> = values.collect();
        let first = values.first().map_or(1.0, |(_, value)| *value);
        let points = values.into_iter().map(|(number, value)| (number, value / first)).collect();
        Line { name: name.clone(), points }
    };
    names.into_iter().map(line).collect()
}

fn draw(records: &[&BenchRecord], lines: &[Line]) -> Result<Svg, PlotError> {
    if records.len() < 2 {
        return Err(PlotError::NoData("only one bench was recorded"));
    }
    let highest = lines.iter().flat_map(|line| &line.points).map(|(_, it)| *it).fold(1.0, f64::max);
    let frame = Frame {
        size: Frame::REGULAR,
        left: 132,
        label: "Each ratio against its first record; higher is better".to_owned(),
        x: Axis::numbers("record", 1.0, records.len() as f64),
        y: Axis::numbers("against the first; higher is better", 0.0, highest * 1.08),
    };
    canvas::draw(&frame, |canvas| {
        canvas.horizontal_line(1.0, FIRST)?;
        for (line, (stroke, marker)) in lines.iter().zip(STYLES) {
            canvas.series(&line.points, stroke)?;
            canvas.mark(&line.points, stroke.color, marker)?;
        }
        Ok(())
    })
}

/// The plot with its data.
pub(crate) fn figure(bench: &str, records: &[&BenchRecord]) -> Figure {
    let lines = lines(records);
    let mut data = Table::new(&[words("ratio"), numbers("record"), numbers("against_first")]);
    for line in &lines {
        for (number, value) in &line.points {
            data.push(vec![line.name.clone(), format!("{number:.0}"), format!("{value:.3}")]);
        }
    }
    let keys = lines.iter().zip(STYLES);
    let mut legend: Vec<Key> = keys
        .map(|(line, (stroke, marker))| Key::marked(line.name.clone(), stroke, marker))
        .collect();
    legend.push(Key::line("the first record", FIRST));
    Figure {
        id: format!("history-{bench}"),
        title: format!("{bench}: each ratio against its first record"),
        caption:
            "A line that falls is a loss. At most as many ratios are drawn as can be told apart; \
                  the table has all."
                .to_owned(),
        legend,
        data,
        left_out: None,
        svg: draw(records, &lines),
    }
    .limited()
}
