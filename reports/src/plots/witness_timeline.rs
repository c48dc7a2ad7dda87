//! A witness over time: a lane for each client, a bar for each operation, and the instant of the
//! violation.

use std::collections::BTreeMap;

use slotproof_vocabulary::{
    Action, Finding, Invariant, Outcome, Witness, verdict::WitnessOperation,
};

use super::{
    axis::Axis,
    canvas::{self, Canvas, Frame},
    figure::Figure,
    legend::Key,
    outcome_style::outcome_style,
    palette::{Color, Dash, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{evidence, table::Table};

/// Lanes that are drawn: more are too thin to be read.
const LANES_MAX: usize = 40;
const INSTANT: Stroke = Stroke::new(Color::Text, Dash::Dashed, 4);
const HELD: Stroke = Stroke::new(Color::Green, Dash::Dotted, 3);

/// Draws the operations of a finding's witness.
///
/// # Errors
/// There is nothing to draw when the finding has no witness, or its witness no operations.
pub fn draw(finding: &Finding) -> Result<Svg, PlotError> {
    let witness = finding.witness.as_ref().ok_or(PlotError::NoData("there is no witness"))?;
    let (lanes, _) = lanes(witness);
    if lanes.is_empty() {
        return Err(PlotError::NoData("the witness has no operations"));
    }
    let origin = evidence::origin_ns(witness);
    let ms = |instant_ns: u64| (instant_ns as f64 - origin as f64) / 1e6;
    let operations = lanes.iter().flat_map(|(_, operations)| operations);
    let last = operations.map(|found| ms(found.operation.returned_ns)).fold(0.0, f64::max);
    let instant = witness.instant_ns.map(ms);
    let labels: Vec<_> = lanes.iter().map(|(client, _)| format!("client {client}")).collect();
    let widest = labels.iter().map(|label| label.len() as u32).max().unwrap_or(0);
    let (width, _) = Frame::WIDE;
    let frame = Frame {
        size: (width, 158 + LANE_UNITS * lanes.len().max(3) as u32),
        left: 30 + 16 * widest.min(24),
        label: format!("Operations of the witness of {} by client", finding.invariant),
        x: Axis::witness_ms(instant.unwrap_or(0.0).min(0.0), instant.unwrap_or(0.0).max(last)),
        y: Axis::rows(&labels),
    };
    canvas::draw(&frame, |canvas| {
        for (row, (_, operations)) in lanes.iter().enumerate() {
            if finding.invariant == Invariant::NoOverbookingObserved {
                held(canvas, row as f64, operations, witness)?;
            }
            for found in operations {
                bar(canvas, row as f64, found, origin)?;
            }
        }
        instant.map_or(Ok(()), |at| canvas.vertical_line(at, INSTANT))
    })
}

/// The plot with its data; `None` when the finding has no witness with operations.
pub(crate) fn figure(finding: &Finding) -> Option<Figure> {
    let witness = finding.witness.as_ref().filter(|witness| !witness.operations.is_empty())?;
    let figure = Figure {
        id: format!("witness-{}", finding.invariant),
        title: format!("Timeline of the witness of {}", finding.invariant),
        caption: caption(finding, witness),
        legend: legend(finding, witness),
        data: ungrouped(evidence::operations(witness)),
        left_out: None,
        svg: draw(finding),
    };
    Some(figure.limited())
}

/// The table as data: programs want no separators in the digits of an instant.
fn ungrouped(mut operations: Table) -> Table {
    for row in &mut operations.rows {
        for (cell, column) in row.iter_mut().zip(&operations.columns) {
            if column.title.ends_with(" ms") {
                cell.text.retain(|digit| digit != ',');
            }
        }
    }
    operations
}

/// Height of a lane.
const LANE_UNITS: u32 = 36;
/// Half the height of a bar.
const BAR_UNITS: i32 = 4;

type Lane<'a> = (u64, Vec<&'a WitnessOperation>);

/// The first clients in order of their first operation, and how many more there are.
fn lanes(witness: &Witness) -> (Vec<Lane<'_>>, usize) {
    let mut by_client: BTreeMap<u64, Vec<&WitnessOperation>> = BTreeMap::new();
    for found in &witness.operations {
        by_client.entry(found.operation.client).or_default().push(found);
    }
    let mut lanes: Vec<_> = by_client.into_iter().collect();
    lanes.sort_by_key(|(client, operations)| {
        (operations.iter().map(|found| found.operation.sent_ns).min(), *client)
    });
    let left_out = lanes.len().saturating_sub(LANES_MAX);
    lanes.truncate(LANES_MAX);
    (lanes, left_out)
}

fn bar(
    canvas: &mut Canvas<'_, '_>,
    row: f64,
    found: &WitnessOperation,
    origin: u64,
) -> Result<(), PlotError> {
    let operation = &found.operation;
    let ms = |instant_ns: u64| (instant_ns as f64 - origin as f64) / 1e6;
    let (stroke, marker) = outcome_style(operation.outcome.name());
    let (sent, returned) = (ms(operation.sent_ns), ms(operation.returned_ns));
    canvas.bar((sent, returned), row, BAR_UNITS, stroke.color)?;
    canvas.mark(&[(returned, row)], stroke.color, marker)
}

/// A line from each acknowledged reserve's answer to the instant, unless the witness holds a cancel
/// that was sent before.
fn held(
    canvas: &mut Canvas<'_, '_>,
    row: f64,
    operations: &[&WitnessOperation],
    witness: &Witness,
) -> Result<(), PlotError> {
    let Some(instant) = witness.instant_ns else { return Ok(()) };
    let origin = evidence::origin_ns(witness);
    let ms = |instant_ns: u64| (instant_ns as f64 - origin as f64) / 1e6;
    let acknowledged = operations.iter().map(|found| &found.operation).filter(|operation| {
        matches!(operation.action, Action::Reserve { .. })
            && operation.outcome == Outcome::Ok
            && operation.returned_ns <= instant
    });
    for operation in acknowledged {
        let booking = evidence::booking(operation);
        let given_back = witness.operations.iter().map(|found| &found.operation).any(|other| {
            matches!(other.action, Action::Cancel { .. })
                && evidence::booking(other) == booking
                && other.sent_ns <= instant
        });
        if !given_back {
            canvas.line(&[(ms(operation.returned_ns), row), (ms(instant), row)], HELD)?;
        }
    }
    Ok(())
}

fn legend(finding: &Finding, witness: &Witness) -> Vec<Key> {
    let occurs = |outcome: &Outcome| {
        witness.operations.iter().any(|found| found.operation.outcome == *outcome)
    };
    let outcomes = Outcome::ALL.into_iter().filter(occurs);
    let bar = |outcome: Outcome| {
        let (stroke, marker) = outcome_style(outcome.name());
        Key::marked(outcome.name(), Stroke::new(stroke.color, Dash::Solid, 8), marker)
    };
    let mut legend: Vec<_> = outcomes.map(bar).collect();
    if witness.instant_ns.is_some() {
        if finding.invariant == Invariant::NoOverbookingObserved {
            legend.push(Key::line("seats held", HELD));
        }
        legend.push(Key::line("instant of the violation", INSTANT));
    }
    legend
}

fn caption(finding: &Finding, witness: &Witness) -> String {
    let mut caption = String::from("Each bar runs from send to return, one lane per client.");
    if finding.invariant == Invariant::NoOverbookingObserved && witness.instant_ns.is_some() {
        caption.push_str(" Every lane that reaches the vertical line holds seats at that instant.");
    }
    match lanes(witness).1 {
        0 => {}
        1 => caption.push_str(" +1 more client is not drawn."),
        more => caption.push_str(&format!(" +{more} more clients are not drawn.")),
    }
    caption
}
