//! What the service ran on: components, and the links between them.

use slotproof_vocabulary::{ComponentBlock, EnvironmentBlock, TopologyBlock};

use super::{
    axis::Axis,
    canvas::{self, Canvas, Frame, Side},
    figure::Figure,
    legend::Key,
    palette::{Color, Dash, Stroke},
    plot_error::PlotError,
    svg::Svg,
};
use crate::{
    quantity,
    table::{Table, words},
};

const USES: Stroke = Stroke::new(Color::Blue, Dash::Solid, 4);
const FOLLOWS: Stroke = Stroke::new(Color::Vermillion, Dash::Dashed, 4);
const OUTLINE: Stroke = Stroke::new(Color::Muted, Dash::Solid, 3);

/// Where the boxes of the service and of the components begin and end.
const SERVICE: (f64, f64) = (0.0, 22.0);
const COMPONENTS: (f64, f64) = (40.0, 86.0);
const END: f64 = 100.0;
/// Half the height of a box, in rows.
const HALF: f64 = 0.38;
/// Height of a row, in units of the drawing.
const ROW: u32 = 116;

/// Draws the components of a topology, what the service uses each for, and which follows which.
///
/// # Errors
/// There is nothing to draw where the components are not known.
pub fn draw(topology: &TopologyBlock, replicas: u32) -> Result<Svg, PlotError> {
    let components = &topology.components;
    if components.is_empty() {
        return Err(PlotError::NoData("the components of the topology were not noted"));
    }
    let rows = components.len();
    let (width, _) = Frame::REGULAR;
    let frame = Frame {
        size: (width, 160 + ROW * rows as u32),
        left: 40,
        label: format!("components and links of the topology {}", topology.name),
        x: Axis::bare(0.0, END),
        y: Axis::bare(rows as f64 - 0.5, -0.5),
    };
    canvas::draw(&frame, |canvas| {
        let middle = (rows as f64 - 1.0) / 2.0;
        for (row, component) in components.iter().enumerate() {
            let row = row as f64;
            if !component.roles.is_empty() {
                canvas.line(&[(SERVICE.1, middle), (COMPONENTS.0, row)], USES)?;
            }
            if let Some(first) = place_of(components, component.of.as_deref()) {
                // Further out for each row, so that no two lie on each other.
                let out = COMPONENTS.1 + 4.0 + row * 1.5;
                let way = [(COMPONENTS.1, first), (out, first), (out, row), (COMPONENTS.1, row)];
                canvas.line(&way, FOLLOWS)?;
            }
        }
        let processes = quantity::counted(replicas.into(), "process");
        labelled(canvas, SERVICE, middle, "service", &processes)?;
        for (row, component) in components.iter().enumerate() {
            labelled(canvas, COMPONENTS, row as f64, &component.name, &what_for(component))?;
        }
        Ok(())
    })
}

/// A box with a name and what there is to say of it.
fn labelled(
    canvas: &mut Canvas<'_, '_>,
    (left, right): (f64, f64),
    row: f64,
    name: &str,
    says: &str,
) -> Result<(), PlotError> {
    let (top, bottom) = (row - HALF, row + HALF);
    canvas.cell((left, right), (bottom, top), Color::Paper, 1.0)?;
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    canvas.line(&corners, OUTLINE)?;
    let middle = (left + right) / 2.0;
    canvas.annotate(name, (middle, row), Side::Center, 18)?;
    canvas.note(says, (middle, row), Side::Center, 20)
}

fn place_of(components: &[ComponentBlock], name: Option<&str>) -> Option<f64> {
    components.iter().position(|it| Some(it.name.as_str()) == name).map(|row| row as f64)
}

fn what_for(component: &ComponentBlock) -> String {
    match component.roles.as_slice() {
        [] => component.kind.clone(),
        roles => format!("{}: {}", component.kind, roles.join(", ")),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The drawing with its data; nothing where the components were not noted.
pub(crate) fn figure(environment: &EnvironmentBlock) -> Option<Figure> {
    let topology = environment.topology.as_ref().filter(|it| !it.components.is_empty())?;
    let columns = [words("component"), words("kind"), words("follows"), words("used for")];
    let mut data = Table::new(&columns);
    for component in &topology.components {
        data.push(vec![
            component.name.clone(),
            component.kind.clone(),
            component.of.clone().unwrap_or_default(),
            component.roles.join(", "),
        ]);
    }
    Some(Figure {
        id: "topology".to_owned(),
        title: format!("Topology {}", topology.name),
        caption: format!("{}.", capitalised(&topology.summary)),
        legend: vec![
            Key::line("the service uses it", USES),
            Key::line("follows, or stands before", FOLLOWS),
        ],
        data,
        left_out: None,
        svg: draw(topology, environment.replicas),
    })
}
