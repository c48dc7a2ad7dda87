//! From what plotters writes to what a page can hold: no fixed size, no fixed color, no fixed
//! font.

use std::fmt;

use super::palette::{Color, Dash};

/// A plot as an `<svg>` element that takes its width, colours and font from the page around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svg(String);

impl Svg {
    /// Wraps the elements that plotters wrote. `label` says to those who cannot see it what is
    /// drawn.
    pub(super) fn new(written: &str, (width, height): (u32, u32), label: &str) -> Self {
        let body = written.split_once('>').map_or("", |(_root, body)| body);
        let body = body.trim_end().trim_end_matches("</svg>");
        let shape = if width >= 2 * height { "wide" } else { "regular" };
        Self(format!(
            "<svg class=\"plot {shape}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" \
             font-family=\"system-ui, sans-serif\">{}</svg>",
            attribute(label),
            recoloured(body)
        ))
    }

    /// The element.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Turns the codes of [`Color`] and [`Dash`] into CSS. Text cannot be mistaken for a code: plotters
/// escapes its quotes.
fn recoloured(body: &str) -> String {
    let body = body.replace(" font-family=\"sans-serif\"", "").replace(" opacity=\"1\"", "");
    let mut out = String::with_capacity(body.len());
    let mut pieces = body.split("=\"#");
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let Some((color, dash, rest)) = decode(piece) else {
            out.push_str("=\"#");
            out.push_str(piece);
            continue;
        };
        let stroke = out.ends_with(" stroke");
        out.push_str(&format!("=\"{}\"", color.css()));
        if let (true, Some(array)) = (stroke, dash.array()) {
            out.push_str(&format!(" stroke-dasharray=\"{array}\""));
        }
        out.push_str(rest);
    }
    out
}

/// `00IIDD"...` as the color, the dash, and what follows the closing quote.
fn decode(piece: &str) -> Option<(Color, Dash, &str)> {
    let (code, rest) = piece.split_once('"')?;
    let value = u32::from_str_radix(code, 16).ok().filter(|_| code.len() == 6)?;
    let [_, red, color, dash] = value.to_be_bytes();
    let known = Color::ALL.get(usize::from(color)).zip(Dash::ALL.get(usize::from(dash)))?;
    (red == 0).then_some((*known.0, *known.1, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_variables_and_text_is_left_alone() {
        let body = "<polyline fill=\"none\" opacity=\"1\" stroke=\"#000401\" points=\"\"/><text fill=\"#000000\">=&quot;#000401&quot;</text>";
        assert_eq!(
            recoloured(body),
            "<polyline fill=\"none\" stroke=\"var(--blue,#0072b2)\" stroke-dasharray=\"14 8\" points=\"\"/>\
             <text fill=\"var(--text,#1b1f24)\">=&quot;#000401&quot;</text>"
        );
    }

    #[test]
    fn the_label_cannot_leave_its_attribute() {
        let svg = Svg::new("<svg>\n</svg>\n", (4, 3), "\"><script>");
        assert!(svg.as_str().contains("aria-label=\"&quot;&gt;&lt;script&gt;\""), "{svg}");
    }
}
