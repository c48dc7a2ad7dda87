//! A sequence diagram: who did what to whom, one step below the other, as a file of its own.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::plots::PlotError;

/// The steps of a history of few calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// What it is.
    pub title: String,
    /// Who takes part, from left to right.
    pub lifelines: Vec<String>,
    /// What happens, from top to bottom.
    pub messages: Vec<Message>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number, or nothing.
    pub number: String,
    /// Who does it, by its place among the lifelines.
    pub from: usize,
    /// To whom, by its place; the same place for a step of its own.
    pub to: usize,
    /// What it is.
    pub text: String,
    /// What it led to.
    pub note: String,
    /// How it ended.
    pub end: StepEnd,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// It took effect.
    Completed,
    /// It waited for another step.
    Blocked,
    /// It changed nothing.
    NoEffect,
    /// It violated the property.
    Violation,
}

const MARGIN: i32 = 24;
/// Width of the column of text, and how many characters of [`FONT`] fit into it.
const TEXT_WIDTH: i32 = 640;
const TEXT_CHARACTERS: usize = 100;
const LIFELINE_WIDTH: i32 = 130;
const HEAD: i32 = 84;
const LINE: i32 = 20;
const GAP: i32 = 16;
const FONT: i32 = 15;
/// The lighter of two rows, so that the eye finds the arrow of a text.
const BAND: RGBColor = RGBColor(245, 246, 248);
const LIFELINE: RGBColor = RGBColor(170, 174, 180);
const TEXT: RGBColor = RGBColor(28, 32, 38);
const MUTED: RGBColor = RGBColor(96, 102, 110);
// Of the palette of Okabe and Ito, as in the plots.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(180, 110, 0);
const VERMILLION: RGBColor = RGBColor(213, 94, 0);

impl StepEnd {
    fn color(self) -> RGBColor {
        match self {
            Self::Completed => BLUE,
            Self::Blocked => ORANGE,
            Self::NoEffect => MUTED,
            Self::Violation => VERMILLION,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Completed => "",
            Self::Blocked => "waits: ",
            Self::NoEffect => "no effect: ",
            Self::Violation => "violation: ",
        }
    }
}

/// A row: its lines of text, and how high it is.
struct Row<'a> {
    message: &'a Message,
    text: Vec<String>,
    note: Vec<String>,
}

impl Row<'_> {
    fn height(&self) -> i32 {
        i32::try_from(self.text.len() + self.note.len()).unwrap_or(1) * LINE + GAP
    }
}

impl Sequence {
    /// The diagram as an SVG file.
    ///
    /// # Errors
    /// There is nothing to draw, or plotters failed.
    pub fn svg(&self) -> Result<String, PlotError> {
        if self.messages.is_empty() || self.lifelines.is_empty() {
            return Err(PlotError::NoData("the sequence has no messages"));
        }
        let rows: Vec<Row<'_>> = self.messages.iter().map(row).collect();
        let lifelines = i32::try_from(self.lifelines.len()).unwrap_or(1);
        let width = 2 * MARGIN + TEXT_WIDTH + lifelines * LIFELINE_WIDTH;
        let height = HEAD + rows.iter().map(Row::height).sum::<i32>() + MARGIN;
        let mut text = String::new();
        {
            let size = (width.unsigned_abs(), height.unsigned_abs());
            let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
            self.draw(&root, &rows, width, height)
                .map_err(|error| PlotError::Refused(error.to_string()))?;
        }
        Ok(text)
    }

