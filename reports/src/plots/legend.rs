//! Legends: text of the page beside a swatch, so that they are never clipped and never shrink.

use super::palette::{Color, Marker, Stroke};

/// What one look in a plot stands for.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) label: String,
    stroke: Option<Stroke>,
    marker: Option<(Color, Marker)>,
    /// A filled area, and how opaque it is.
    area: Option<(Color, f64)>,
}

impl Key {
    /// A line.
    pub(super) fn line(label: impl Into<String>, stroke: Stroke) -> Self {
        Self { label: label.into(), stroke: Some(stroke), marker: None, area: None }
    }

    /// A filled area.
    pub(super) fn area(label: impl Into<String>, color: Color, opacity: f64) -> Self {
        Self { label: label.into(), stroke: None, marker: None, area: Some((color, opacity)) }
    }

    /// A line with markers.
    pub(super) fn marked(label: impl Into<String>, stroke: Stroke, marker: Marker) -> Self {
        let marker = Some((stroke.color, marker));
        Self { label: label.into(), stroke: Some(stroke), marker, area: None }
    }

    /// The look itself, as a small SVG.
    pub(crate) fn swatch(&self) -> String {
        let line = self.stroke.map(|stroke| {
            let dash = stroke.dash.array();
            let dash = dash.map(|array| format!(" stroke-dasharray=\"{array}\""));
            format!(
                "<path d=\"M2 14H74\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{}/>",
                stroke.color.css(),
                stroke.width,
                dash.unwrap_or_default()
            )
        });
        let area = self.area.map(|(color, opacity)| {
            let color = color.css();
            format!("<path d=\"M2 2h72v24h-72z\" fill=\"{color}\" fill-opacity=\"{opacity}\"/>")
        });
        let marker = self.marker.map(|(color, marker)| shape(color, marker));
        format!(
            "<svg class=\"swatch\" viewBox=\"0 0 76 28\" aria-hidden=\"true\">{}{}{}</svg>",
            area.unwrap_or_default(),
            line.unwrap_or_default(),
            marker.unwrap_or_default()
        )
    }
}

fn shape(color: Color, marker: Marker) -> String {
    let (color, paper) = (color.css(), Color::Paper.css());
    match marker {
        Marker::Dot => format!("<circle cx=\"38\" cy=\"14\" r=\"7\" fill=\"{color}\"/>"),
        Marker::Ring => {
            format!(
                "<circle cx=\"38\" cy=\"14\" r=\"7\" fill=\"{paper}\" stroke=\"{color}\" stroke-width=\"4\"/>"
            )
        }
        Marker::Cross => {
            format!("<path d=\"M31 7l14 14m0-14l-14 14\" stroke=\"{color}\" stroke-width=\"4\"/>")
        }
        Marker::Triangle => format!("<path d=\"M38 4l9 16h-18z\" fill=\"{color}\"/>"),
        Marker::Square => format!("<path d=\"M31 7h14v14h-14z\" fill=\"{color}\"/>"),
    }
}
