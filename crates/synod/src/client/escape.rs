//! Bytes as a person can read them.

/// Text stays text. With control characters that would disturb a terminal in it, or if it is no text, it is printed so
/// that [`parse`] reads it back.
pub(super) fn text(bytes: &[u8]) -> String {
    let disturbs = |c: char| c.is_control() && c != '\n' && c != '\t';
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(disturbs) => text.to_owned(),
        Ok(text) => {
            let escape = |c: char| disturbs(c) || c == '\\';
            text.chars()
                .map(|c| if escape(c) { c.escape_default().to_string() } else { c.to_string() })
                .collect()
        }
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// The bytes of `text` with escapes in it.
///
/// # Errors
/// If there is a backslash that begins none.
pub(super) fn parse(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'\\' => rest = one(rest, &mut bytes)?,
            other => bytes.push(*other),
        }
    }
    Ok(bytes)
}

/// Reads one escape, without its backslash, into `out`. Returns what follows.
///
/// # Errors
/// If it is none.
pub(super) fn one<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], String> {
    const KNOWN: &str = "there are \\n, \\t, \\r, \\0, \\\", \\', \\\\, \\xNN and \\u{N}";
    let Some((kind, rest)) = text.split_first() else { return Err(format!("nothing follows a \\; {KNOWN}")) };
    let wrong = || format!("\\{} is no escape; {KNOWN}", kind.escape_ascii());
    let hex = |digits: &[u8]| {
        let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match kind {
        b'n' => out.push(b'\n'),
        b't' => out.push(b'\t'),
        b'r' => out.push(b'\r'),
        b'0' => out.push(0),
        b'"' | b'\'' | b'\\' => out.push(*kind),
        b'x' => {
            let byte = rest.get(..2).and_then(hex).and_then(|byte| u8::try_from(byte).ok());
            out.push(byte.ok_or_else(wrong)?);
            return Ok(&rest[2..]);
        }
        b'u' => {
            let end = rest.iter().position(|byte| *byte == b'}').ok_or_else(wrong)?;
            let digits = rest[..end].strip_prefix(b"{").ok_or_else(wrong)?;
            let c = hex(digits).and_then(char::from_u32).ok_or_else(wrong)?;
            out.extend(c.to_string().bytes());
            return Ok(&rest[end + 1..]);
        }
        _ => return Err(wrong()),
    }
    Ok(rest)
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
    fn what_is_printed_with_escapes_can_be_typed_back() {
        let samples: [&[u8]; 4] =
            [b"\xd6\xd0", b"a\\b\x1b\\x", "grü\u{9b}ße\\".as_bytes(), b"\xff'\"\n\t\r\0\\"];
        for bytes in samples {
            assert_eq!(parse(text(bytes).as_bytes()).unwrap(), bytes, "{}", text(bytes));
        }
        for wrong in ["\\", "\\q", "\\x1", "\\xgg", "\\u{110000}", "\\u{1", "\\x+1"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line(b"a\nb\tc"), r"a\nb\tc");
    }
}
