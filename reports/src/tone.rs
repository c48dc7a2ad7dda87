//! The tone of a statement: good, bad, uncertain, or none of these. Pages colour by it, Markdown
//! puts a sign before it.

use slotproof_vocabulary::Verdict;

/// How a reader should take an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// What was asked for holds.
    Good,
    /// It does not hold.
    Bad,
    /// The evidence does not decide, or an objective was missed.
    Uncertain,
    /// A measurement, which is neither good nor bad.
    Neutral,
}

impl Tone {
    /// The class in the stylesheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Good => "upheld",
            Self::Bad => "violated",
            Self::Uncertain => "unknown",
            Self::Neutral => "neutral",
        }
    }

    /// The class of a table cell that states an outcome.
    pub(crate) fn cell_class(self) -> &'static str {
        match self {
            Self::Good => "upheld verdict",
            Self::Bad => "violated verdict",
            Self::Uncertain => "unknown verdict",
            Self::Neutral => "neutral verdict",
        }
    }

    /// The sign before a title in Markdown, with the space behind it.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Good => "✅ ",
            Self::Bad => "❌ ",
            Self::Uncertain => "❔ ",
            Self::Neutral => "",
        }
    }
}

impl From<Verdict> for Tone {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Upheld => Self::Good,
            Verdict::Violated => Self::Bad,
            Verdict::Unknown => Self::Uncertain,
        }
    }
}
