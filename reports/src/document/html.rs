//! A document as one file that needs no network, no font and no script.

use askama::Template;

use super::data::Document;
use crate::{render_error::RenderError, tone::Tone};

#[derive(Template)]
#[template(path = "document.html")]
struct Page<'a> {
    document: &'a Document,
    style: &'static str,
}

impl Page<'_> {
    /// A measurement has no icon: it is neither good nor bad.
    fn has_icon(&self) -> bool {
        self.document.tone != Tone::Neutral
    }
}

impl Document {
    /// The document as one file that needs no network, no font and no script.
    ///
    /// # Errors
    /// The template did not become HTML.
    pub fn html(&self) -> Result<Vec<u8>, RenderError> {
        let style = include_str!("../../templates/report.css");
        Ok(Page { document: self, style }.render()?.into_bytes())
    }
}
