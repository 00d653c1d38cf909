//! The text form of a transaction: conditions, steps if all hold, steps otherwise, an empty line between. It is what
//! `etcdctl txn` reads, and a little more forgiving.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::Parser;
use synod_server::proto::etcdserverpb as pb;
use synod_server::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use synod_server::proto::etcdserverpb::request_op::Request as Step;
use thiserror::Error;

use super::del::DelSpec;
use super::escape;
use super::get::GetSpec;
use super::put::PutSpec;

/// A line that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {text}\n  {content}")]
pub(super) struct ParseError {
    line: usize,
    content: String,
    text: String,
}

/// Parses a whole transaction. Lines that start with `#` are comments; missing lists at the end are empty.
///
/// # Errors
/// The first line that cannot be understood, and why.
pub(super) fn parse(text: &[u8]) -> Result<pb::TxnRequest, ParseError> {
    let mut txn = pb::TxnRequest::default();
    let mut list = 0_usize;
    // Some editors begin a file with the mark of UTF-8.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for (index, content) in text.split(|byte| *byte == b'\n').enumerate() {
        let content = content.trim_ascii();
        let error = |text| ParseError { line: index + 1, content: escape::line(content), text };
        match (content, list) {
            (b"", _) => list += 1,
            ([b'#', ..], _) => {}
            (line, 0) => txn.compare.push(compare(line).map_err(error)?),
            (line, 1) => txn.success.push(step(line).map_err(error)?),
            (line, 2) => txn.failure.push(step(line).map_err(error)?),
            (_, 3..) => {
                let text = "a transaction has three lists: conditions, steps if all hold, steps otherwise; \
                            an empty line ends a list";
                return Err(error(text.to_owned()));
            }
        }
    }
    Ok(txn)
}

const COMPARE_FORM: &str =
    r#"a condition looks like  mod("key") = "0"  with ver, create, mod, val or lease and =, !=, < or >"#;

fn compare(line: &[u8]) -> Result<pb::Compare, String> {
    let target = line.iter().position(|byte| *byte == b'(').ok_or(COMPARE_FORM)?;
    let (target, rest) = (&line[..target], &line[target + 1..]);
    let target = escape::line(target.trim_ascii());
    let mut scanner = Scanner { rest };
    let key = scanner.word(b")")?.ok_or(COMPARE_FORM)?;
    scanner.rest = scanner.rest.trim_ascii_start().strip_prefix(b")").ok_or(COMPARE_FORM)?.trim_ascii_start();
    let operator = scanner.operator();
    let operand = scanner.word(b"")?.ok_or(COMPARE_FORM)?;
    if let Some(more) = scanner.word(b"")? {
        return Err(format!("'{}' is one word too many; quote a value that has spaces", escape::line(&more)));
    }
    let result = match operator {
        b"=" | b"==" => CompareResult::Equal,
        b"!=" => CompareResult::NotEqual,
        b">" => CompareResult::Greater,
        b"<" => CompareResult::Less,
        b"" => return Err(COMPARE_FORM.to_owned()),
        other => return Err(format!("'{}' does not compare; use =, !=, < or >", escape::line(other))),
    };
    let number = |radix| {
        let text = escape::line(&operand);
        i64::from_str_radix(&text, radix).map_err(|_| format!("'{text}' is no number, and {target} is one"))
    };
    let (target, operand) = match target.as_str() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number(10)?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number(10)?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number(10)?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(operand.into())),
        // Leases are written in hexadecimal everywhere.
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(number(16)?)),
        other => return Err(format!("'{other}' cannot be compared; use ver, create, mod, val or lease")),
    };
    Ok(pb::Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        target_union: Some(operand),
        range_end: bytes::Bytes::new(),
    })
}

/// A step as it would be written on a command line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true)]
enum StepLine {
    Put(PutSpec),
    Get(GetSpec),
    #[command(alias = "delete")]
    Del(DelSpec),
}

fn step(line: &[u8]) -> Result<pb::RequestOp, String> {
    let mut scanner = Scanner { rest: line };
    let mut words = Vec::new();
    while let Some(word) = scanner.word(b"")? {
        words.push(OsString::from_vec(word));
    }
    let parsed = StepLine::try_parse_from(words).map_err(|error| {
        // The first line says what is wrong; the rest is for a whole command.
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        format!("{first}; a step is put KEY VALUE, get KEY or del KEY, with their options")
    })?;
    let request = match parsed {
        StepLine::Put(put) => Step::RequestPut(Box::new(put.into_step()?)),
        StepLine::Get(get) => Step::RequestRange(Box::new(get.into_request())),
        StepLine::Del(del) => Step::RequestDeleteRange(Box::new(del.into_step()?)),
    };
    Ok(pb::RequestOp { request: Some(request) })
}

/// Takes words off a line, as `etcdctl` does: a word that begins with a quote ends with it, any other at the next space.
/// So a value in JSON needs no quotes around it: `put j {"a":1}`.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// The next word, up to a space or one of `ends`; `None` if there is none.
    fn word(&mut self, ends: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.rest = self.rest.trim_ascii_start();
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || ends.contains(byte);
        let word = match self.rest {
            [b'"', quoted @ ..] => self.quoted(quoted, b'"')?,
            [b'\'', quoted @ ..] => self.quoted(quoted, b'\'')?,
            rest => {
                let end = rest.iter().position(is_end).unwrap_or(rest.len());
                self.rest = &rest[end..];
                return Ok(if end == 0 { None } else { Some(rest[..end].to_vec()) });
            }
        };
        match self.rest.first() {
            Some(byte) if !is_end(byte) => {
                Err("a word ends with its closing quote: a space is missing".to_owned())
            }
            _ => Ok(Some(word)),
        }
    }

    /// What stands before the closing quote. Only between double quotes there are escapes.
    fn quoted(&mut self, mut rest: &'a [u8], quote: u8) -> Result<Vec<u8>, String> {
        let mut word = Vec::new();
        loop {
            let Some((byte, behind)) = rest.split_first() else {
                return Err(format!("a {} is missing at the end", char::from(quote)));
            };
            rest = behind;
            match *byte {
                byte if byte == quote => break,
                b'\\' if quote == b'"' => rest = escape::one(rest, &mut word)?,
                byte => word.push(byte),
            }
        }
        self.rest = rest;
        Ok(word)
    }

    fn operator(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !b"=!<>".contains(byte)).unwrap_or(self.rest.len());
        let (operator, rest) = self.rest.split_at(end);
        self.rest = rest;
        operator
    }
}

#[cfg(test)]
#[path = "txn_format_tests.rs"]
mod tests;
