//! What files that people write have in common: where in them something is wrong.

/// The line of a place in a text; the first is 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_at_the_beginning_of_a_line_is_on_that_line() {
        assert_eq!([0, 1, 2, 3].map(|offset| line_of("a\nbc", offset)), [1, 1, 2, 2]);
    }
}
