//! Text of the service under test, as terminals and CI logs may see it.

/// The text on one line: characters that a terminal obeys, or that change the order of what is
/// read, are escaped as in JSON. Names come from the service under test, and a line break in one
/// begins a line that a CI runner could take for a command.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // Separators of lines and paragraphs, and controls of direction.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escape(character, &mut line),
            other if other.is_control() => escape(other, &mut line),
            other => line.push(other),
        }
    }
    line
}

fn escape(character: char, line: &mut String) {
    line.push_str(&format!("\\u{:04x}", u32::from(character)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_words_are_kept() {
        assert_eq!(
            one_line("m\u{1b}[2J\u{1b}]0;p\u{7}\n::error::x\r\t\u{7f}\u{9b}\u{2028}\u{202e}"),
            "m\\u001b[2J\\u001b]0;p\\u0007\\n::error::x\\r\\t\\u007f\\u009b\\u2028\\u202e"
        );
        let words = "Dr. Müller 9:00 \"früh\" हिन्दी 医生 👩‍⚕️ a\\b";
        assert_eq!(one_line(words), words);
    }
}
