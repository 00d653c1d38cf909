//! The text form of a transaction: conditions, steps if all hold, steps otherwise, an empty line between. It is what
//! `etcdctl txn` reads, and a little more forgiving.

use clap::Parser;
use synod_server::proto::etcdserverpb as pb;
use synod_server::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use synod_server::proto::etcdserverpb::request_op::Request as Step;
use thiserror::Error;

use super::del::DelSpec;
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
pub(super) fn parse(text: &str) -> Result<pb::TxnRequest, ParseError> {
    let mut txn = pb::TxnRequest::default();
    let mut list = 0_usize;
    for (index, content) in text.lines().enumerate() {
        let content = content.trim();
        let error = |text| ParseError { line: index + 1, content: content.to_owned(), text };
        match (content, list) {
            ("", _) => list += 1,
            (comment, _) if comment.starts_with('#') => {}
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

fn compare(line: &str) -> Result<pb::Compare, String> {
    let (target, rest) = line.split_once('(').ok_or(COMPARE_FORM)?;
    let mut scanner = Scanner { rest };
    let key = scanner.word(&[')'])?.ok_or(COMPARE_FORM)?;
    scanner.rest = scanner.rest.trim_start().strip_prefix(')').ok_or(COMPARE_FORM)?.trim_start();
    let operator = scanner.operator();
    let operand = scanner.word(&[])?.ok_or(COMPARE_FORM)?;
    if let Some(more) = scanner.word(&[])? {
        return Err(format!("'{more}' is one word too many; quote a value that has spaces"));
    }
    let result = match operator {
        "=" | "==" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        "" => return Err(COMPARE_FORM.to_owned()),
        other => return Err(format!("'{other}' does not compare; use =, !=, < or >")),
    };
    let number = |radix| {
        let parsed = i64::from_str_radix(&operand, radix);
        parsed.map_err(|_| format!("'{operand}' is no number, and {} is one", target.trim()))
    };
    let (target, operand) = match target.trim() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number(10)?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number(10)?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number(10)?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(operand.into_bytes().into())),
        // Leases are written in hexadecimal everywhere.
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(number(16)?)),
        other => return Err(format!("'{other}' cannot be compared; use ver, create, mod, val or lease")),
    };
    Ok(pb::Compare {
        result: result.into(),
        target: target.into(),
        key: key.into_bytes().into(),
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

fn step(line: &str) -> Result<pb::RequestOp, String> {
    let mut scanner = Scanner { rest: line };
    let mut words = Vec::new();
    while let Some(word) = scanner.word(&[])? {
        words.push(word);
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

/// Takes words off a line: bare, or quoted like in a shell.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// The next word, up to a space or one of `ends`; `None` if there is none.
    fn word(&mut self, ends: &[char]) -> Result<Option<String>, String> {
        self.rest = self.rest.trim_start();
        let mut word = String::new();
        let mut chars = self.rest.char_indices();
        let mut quoted = false;
        let end = loop {
            let Some((at, c)) = chars.next() else { break self.rest.len() };
            match c {
                '"' => {
                    quoted = true;
                    loop {
                        match chars.next().ok_or("a \" is missing at the end")?.1 {
                            '"' => break,
                            '\\' => word.push(escaped(chars.next().map(|(_, c)| c))?),
                            c => word.push(c),
                        }
                    }
                }
                '\'' => {
                    quoted = true;
                    loop {
                        match chars.next().ok_or("a ' is missing at the end")?.1 {
                            '\'' => break,
                            c => word.push(c),
                        }
                    }
                }
                c if c.is_whitespace() || ends.contains(&c) => break at,
                c => word.push(c),
            }
        };
        self.rest = &self.rest[end..];
        Ok(if word.is_empty() && !quoted { None } else { Some(word) })
    }

    fn operator(&mut self) -> &'a str {
        let end = self.rest.find(|c| !"=!<>".contains(c)).unwrap_or(self.rest.len());
        let (operator, rest) = self.rest.split_at(end);
        self.rest = rest;
        operator
    }
}

fn escaped(c: Option<char>) -> Result<char, String> {
    match c {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some('0') => Ok('\0'),
        Some(c @ ('"' | '\\' | '\'')) => Ok(c),
        Some(c) => Err(format!("\\{c} is no escape; there are \\n, \\t, \\r, \\0, \\\" and \\\\")),
        None => Err("a line cannot end with \\".to_owned()),
    }
}

#[cfg(test)]
#[path = "txn_format_tests.rs"]
mod tests;
