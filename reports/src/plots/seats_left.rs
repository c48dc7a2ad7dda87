//! Seats left: whether more was promised than there was, at a glance.

use super::{
    axis::Axis,
    canvas::{self, Canvas, Frame, Side},
    downsampling::downsampled,
    figure::Figure,
    legend::Key,
    palette::{Color, Dash, Marker, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    quantity,
    run_report::{RunReport, SeatsSeries},
    table::{Table, numbers, words},
};

/// One line for each slot.
const STROKES: [Stroke; RunReport::SEATS_SERIES_MAX] = [
    Stroke::new(Color::Blue, Dash::Solid, 5),
    Stroke::new(Color::Green, Dash::Dashed, 5),
    Stroke::new(Color::Purple, Dash::Mixed, 5),
    Stroke::new(Color::Orange, Dash::Dotted, 5),
];
const CAPACITY: Stroke = Stroke::new(Color::Muted, Dash::Dashed, 3);
const ZERO: Stroke = Stroke::new(Color::Text, Dash::Solid, 3);
/// Characters of a slot's name that fit beside a point: the last ones, in which ids differ.
const SLOT_CHARACTERS_MAX: usize = 12;

/// A series and its points as they are drawn: (second, seats left).
type Drawn<'a> = (&'a SeatsSeries, Vec<(f64, f64)>);

/// Draws the seats left of each slot as steps, between its capacity and zero. What is below zero is
/// shaded, and so is the time that was spent there.
///
/// # Errors
/// There is nothing to draw when no slot was touched.
pub fn draw(report: &RunReport) -> Result<Svg, PlotError> {
    let slots: Vec<_> =
        drawn(report).into_iter().map(|series| (series, downsampled(&points(series)))).collect();
    let seats = slots.iter().flat_map(|(_, points)| points).map(|(_, seats)| *seats);
    if seats.clone().next().is_none() {
        return Err(PlotError::NoData("no slot was touched"));
    }
    let last_s =
        slots.iter().flat_map(|(_, points)| points).map(|(second, _)| *second).fold(0.0, f64::max);
    let capacity = slots.iter().map(|(series, _)| series.capacity as f64).fold(1.0, f64::max);
    let highest = seats.clone().fold(capacity, f64::max);
    let lowest = seats.fold(0.0, f64::min);
    // One seat below zero of a thousand must still have a region to be below zero in.
    let floor = if lowest < 0.0 { (lowest * 1.6).min(-0.25 * highest) } else { 0.0 };
    let frame = Frame {
        size: Frame::WIDE,
        left: 132,
        label: label(&slots),
        x: Axis::seconds(last_s),
        y: Axis::numbers("seats", floor, highest * 1.06),
    };
    canvas::draw(&frame, |canvas| {
        let worst = worst(&slots);
        if worst.is_some() {
            overbooked(canvas, &slots, floor, last_s)?;
        }
        capacities(canvas, &slots)?;
        for ((_, points), stroke) in slots.iter().zip(STROKES) {
            canvas.series(&steps(points, last_s), stroke)?;
        }
        canvas.horizontal_line(0.0, ZERO)?;
        worst.map_or(Ok(()), |worst| name(canvas, &worst, floor, last_s))
    })
}

/// The plot with its data.
pub(crate) fn figure(report: &RunReport) -> Figure {
    let mut data =
        Table::new(&[words("slot"), numbers("ms"), numbers("seats_left"), numbers("capacity")]);
    let mut legend = Vec::new();
    for (series, stroke) in drawn(report).into_iter().zip(STROKES) {
        legend.push(Key::line(format!("slot {}", series.slot), stroke));
        for (second, seats) in downsampled(&points(series)) {
            let ms = format!("{:.3}", second * 1e3);
            data.push(vec![
                series.slot.clone(),
                ms,
                format!("{seats:.0}"),
                series.capacity.to_string(),
            ]);
        }
    }
    if !legend.is_empty() {
        legend.push(Key::line("capacity", CAPACITY));
    }
    Figure {
        id: "seats-left".to_owned(),
        title: "Seats left".to_owned(),
        caption: caption(report),
        legend,
        data,
        left_out: None,
        svg: draw(report),
    }
    .limited()
}

fn caption(report: &RunReport) -> String {
    let deepest =
        drawn(report).into_iter().flat_map(|series| &series.points).map(|(_, seats)| *seats).min();
    let how = "Capacity minus the seats that clients must have held at that instant, from client \
         observations alone.";
    match deepest {
        Some(seats) if seats < 0 => format!(
            "{how} Below zero, more seats are promised than exist, at worst {} too many.",
            quantity::count(seats.unsigned_abs())
        ),
        _ => format!(
            "{how} A line below zero is an overbooking; none of these lines goes below zero."
        ),
    }
}

fn label(slots: &[Drawn<'_>]) -> String {
    let slot = |(series, points): &Drawn<'_>| {
        let lowest = points.iter().map(|(_, seats)| *seats).fold(f64::INFINITY, f64::min);
        format!("; slot {}: capacity {}, lowest {lowest}", series.slot, series.capacity)
    };
    format!("Seats left over time{}", slots.iter().map(slot).collect::<String>())
}

