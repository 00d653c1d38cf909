//! Commands as bytes, for the log.
//!
//! One byte of format version, then the command: a tag, and the fields in the order of their declaration. Decoding
//! copies no key and no value: they are slices of the input.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::request::{
    Command, Compact, Compare, CompareResult, CompareTarget, DeleteRange, KeyRange, Put, Range, SortOrder,
    SortTarget, Txn, TxnOp,
};
use crate::varint::{Cursor, Malformed, put_bytes, put_i64, put_u64};

/// The format that [`Command::encode`] writes.
pub const FORMAT: u8 = 1;

/// How deep transactions may be nested, the outermost counted as 1. [`check`](crate::check()) refuses deeper ones,
/// so that nothing enters the log that does not come out again.
pub const MAX_TXN_DEPTH: usize = 128;

/// Why bytes are not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Written by a later version, or no command at all.
    #[error("command in format {0}, but this version reads format {FORMAT} only")]
    UnknownFormat(u8),
    /// The bytes end inside of a command.
    #[error("command ends too early")]
    Truncated,
    /// There are bytes behind the command.
    #[error("{0} bytes behind the command")]
    Trailing(usize),
    /// A number that is too large or written longer than necessary.
    #[error("malformed number in a command")]
    Number,
    /// A tag that stands for nothing.
    #[error("unknown {what} {tag} in a command")]
    UnknownTag {
        /// What the tag should have told.
        what: &'static str,
        /// The tag.
        tag: u8,
    },
    /// Transactions nested too deeply.
    #[error("transactions nested deeper than {MAX_TXN_DEPTH}")]
    TooDeep,
}

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> DecodeError {
        match malformed {
            Malformed::Truncated => DecodeError::Truncated,
            Malformed::Number => DecodeError::Number,
        }
    }
}

