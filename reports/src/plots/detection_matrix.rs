//! The detection matrix: which invariants convicted which variant.

use slotproof_vocabulary::Invariant;

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
    comparison::Comparison,
    table::{Table, words},
};

const CONVICTED: (Color, Marker) = (Color::Vermillion, Marker::Square);
const UNDECIDED: (Color, Marker) = (Color::Orange, Marker::Triangle);
const SILENT: (Color, Marker) = (Color::Muted, Marker::Ring);

/// What an invariant said of a variant over all settings.
fn entry(
    comparison: &Comparison,
    variant: &str,
    invariant: Invariant,
) -> (&'static str, (Color, Marker)) {
    let cells = || comparison.cells_of(variant);
    if cells().any(|cell| cell.convicted_by.contains(&invariant)) {
        ("convicted", CONVICTED)
    } else if cells().any(|cell| cell.unknown_by.contains(&invariant)) {
        ("undecided in some run", UNDECIDED)
    } else {
        ("not convicted", SILENT)
    }
}

/// Draws a row for each variant and a column for each invariant.
///
/// # Errors
/// There is nothing to draw without variants.
pub(crate) fn draw(comparison: &Comparison) -> Result<Svg, PlotError> {
    let labels: Vec<String> = comparison.names().map(str::to_owned).collect();
    if labels.is_empty() {
        return Err(PlotError::NoData("nothing was compared"));
    }
    let last = Invariant::ALL.len() as f64;
    let frame = Frame {
        size: Frame::REGULAR,
        left: 270,
        label: "Which invariants convicted which variant".to_owned(),
        x: Axis::numbers("invariant I1 to I16", 0.0, last + 0.6),
        y: Axis::rows(&labels),
    };
    canvas::draw(&frame, |canvas| {
        for (row, variant) in comparison.names().enumerate() {
            for (place, invariant) in Invariant::ALL.iter().enumerate() {
                let (_, (color, marker)) = entry(comparison, variant, *invariant);
                canvas.mark(&[(place as f64 + 1.0, row as f64)], color, marker)?;
            }
        }
        Ok(())
    })
}

/// The plot with its data.
pub(crate) fn figure(comparison: &Comparison) -> Figure {
    let mut data = Table::new(&[words("variant"), words("invariant"), words("finding")]);
    for variant in comparison.names() {
        for invariant in Invariant::ALL {
            let (text, _) = entry(comparison, variant, *invariant);
            data.push(vec![variant.to_owned(), invariant.to_string(), text.to_owned()]);
        }
    }
    let key = |label: &str, (color, marker): (Color, Marker)| {
        Key::marked(label, Stroke::new(color, Dash::Solid, 0), marker)
    };
    Figure {
        id: "detection-matrix".to_owned(),
        title: "Detection matrix".to_owned(),
        caption: "A square is a conviction in at least one run. A triangle in the column of I15 \
                is a setting that did not exercise the invariants."
            .to_owned(),
        legend: vec![
            key("convicted", CONVICTED),
            key("undecided in some run", UNDECIDED),
            key("not convicted", SILENT),
        ],
        data,
        left_out: None,
        svg: draw(comparison),
    }
    .limited()
}