/// The series that have points, as many as have a stroke.
fn drawn(report: &RunReport) -> Vec<&SeatsSeries> {
    report.seats.iter().filter(|series| !series.points.is_empty()).take(STROKES.len()).collect()
}

/// (second, seats left).
fn points(series: &SeatsSeries) -> Vec<(f64, f64)> {
    series.points.iter().map(|(ms, seats)| (ms / 1e3, *seats as f64)).collect()
}

/// The corners of the stairs: each value holds until the next, and the last until the end.
fn steps(points: &[(f64, f64)], last_s: f64) -> Vec<(f64, f64)> {
    let ends = points.iter().skip(1).map(|(second, _)| *second).chain([last_s]);
    points.iter().zip(ends).flat_map(|(&(from, seats), to)| [(from, seats), (to, seats)]).collect()
}

/// Shades what is below zero, and the whole height of each time that a slot spent there.
fn overbooked(
    canvas: &mut Canvas<'_, '_>,
    slots: &[Drawn<'_>],
    floor: f64,
    last_s: f64,
) -> Result<(), PlotError> {
    let spans = slots.iter().flat_map(|(_, points)| below_zero(points, last_s));
    for span in spans {
        canvas.band(span, Color::Vermillion, 0.16)?;
    }
    let corners = [(0.0, 0.0), (last_s.max(1.0), 0.0), (last_s.max(1.0), floor), (0.0, floor)];
    canvas.area(&corners, Color::Vermillion, 0.22)
}

/// The spans of time below zero.
fn below_zero(points: &[(f64, f64)], last_s: f64) -> Vec<(f64, f64)> {
    let mut spans = Vec::new();
    let mut since = None;
    for &(second, seats) in points {
        match (since, seats < 0.0) {
            (None, true) => since = Some(second),
            (Some(from), false) => {
                spans.push((from, second));
                since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    spans.extend(since.map(|from| (from, last_s)));
    spans
}

/// A line for each capacity that occurs.
fn capacities(canvas: &mut Canvas<'_, '_>, slots: &[Drawn<'_>]) -> Result<(), PlotError> {
    let mut all: Vec<_> = slots.iter().map(|(series, _)| series.capacity).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().try_for_each(|capacity| canvas.horizontal_line(capacity as f64, CAPACITY))
}

/// The worst instant of all slots that were overbooked.
struct Worst<'a> {
    slot: Option<&'a str>,
    second: f64,
    seats: f64,
}

fn worst<'a>(slots: &[Drawn<'a>]) -> Option<Worst<'a>> {
    let named = |(series, points): &Drawn<'a>| {
        // One slot needs no name: the legend has it.
        let slot = (slots.len() > 1).then_some(series.slot.as_str());
        points
            .iter()
            .map(|(second, seats)| Worst { slot, second: *second, seats: *seats })
            .collect::<Vec<_>>()
    };
    let overbooked = slots.iter().flat_map(named).filter(|instant| instant.seats < 0.0);
    overbooked.min_by(|a, b| a.seats.total_cmp(&b.seats))
}

/// Says how much was too many, beside the worst instant, and what the region is, at its other end.
fn name(
    canvas: &mut Canvas<'_, '_>,
    worst: &Worst<'_>,
    floor: f64,
    last_s: f64,
) -> Result<(), PlotError> {
    let &Worst { slot, second, seats } = worst;
    canvas.mark(&[(second, seats)], Color::Vermillion, Marker::Square)?;
    let slot = slot.map_or_else(String::new, |slot| format!(" in {}", tail(slot)));
    let text = format!("{} too many{slot} at {second:.2} s", quantity::count(-seats as u64));
    let (side, (far, far_side)) = if second > last_s / 2.0 {
        (Side::Right, (0.01 * last_s, Side::Left))
    } else {
        (Side::Left, (0.99 * last_s, Side::Right))
    };
    canvas.annotate(&text, (second, seats), side, -28)?;
    canvas.annotate("overbooked", (far, floor), far_side, 24)
}

fn tail(slot: &str) -> String {
    match slot.chars().count().saturating_sub(SLOT_CHARACTERS_MAX) {
        0 => slot.to_owned(),
        cut => format!("…{}", slot.chars().skip(cut).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_below_zero_is_found_to_the_end() {
        let points = [(0.0, 2.0), (1.0, -1.0), (2.0, -3.0), (3.0, 0.0), (4.0, -1.0)];
        assert_eq!(below_zero(&points, 9.0), [(1.0, 3.0), (4.0, 9.0)]);
        assert_eq!(below_zero(&[], 9.0), []);
    }

    #[test]
    fn a_value_holds_until_the_next() {
        assert_eq!(
            steps(&[(0.0, 5.0), (2.0, 4.0)], 3.0),
            [(0.0, 5.0), (2.0, 5.0), (2.0, 4.0), (3.0, 4.0)]
        );
    }

    #[test]
    fn of_a_long_name_the_end_is_shown() {
        assert_eq!(tail("00000001-0142-8100-8aaf-507f18cbbd5f"), "…507f18cbbd5f");
        assert_eq!(tail("monday-9"), "monday-9");
    }
}