    fn draw<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, plotters::coord::Shift>,
        rows: &[Row<'_>],
        width: i32,
        height: i32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        root.fill(&WHITE)?;
        write_text(root, &self.title, (MARGIN, 28), HPos::Left, FONT + 4, TEXT)?;
        let mut top = HEAD;
        for (index, row) in rows.iter().enumerate() {
            if index % 2 == 0 {
                root.draw(&Rectangle::new([(0, top), (width, top + row.height())], BAND.filled()))?;
            }
            top += row.height();
        }
        for (place, name) in self.lifelines.iter().enumerate() {
            let x = lifeline(place);
            write_text(root, name, (x, HEAD - 18), HPos::Center, FONT - 1, TEXT)?;
            root.draw(&PathElement::new(
                [(x, HEAD - 6), (x, height - MARGIN)],
                LIFELINE.stroke_width(1),
            ))?;
        }
        let mut top = HEAD;
        for row in rows {
            draw_row(root, row, top)?;
            top += row.height();
        }
        root.present()
    }
}

fn row(message: &Message) -> Row<'_> {
    let text = format!("{} {}{}", message.number, message.end.word(), message.text);
    Row { message, text: wrapped(text.trim()), note: wrapped(&message.note) }
}

fn draw_row<B: DrawingBackend>(
    root: &DrawingArea<B, plotters::coord::Shift>,
    row: &Row<'_>,
    top: i32,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let color = row.message.end.color();
    let colors = row.text.iter().map(|_| TEXT).chain(row.note.iter().map(|_| MUTED));
    for ((line, color), place) in row.text.iter().chain(&row.note).zip(colors).zip(0..) {
        write_text(
            root,
            line,
            (MARGIN, top + GAP / 2 + LINE / 2 + place * LINE),
            HPos::Left,
            FONT,
            color,
        )?;
    }
    let y = top + row.height() / 2;
    let (from, to) = (lifeline(row.message.from), lifeline(row.message.to));
    if from == to {
        return root.draw(&Circle::new((from, y), 6, color.filled()));
    }
    let head = if to > from { -10 } else { 10 };
    root.draw(&Circle::new((from, y), 3, color.filled()))?;
    root.draw(&PathElement::new([(from, y), (to + head, y)], color.stroke_width(2)))?;
    root.draw(&Polygon::new([(to, y), (to + head, y - 5), (to + head, y + 5)], color.filled()))
}

fn lifeline(place: usize) -> i32 {
    MARGIN + TEXT_WIDTH + LIFELINE_WIDTH / 2 + i32::try_from(place).unwrap_or(0) * LIFELINE_WIDTH
}

fn write_text<B: DrawingBackend>(
    root: &DrawingArea<B, plotters::coord::Shift>,
    text: &str,
    at: (i32, i32),
    side: HPos,
    size: i32,
    color: RGBColor,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let style = TextStyle::from(("sans-serif", size).into_font())
        .color(&color)
        .pos(Pos::new(side, VPos::Center));
    root.draw(&Text::new(text.to_owned(), at, style))
}

/// Lines of at most [`TEXT_CHARACTERS`]; a word that is longer stands alone.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= TEXT_CHARACTERS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message {
            number: "1.".to_owned(),
            from: 0,
            to: 1,
            text: text.to_owned(),
            note: String::new(),
            end: StepEnd::Completed,
        }
    }

    #[test]
    fn every_word_of_a_step_is_in_the_diagram_and_no_line_is_too_long() {
        let text =
            "writes the booking and takes the seat, if nobody else has done so since it was read "
                .repeat(3);
        let lines = wrapped(&text);
        assert_eq!(lines.join(" "), text.trim());
        assert!(
            lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= TEXT_CHARACTERS)
        );
    }

    #[test]
    fn a_diagram_has_each_lifeline_and_each_step_and_nothing_is_not_drawn() {
        let sequence = Sequence {
            title: "two calls".to_owned(),
            lifelines: vec!["client 1's call".to_owned(), "PostgreSQL".to_owned()],
            messages: vec![message("reads <one> & writes")],
        };
        let svg = sequence.svg().expect("it can be drawn");
        assert!(svg.starts_with("<svg") && svg.contains("PostgreSQL"), "{svg}");
        assert!(svg.contains("reads &lt;one&gt; &amp; writes"), "{svg}");
        let empty = Sequence { messages: Vec::new(), ..sequence };
        assert!(empty.svg().is_err());
    }
}
