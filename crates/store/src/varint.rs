//! Numbers and byte strings as commands and snapshots write them: integers in LEB128 (seven bits a byte, lowest
//! first), signed ones in zigzag, byte strings behind their length.

use bytes::{BufMut, BytesMut};

pub(crate) fn put_u64(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub(crate) fn put_i64(out: &mut BytesMut, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(crate) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Why no number or byte string could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The input ends in the middle.
    Truncated,
    /// A number of more than 64 bits, or written longer than necessary.
    Number,
}

/// Reads `input` from `at` on.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) at: usize,
}

impl Cursor<'_> {
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let byte = *self.input.get(self.at).ok_or(Malformed::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            let last = byte & 0x80 == 0;
            let overflows = shift == 63 && bits > 1;
            let padded = last && bits == 0 && shift > 0;
            if overflows || padded {
                return Err(Malformed::Number);
            }
            value |= bits << shift;
            if last {
                return Ok(value);
            }
        }
        Err(Malformed::Number)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        let value = self.u64()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The place of a byte string in the input.
    pub(crate) fn bytes(&mut self) -> Result<std::ops::Range<usize>, Malformed> {
        let length = usize::try_from(self.u64()?).map_err(|_| Malformed::Truncated)?;
        if length > self.input.len() - self.at {
            return Err(Malformed::Truncated);
        }
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were_written() {
        for value in [0, 1, -1, 63, 64, -64, -65, 1 << 20, i64::MAX, i64::MIN] {
            let mut out = BytesMut::new();
            put_i64(&mut out, value);
            put_u64(&mut out, value as u64);
            let mut cursor = Cursor { input: &out, at: 0 };
            assert_eq!((cursor.i64(), cursor.u64()), (Ok(value), Ok(value as u64)));
            assert_eq!(cursor.at, out.len());
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        let read = |input: &[u8]| Cursor { input, at: 0 }.u64();
        assert_eq!(read(&[0x80, 0x00]), Err(Malformed::Number), "padded");
        assert_eq!(read(&[0xff; 10]), Err(Malformed::Number), "65 bits or more");
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            Err(Malformed::Number)
        );
        assert_eq!(read(&[0x80]), Err(Malformed::Truncated));
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_before_anything_is_taken() {
        let mut out = BytesMut::new();
        put_u64(&mut out, u64::MAX);
        assert_eq!(Cursor { input: &out, at: 0 }.bytes(), Err(Malformed::Truncated));
    }
}
