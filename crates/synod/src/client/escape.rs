//! Bytes as a person can read them.

/// Text stays text, but for control characters that would disturb a terminal; bytes that are no text are escaped.
pub(super) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let disturbs = |c: char| c.is_control() && c != '\n' && c != '\t';
            text.chars()
                .map(|c| if disturbs(c) { c.escape_default().to_string() } else { c.to_string() })
                .collect()
        }
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// The same on one line.
pub(super) fn line(bytes: &[u8]) -> String {
    text(bytes).replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_as_it_is() {
        assert_eq!(text("grüße, Paxos\n\tnext".as_bytes()), "grüße, Paxos\n\tnext");
    }

    #[test]
    fn what_is_no_text_is_escaped() {
        assert_eq!(text(b"\xff\x00ab\\"), r"\xff\x00ab\\");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(text(b"a\x1b[2Jb"), "a\\u{1b}[2Jb");
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line(b"a\nb\tc"), r"a\nb\tc");
    }
}
