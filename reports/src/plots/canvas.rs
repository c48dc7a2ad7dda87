//! The canvas: plotters' SVG backend with our own frame, drawn in the values' own units.
//!
//! plotters guesses how wide a text is, having no font, so axes and legends of its own are clipped
//! or too far apart. Here ticks and titles are placed by hand, and legends are left to the page,
//! whose text does not shrink with the plot.

use std::panic::{AssertUnwindSafe, catch_unwind};

use plotters::{
    chart::ChartContext,
    coord::{Shift, types::RangedCoordf64},
    prelude::{
        Cartesian2d, ChartBuilder, Circle, Cross, DrawingArea, DrawingAreaErrorKind, EmptyElement,
        IntoDrawingArea, PathElement, Polygon, Rectangle, SVGBackend, Text, TriangleMarker,
    },
    style::{
        FontStyle, IntoFont, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    axis::Axis,
    palette::{Color, Dash, Marker, Stroke},
    plot_error::PlotError,
    svg::Svg,
};

/// What is around the data.
pub(super) struct Frame {
    /// Width and height in units, two to a pixel.
    pub(super) size: (u32, u32),
    /// Room for the labels of the y axis.
    pub(super) left: u32,
    /// What is drawn, for those who cannot see it.
    pub(super) label: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Frame {
    /// A plot that shares its row.
    pub(super) const REGULAR: (u32, u32) = (1_080, 660);
    /// A plot that has its row to itself.
    pub(super) const WIDE: (u32, u32) = (1_960, 660);
    const TOP: u32 = 62;
    const BOTTOM: u32 = 96;
    const RIGHT: u32 = 36;
    const TEXT: f64 = 27.0;
}

/// Text's place relative to its point.
pub(super) use plotters::style::text_anchor::HPos as Side;

type Plane = Cartesian2d<RangedCoordf64, RangedCoordf64>;

/// Where a plot draws its data.
pub(super) struct Canvas<'a, 'b> {
    frame: &'a Frame,
    root: DrawingArea<SVGBackend<'b>, Shift>,
    chart: ChartContext<'b, SVGBackend<'b>, Plane>,
}

/// Draws the frame, then lets `paint` draw the data.
///
/// # Errors
/// Says what the drawing library said. A panic in there is an error too: a plot that fails must not
/// fail its report.
pub(super) fn draw(
    frame: &Frame,
    paint: impl FnOnce(&mut Canvas<'_, '_>) -> Result<(), PlotError>,
) -> Result<Svg, PlotError> {
    let drawn = catch_unwind(AssertUnwindSafe(|| {
        let mut written = String::new();
        let mut canvas = Canvas::framed(frame, &mut written)?;
        paint(&mut canvas)?;
        canvas.finish()?;
        Ok(Svg::new(&written, frame.size, &frame.label))
    }));
    drawn.unwrap_or(Err(PlotError::Panicked))
}

fn refused<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> PlotError {
    PlotError::Refused(error.to_string())
}

impl<'a, 'b> Canvas<'a, 'b> {
    fn framed(frame: &'a Frame, written: &'b mut String) -> Result<Self, PlotError> {
        let root = SVGBackend::with_string(written, frame.size).into_drawing_area();
        let ((left, right), (bottom, top)) = (frame.x.ends(), frame.y.ends());
        let chart = ChartBuilder::on(&root)
            .margin_left(frame.left)
            .margin_right(Frame::RIGHT)
            .margin_top(Frame::TOP)
            .margin_bottom(Frame::BOTTOM)
            .build_cartesian_2d(left..right, bottom..top)
            .map_err(refused)?;
        let mut canvas = Self { frame, root, chart };
        canvas.ticks()?;
        canvas.titles()?;
        Ok(canvas)
    }

    fn ticks(&mut self) -> Result<(), PlotError> {
        let frame = self.frame;
        let ((left, right), (bottom, top)) = (frame.x.ends(), frame.y.ends());
        let grid = Stroke::new(Color::Grid, Dash::Solid, 2).style();
        for (value, label) in &frame.y.ticks {
            let y = frame.y.place(*value);
            self.path(vec![(left, y), (right, y)], grid)?;
            let (x, y) = self.chart.backend_coord(&(left, y));
            self.write_text(label, (x - 14, y), Color::Muted, Pos::new(HPos::Right, VPos::Center))?;
        }
        for (value, label) in &frame.x.ticks {
            let x = frame.x.place(*value);
            self.path(vec![(x, bottom), (x, top)], grid)?;
            let (x, y) = self.chart.backend_coord(&(x, bottom));
            self.write_text(label, (x, y + 12), Color::Muted, Pos::new(HPos::Center, VPos::Top))?;
        }
        Ok(())
    }

    fn titles(&self) -> Result<(), PlotError> {
        let frame = self.frame;
        let (_, height) = frame.size;
        let ((left, right), (bottom, _)) = (frame.x.ends(), frame.y.ends());
        let (right, _) = self.chart.backend_coord(&(right, bottom));
        let (left, _) = self.chart.backend_coord(&(left, bottom));
        let middle = left + (right - left) / 2;
        let below = Pos::new(HPos::Center, VPos::Bottom);
        self.write_text(&frame.x.title, (middle, height as i32 - 2), Color::Text, below)?;
        self.write_text(&frame.y.title, (8, 8), Color::Text, Pos::new(HPos::Left, VPos::Top))
    }

    fn finish(self) -> Result<(), PlotError> {
        self.root.present().map_err(refused)
    }

    /// A line through points; one point alone is a line of no length, and is left to
    /// [`Canvas::mark`].
    pub(super) fn line(&mut self, points: &[(f64, f64)], stroke: Stroke) -> Result<(), PlotError> {
        if points.len() < 2 {
            return Ok(());
        }
        let placed = self.placed(points);
        self.path(placed, stroke.style())
    }

    /// A line; where there is but one point, that point.
    pub(super) fn series(
        &mut self,
        points: &[(f64, f64)],
        stroke: Stroke,
    ) -> Result<(), PlotError> {
        match points {
            [_] => self.mark(points, stroke.color, Marker::Dot),
            points => self.line(points, stroke),
        }
    }

    /// A filled area between corners.
    pub(super) fn area(
        &mut self,
        corners: &[(f64, f64)],
        color: Color,
        opacity: f64,
    ) -> Result<(), PlotError> {
        let placed = self.placed(corners);
        self.chart.draw_series([Polygon::new(placed, color.fill(opacity))]).map_err(refused)?;
        Ok(())
    }

    /// A filled bar from one instant to another, `half` units to either side of its row, and never
    /// too thin to be seen.
    pub(super) fn bar(
        &mut self,
        (from, to): (f64, f64),
        row: f64,
        half: i32,
        color: Color,
    ) -> Result<(), PlotError> {
        let (left, y) = self.pixel((from, row));
        let (right, _) = self.pixel((to, row));
        let corners = [(left, y - half), (right.max(left + 5), y + half)];
        self.root.draw(&Rectangle::new(corners, color.fill(1.0))).map_err(refused)
    }

    /// A band over the whole height, never too thin to be seen.
    pub(super) fn band(
        &mut self,
        (from, to): (f64, f64),
        color: Color,
        opacity: f64,
    ) -> Result<(), PlotError> {
        let (bottom, top) = self.frame.y.ends();
        let (left, low) = self.chart.backend_coord(&(self.frame.x.place(from), bottom));
        let (right, high) = self.chart.backend_coord(&(self.frame.x.place(to), top));
        let corners = [(left, high), (right.max(left + 4), low)];
        self.root.draw(&Rectangle::new(corners, color.fill(opacity))).map_err(refused)
    }

    /// A filled cell from one corner to the other.
    pub(super) fn cell(
        &mut self,
        (left, right): (f64, f64),
        (low, high): (f64, f64),
        color: Color,
        opacity: f64,
    ) -> Result<(), PlotError> {
        let (from, to) = (self.pixel((left, high)), self.pixel((right, low)));
        self.root.draw(&Rectangle::new([from, to], color.fill(opacity))).map_err(refused)
    }

    /// A line over the whole height.
    pub(super) fn vertical_line(&mut self, at: f64, stroke: Stroke) -> Result<(), PlotError> {
        let (x, (bottom, top)) = (self.frame.x.place(at), self.frame.y.ends());
        self.path(vec![(x, bottom), (x, top)], stroke.style())
    }

    /// A line over the whole width.
    pub(super) fn horizontal_line(&mut self, at: f64, stroke: Stroke) -> Result<(), PlotError> {
        let (y, (left, right)) = (self.frame.y.place(at), self.frame.x.ends());
        self.path(vec![(left, y), (right, y)], stroke.style())
    }

    /// A marker on each point.
    pub(super) fn mark(
        &mut self,
        points: &[(f64, f64)],
        color: Color,
        marker: Marker,
    ) -> Result<(), PlotError> {
        let (fill, outline) = (color.fill(1.0), Stroke::new(color, Dash::Solid, 4).style());
        let chart = &mut self.chart;
        for (x, y) in points {
            let at = (self.frame.x.place(*x), self.frame.y.place(*y));
            match marker {
                Marker::Dot => chart.draw_series([Circle::new(at, 7, fill)]).map(drop),
                Marker::Ring => chart
                    .draw_series([
                        Circle::new(at, 7, Color::Paper.fill(1.0)),
                        Circle::new(at, 7, outline),
                    ])
                    .map(drop),
                Marker::Cross => chart.draw_series([Cross::new(at, 7, outline)]).map(drop),
                Marker::Triangle => {
                    chart.draw_series([TriangleMarker::new(at, 10, fill)]).map(drop)
                }
                Marker::Square => chart
                    .draw_series([EmptyElement::at(at) + Rectangle::new([(-6, -6), (7, 7)], fill)])
                    .map(drop),
            }
            .map_err(refused)?;
        }
        Ok(())
    }

    /// A bold text beside a point, lifted by `rise` units.
    pub(super) fn annotate(
        &self,
        text: &str,
        at: (f64, f64),
        side: Side,
        rise: i32,
    ) -> Result<(), PlotError> {
        let (x, y) = self.pixel(at);
        let style =
            TextStyle::from(("sans-serif", Frame::TEXT * 1.24, FontStyle::Bold).into_font());
        let color = Color::Text.fill(1.0).color;
        let style = style.color(&color).pos(Pos::new(side, VPos::Center));
        self.root.draw(&Text::new(text.to_owned(), (x, y - rise), style)).map_err(refused)
    }

    /// A text beside a point, in the voice of the labels, lowered by `fall` units.
    pub(super) fn note(
        &self,
        text: &str,
        at: (f64, f64),
        side: Side,
        fall: i32,
    ) -> Result<(), PlotError> {
        let (x, y) = self.pixel(at);
        self.write_text(text, (x, y + fall), Color::Muted, Pos::new(side, VPos::Center))
    }

    fn write_text(
        &self,
        text: &str,
        at: (i32, i32),
        color: Color,
        pos: Pos,
    ) -> Result<(), PlotError> {
        // The backend divides the size by 1.24.
        let style = TextStyle::from(("sans-serif", Frame::TEXT * 1.24).into_font());
        let color = color.fill(1.0).color;
        let style = style.color(&color).pos(pos);
        self.root.draw(&Text::new(text.to_owned(), at, style)).map_err(refused)
    }

    fn path(&mut self, placed: Vec<(f64, f64)>, style: ShapeStyle) -> Result<(), PlotError> {
        self.chart.draw_series([PathElement::new(placed, style)]).map_err(refused)?;
        Ok(())
    }

    fn placed(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        points.iter().map(|(x, y)| (self.frame.x.place(*x), self.frame.y.place(*y))).collect()
    }

    fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        self.chart.backend_coord(&(self.frame.x.place(x), self.frame.y.place(y)))
    }
}
