//! The palette: the colours of Okabe and Ito, which people with any colour vision tell apart, by
//! role and never as a value.
//!
//! plotters writes fixed colours, and a report must be readable on white, on black and on paper. So
//! a line is drawn in a placeholder colour (red 0, green the index of the colour, blue that of the
//! dash),
//! and [`super::svg`] turns the codes into CSS variables that the page defines for light, dark and
//! print.

use plotters::style::{RGBAColor, ShapeStyle};

/// What something is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    Text,
    Muted,
    Grid,
    Paper,
    Blue,
    Vermillion,
    Green,
    Purple,
    Orange,
    Sky,
}

impl Color {
    pub(crate) const ALL: [Self; 10] = [
        Self::Text,
        Self::Muted,
        Self::Grid,
        Self::Paper,
        Self::Blue,
        Self::Vermillion,
        Self::Green,
        Self::Purple,
        Self::Orange,
        Self::Sky,
    ];

    /// As CSS: the page's variable, and the colour for an SVG that was taken out of its page.
    pub(crate) fn css(self) -> &'static str {
        match self {
            Self::Text => "var(--text,#1b1f24)",
            Self::Muted => "var(--muted,#59636e)",
            Self::Grid => "var(--grid,#dfe3e8)",
            Self::Paper => "var(--paper,#fff)",
            Self::Blue => "var(--blue,#0072b2)",
            Self::Vermillion => "var(--vermillion,#d55e00)",
            Self::Green => "var(--green,#009e73)",
            Self::Purple => "var(--purple,#cc79a7)",
            Self::Orange => "var(--orange,#e69f00)",
            Self::Sky => "var(--sky,#56b4e9)",
        }
    }

    fn code(self) -> u8 {
        Self::ALL.iter().position(|color| *color == self).expect("ALL holds every colour") as u8
    }

    /// A filled shape.
    pub(super) fn fill(self, opacity: f64) -> ShapeStyle {
        ShapeStyle { color: RGBAColor(0, self.code(), 0, opacity), filled: true, stroke_width: 0 }
    }
}

/// How a line is broken, so that lines differ without their colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dash {
    Solid,
    Dashed,
    Dotted,
    Mixed,
}

impl Dash {
    pub(crate) const ALL: [Self; 4] = [Self::Solid, Self::Dashed, Self::Dotted, Self::Mixed];

    /// `stroke-dasharray`, in units of the plot.
    pub(crate) fn array(self) -> Option<&'static str> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some("14 8"),
            Self::Dotted => Some("4 7"),
            Self::Mixed => Some("16 7 4 7"),
        }
    }

    fn code(self) -> u8 {
        Self::ALL.iter().position(|dash| *dash == self).expect("ALL holds every dash") as u8
    }
}

/// A line's look. A plot has twice as many units as pixels at its natural size, so 2 is a hairline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stroke {
    pub(crate) color: Color,
    pub(crate) dash: Dash,
    pub(crate) width: u32,
}

impl Stroke {
    pub(crate) const fn new(color: Color, dash: Dash, width: u32) -> Self {
        Self { color, dash, width }
    }

    pub(super) fn style(self) -> ShapeStyle {
        let color = RGBAColor(0, self.color.code(), self.dash.code(), 1.0);
        ShapeStyle { color, filled: false, stroke_width: self.width }
    }
}

/// A point's look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Dot,
    Ring,
    Cross,
    Triangle,
    Square,
}