impl Command {
    /// Writes the command for the log.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size_hint());
        out.put_u8(FORMAT);
        match self {
            Command::Put(put) => {
                out.put_u8(0);
                put_put(&mut out, put);
            }
            Command::DeleteRange(delete) => {
                out.put_u8(1);
                put_delete(&mut out, delete);
            }
            Command::Txn(txn) => {
                out.put_u8(2);
                put_txn(&mut out, txn);
            }
            Command::Compact(compact) => {
                out.put_u8(3);
                put_i64(&mut out, compact.revision);
            }
        }
        out.freeze()
    }

    /// Enough for a put without growing.
    fn size_hint(&self) -> usize {
        match self {
            Command::Put(put) => 24 + put.key.len() + put.value.len(),
            _ => 256,
        }
    }

    /// Reads what [`encode`](Command::encode) wrote. Keys and values are slices of `input` and keep it in memory.
    ///
    /// # Errors
    /// If the bytes are anything else. Nothing is allocated beyond a small multiple of their length.
    pub fn decode(input: Bytes) -> Result<Command, DecodeError> {
        let mut reader = Reader { cursor: Cursor { input: &input, at: 0 }, bytes: &input };
        let format = reader.u8()?;
        if format != FORMAT {
            return Err(DecodeError::UnknownFormat(format));
        }
        let command = match reader.u8()? {
            0 => Command::Put(reader.put()?),
            1 => Command::DeleteRange(reader.delete_range()?),
            2 => Command::Txn(reader.txn(1)?),
            3 => Command::Compact(Compact { revision: reader.i64()? }),
            tag => return Err(DecodeError::UnknownTag { what: "command", tag }),
        };
        match input.len() - reader.cursor.at {
            0 => Ok(command),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

fn put_keys(out: &mut BytesMut, keys: &KeyRange) {
    match keys {
        KeyRange::One(key) => {
            out.put_u8(0);
            put_bytes(out, key);
        }
        KeyRange::Span(from, to) => {
            out.put_u8(1);
            put_bytes(out, from);
            put_bytes(out, to);
        }
        KeyRange::From(from) => {
            out.put_u8(2);
            put_bytes(out, from);
        }
    }
}

fn flags<const N: usize>(set: [bool; N]) -> u8 {
    set.iter().enumerate().fold(0, |flags, (bit, set)| flags | u8::from(*set) << bit)
}

fn put_put(out: &mut BytesMut, put: &Put) {
    put_bytes(out, &put.key);
    put_bytes(out, &put.value);
    put_i64(out, put.lease);
    out.put_u8(flags([put.prev_kv, put.ignore_value, put.ignore_lease]));
}

fn put_delete(out: &mut BytesMut, delete: &DeleteRange) {
    put_keys(out, &delete.keys);
    out.put_u8(flags([delete.prev_kv]));
}

fn put_range(out: &mut BytesMut, range: &Range) {
    put_keys(out, &range.keys);
    put_u64(out, range.limit);
    put_i64(out, range.revision);
    out.put_u8(match range.sort_order {
        SortOrder::None => 0,
        SortOrder::Ascend => 1,
        SortOrder::Descend => 2,
    });
    out.put_u8(match range.sort_target {
        SortTarget::Key => 0,
        SortTarget::Version => 1,
        SortTarget::Create => 2,
        SortTarget::Mod => 3,
        SortTarget::Value => 4,
    });
    out.put_u8(flags([range.keys_only, range.count_only]));
    put_i64(out, range.min_mod_revision);
    put_i64(out, range.max_mod_revision);
    put_i64(out, range.min_create_revision);
    put_i64(out, range.max_create_revision);
}

fn put_compare(out: &mut BytesMut, compare: &Compare) {
    put_keys(out, &compare.keys);
    out.put_u8(match compare.result {
        CompareResult::Equal => 0,
        CompareResult::Greater => 1,
        CompareResult::Less => 2,
        CompareResult::NotEqual => 3,
    });
    let (tag, operand) = match &compare.target {
        CompareTarget::Version(operand) => (0, operand),
        CompareTarget::Create(operand) => (1, operand),
        CompareTarget::Mod(operand) => (2, operand),
        CompareTarget::Lease(operand) => (4, operand),
        CompareTarget::Value(value) => {
            out.put_u8(3);
            return put_bytes(out, value);
        }
    };
    out.put_u8(tag);
    put_i64(out, *operand);
}

fn put_txn(out: &mut BytesMut, txn: &Txn) {
    put_u64(out, txn.compare.len() as u64);
    txn.compare.iter().for_each(|compare| put_compare(out, compare));
    for branch in [&txn.success, &txn.failure] {
        put_u64(out, branch.len() as u64);
        branch.iter().for_each(|op| put_op(out, op));
    }
}

fn put_op(out: &mut BytesMut, op: &TxnOp) {
    match op {
        TxnOp::Range(range) => {
            out.put_u8(0);
            put_range(out, range);
        }
        TxnOp::Put(put) => {
            out.put_u8(1);
            put_put(out, put);
        }
        TxnOp::DeleteRange(delete) => {
            out.put_u8(2);
            put_delete(out, delete);
        }
        TxnOp::Txn(txn) => {
            out.put_u8(3);
            put_txn(out, txn);
        }
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    bytes: &'a Bytes,
}

impl Reader<'_> {
    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.cursor.u8()?)
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(self.cursor.i64()?)
    }

    fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        Ok(self.bytes.slice(self.cursor.bytes()?))
    }

    fn flags<const N: usize>(&mut self) -> Result<[bool; N], DecodeError> {
        let tag = self.u8()?;
        if usize::from(tag) >> N != 0 {
            return Err(DecodeError::UnknownTag { what: "flags", tag });
        }
        Ok(std::array::from_fn(|bit| tag >> bit & 1 == 1))
    }

    fn keys(&mut self) -> Result<KeyRange, DecodeError> {
        match self.u8()? {
            0 => Ok(KeyRange::One(self.bytes()?)),
            1 => Ok(KeyRange::Span(self.bytes()?, self.bytes()?)),
            2 => Ok(KeyRange::From(self.bytes()?)),
            tag => Err(DecodeError::UnknownTag { what: "key range", tag }),
        }
    }

    fn put(&mut self) -> Result<Put, DecodeError> {
        let (key, value, lease) = (self.bytes()?, self.bytes()?, self.i64()?);
        let [prev_kv, ignore_value, ignore_lease] = self.flags()?;
        Ok(Put { key, value, lease, prev_kv, ignore_value, ignore_lease })
    }

    fn delete_range(&mut self) -> Result<DeleteRange, DecodeError> {
        let keys = self.keys()?;
        let [prev_kv] = self.flags()?;
        Ok(DeleteRange { keys, prev_kv })
    }

    fn range(&mut self) -> Result<Range, DecodeError> {
        let (keys, limit, revision) = (self.keys()?, self.cursor.u64()?, self.i64()?);
        let sort_order = match self.u8()? {
            0 => SortOrder::None,
            1 => SortOrder::Ascend,
            2 => SortOrder::Descend,
            tag => return Err(DecodeError::UnknownTag { what: "sort order", tag }),
        };
        let sort_target = match self.u8()? {
            0 => SortTarget::Key,
            1 => SortTarget::Version,
            2 => SortTarget::Create,
            3 => SortTarget::Mod,
            4 => SortTarget::Value,
            tag => return Err(DecodeError::UnknownTag { what: "sort target", tag }),
        };
        let [keys_only, count_only] = self.flags()?;
        Ok(Range {
            keys,
            limit,
            revision,
            sort_order,
            sort_target,
            keys_only,
            count_only,
            min_mod_revision: self.i64()?,
            max_mod_revision: self.i64()?,
            min_create_revision: self.i64()?,
            max_create_revision: self.i64()?,
        })
    }

    fn compare(&mut self) -> Result<Compare, DecodeError> {
        let keys = self.keys()?;
        let result = match self.u8()? {
            0 => CompareResult::Equal,
            1 => CompareResult::Greater,
            2 => CompareResult::Less,
            3 => CompareResult::NotEqual,
            tag => return Err(DecodeError::UnknownTag { what: "comparison", tag }),
        };
        let target = match self.u8()? {
            0 => CompareTarget::Version(self.i64()?),
            1 => CompareTarget::Create(self.i64()?),
            2 => CompareTarget::Mod(self.i64()?),
            3 => CompareTarget::Value(self.bytes()?),
            4 => CompareTarget::Lease(self.i64()?),
            tag => return Err(DecodeError::UnknownTag { what: "compare target", tag }),
        };
        Ok(Compare { keys, result, target })
    }

    fn txn(&mut self, depth: usize) -> Result<Txn, DecodeError> {
        if depth > MAX_TXN_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        Ok(Txn {
            compare: self.list(|reader| reader.compare())?,
            success: self.list(|reader| reader.op(depth))?,
            failure: self.list(|reader| reader.op(depth))?,
        })
    }

    fn op(&mut self, depth: usize) -> Result<TxnOp, DecodeError> {
        match self.u8()? {
            0 => Ok(TxnOp::Range(self.range()?)),
            1 => Ok(TxnOp::Put(self.put()?)),
            2 => Ok(TxnOp::DeleteRange(self.delete_range()?)),
            3 => Ok(TxnOp::Txn(self.txn(depth + 1)?)),
            tag => Err(DecodeError::UnknownTag { what: "step", tag }),
        }
    }

    /// The list grows with what is read: its length is only a claim.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.cursor.u64()?;
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
