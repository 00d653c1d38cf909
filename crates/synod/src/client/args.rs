//! Flags that several verbs share.

use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use super::connection::Endpoint;
use super::error::ClientError;
use super::{escape, output};

/// How to reach the cluster, and how to print.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Where members listen for clients, separated by commas; one after the other is tried
    #[arg(long, env = "SYNOD_ENDPOINTS", default_value = "127.0.0.1:2379", value_delimiter = ',')]
    pub(super) endpoints: Vec<Endpoint>,
    /// Print JSON as etcd does: keys and values in base64
    #[arg(long)]
    pub(super) json: bool,
    /// Keys and values given here have escapes, as what is no text is printed: \xd6, \n, \t, \u{1b}, \\
    #[arg(long)]
    pub(super) escaped: bool,
    /// How long to wait for an answer, e.g. 500ms, 5s, 1m
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub(super) timeout: Duration,
}

impl Common {
    /// Reads the escapes in a key or value, if there are to be any.
    ///
    /// # Errors
    /// If there is a backslash that begins none.
    pub(super) fn unescape(&self, text: &mut OsString) -> Result<(), ClientError> {
        if self.escaped {
            let bytes = escape::parse(text.as_bytes()).map_err(ClientError::Usage)?;
            *text = OsString::from_vec(bytes);
        }
        Ok(())
    }
}

/// Parses `500ms`, `5s`, `1.5m`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_in_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        unit => return Err(format!("'{unit}' is no unit of time; use ms, s or m, as in 500ms")),
    };
    let number: f64 =
        digits.parse().map_err(|_| format!("'{text}' is no time; write it as in 5s or 500ms"))?;
    match Duration::try_from_secs_f64(number * seconds_in_unit) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("'{text}' is no time to wait; it must be more than nothing")),
    }
}

/// Which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Keys {
    /// The key, or the first of a range
    #[arg(required_unless_present_any = ["prefix", "from_key"])]
    pub(super) key: Option<OsString>,
    /// The end of the range: the first key that is no longer part of it
    #[arg(conflicts_with_all = ["prefix", "from_key"])]
    pub(super) range_end: Option<OsString>,
    /// All keys that start with KEY; all there are if KEY is empty or left out
    #[arg(long, conflicts_with = "from_key")]
    pub(super) prefix: bool,
    /// All keys from KEY on
    #[arg(long)]
    pub(super) from_key: bool,
}

/// What `range_end` has to be for all keys from one on.
const TO_THE_END: &[u8] = b"\0";

impl Keys {
    /// Reads the escapes in what was given, if there are to be any.
    ///
    /// # Errors
    /// If there is a backslash that begins none.
    pub(super) fn unescape(&mut self, common: &Common) -> Result<(), ClientError> {
        for text in [&mut self.key, &mut self.range_end].into_iter().flatten() {
            common.unescape(text)?;
        }
        Ok(())
    }

    /// `key` and `range_end` as the interface wants them.
    pub(super) fn to_wire(&self) -> (Bytes, Bytes) {
        let key = self.key.clone().unwrap_or_default().into_vec();
        let end = Bytes::from_static(TO_THE_END);
        if key.is_empty() && (self.prefix || self.from_key) {
            return (end.clone(), end);
        }
        let range_end = match (&self.range_end, self.prefix, self.from_key) {
            (Some(range_end), _, _) => Bytes::from(range_end.clone().into_vec()),
            (None, true, _) => prefix_end(&key),
            (None, _, true) => end,
            (None, false, false) => Bytes::new(),
        };
        (Bytes::from(key), range_end)
    }
}

/// The first key behind all that start with `prefix`.
fn prefix_end(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|byte| *byte < u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bytes::from(end)
        }
        None => Bytes::from_static(TO_THE_END),
    }
}

/// A value from the command line, or all of standard input if it is `-` or left out.
///
/// # Errors
/// If standard input cannot be read or has nothing: a program that failed, or a closed input, has that too, and a value is
/// not replaced by nothing because of it.
pub(super) fn value_or_stdin(value: Option<OsString>) -> Result<Bytes, ClientError> {
    match value {
        Some(value) if value != "-" => Ok(Bytes::from(value.into_vec())),
        _ => {
            let mut stdin = std::io::stdin();
            if stdin.is_terminal() {
                output::note("Reading the value from standard input; Ctrl-D ends it.");
            }
            let mut value = Vec::new();
            let read = stdin.read_to_end(&mut value);
            read.map_err(|source| ClientError::Local {
                what: "standard input cannot be read".into(),
                source,
            })?;
            if value.is_empty() {
                let text = "standard input is empty, so nothing was asked; for an empty value give ''";
                return Err(ClientError::NotDone(text.to_owned()));
            }
            Ok(Bytes::from(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(keys: Keys) -> (Vec<u8>, Vec<u8>) {
        let (key, end) = keys.to_wire();
        (key.to_vec(), end.to_vec())
    }

    fn keys(key: &str) -> Keys {
        Keys { key: Some(key.into()), ..Keys::default() }
    }

    #[test]
    fn one_key_a_range_and_the_rest() {
        assert_eq!(wire(keys("a")), (b"a".to_vec(), vec![]));
        assert_eq!(wire(Keys { range_end: Some("c".into()), ..keys("a") }), (b"a".to_vec(), b"c".to_vec()));
        assert_eq!(wire(Keys { from_key: true, ..keys("a") }), (b"a".to_vec(), vec![0]));
    }

    #[test]
    fn a_prefix_ends_where_no_key_starts_with_it_any_more() {
        assert_eq!(wire(Keys { prefix: true, ..keys("ab") }), (b"ab".to_vec(), b"ac".to_vec()));
        assert_eq!(prefix_end(&[b'a', 0xff, 0xff]), &b"b"[..]);
        assert_eq!(prefix_end(&[0xff, 0xff]), &b"\0"[..]);
    }

    #[test]
    fn an_empty_prefix_means_all_keys() {
        let all = (vec![0], vec![0]);
        assert_eq!(wire(Keys { prefix: true, ..keys("") }), all);
        assert_eq!(wire(Keys { from_key: true, ..Keys::default() }), all);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("3d"), Err("'d' is no unit of time; use ms, s or m, as in 500ms".into()));
        assert_eq!(parse_duration("s"), Err("'s' is no time; write it as in 5s or 500ms".into()));
        assert_eq!(parse_duration("0s"), Err("'0s' is no time to wait; it must be more than nothing".into()));
        assert_eq!(
            parse_duration("-1s"),
            Err("'-1s' is no time to wait; it must be more than nothing".into())
        );
    }
}
