//! Legends: text of the page beside a swatch, so that they are never clipped and never shrink.

use super::palette::{Color, Marker, Stroke};

/// What one look in a plot stands for.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) label: String,
    stroke: Option<Stroke>,
    marker: Option<(Color, Marker)>,
}

impl Key {
    /// A line.
    pub(super) fn line(label: impl Into<String>, stroke: Stroke) -> Self {
        Self { label: label.into(), stroke: Some(stroke), marker: None }
    }

    /// A line with markers.
    pub(super) fn marked(label: impl Into<String>, stroke: Stroke, marker: Marker) -> Self {
        Self { label: label.into(), stroke: Some(stroke), marker: Some((stroke.color, marker)) }
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
        let marker = self.marker.map(|(color, marker)| shape(color, marker));
        format!(
            "<svg class=\"swatch\" viewBox=\"0 0 76 28\" aria-hidden=\"true\">{}{}</svg>",
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
