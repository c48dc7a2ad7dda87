//! Figures: a plot, what to see in it, what its looks stand for, and the data behind it.

use super::{legend::Key, plot_error::PlotError, svg::Svg};
use crate::{
    quantity,
    table::{Table, TableCell},
};

/// A plot in its place in a report.
pub(crate) struct Figure {
    /// Its anchor, and the name of its data's file.
    pub(crate) id: String,
    pub(crate) title: String,
    /// What to see.
    pub(crate) caption: String,
    pub(crate) legend: Vec<Key>,
    /// The data behind it, at most [`Figure::DATA_BYTES_MAX`] of it.
    pub(crate) data: Table,
    /// Set when `data` is less than all.
    pub(crate) left_out: Option<String>,
    pub(crate) svg: Result<Svg, PlotError>,
}

impl Figure {
    /// Bytes of data that a figure carries. Five plots and a witness of each of 15 invariants stay
    /// below 5 MB with it.
    pub(crate) const DATA_BYTES_MAX: usize = 158_000;
    /// Rows that are shown in the page; the download has the others.
    pub(crate) const ROWS_SHOWN_MAX: usize = 60;

    /// Keeps the data below the limit by taking every second, third, ... row.
    pub(super) fn limited(mut self) -> Self {
        let rows = self.data.rows.len();
        let step = self.data.data_uri().len().div_ceil(Self::DATA_BYTES_MAX).max(1);
        if step > 1 {
            self.data.rows = self.data.rows.into_iter().step_by(step).collect();
            self.left_out = Some(format!(
                "one row in {step} of {}; run.json has all of them",
                quantity::count(rows as u64)
            ));
        }
        self
    }

    /// The rows shown in the page, and how many more the download has.
    pub(crate) fn shown(&self) -> (&[Vec<TableCell>], usize) {
        self.data.first(Self::ROWS_SHOWN_MAX)
    }
}
