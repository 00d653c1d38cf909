//! Frames on a stream: four bytes of length, little endian, then so many bytes. A frame of length zero says only that
//! the sender is alive.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// What a reader asks of the system at once. A frame's announced length reserves nothing: memory grows as bytes come.
const READ_BYTES: usize = 64 * 1024;

/// Why no further frame comes.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The other end announced more than may be.
    #[error("a frame of {announced} bytes was announced, at most {max} are allowed")]
    TooLong {
        /// What was announced.
        announced: usize,
        /// What is allowed.
        max: usize,
    },
    /// The stream ended.
    #[error("the connection was closed")]
    Closed,
    /// Not one byte came for so long.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Cuts a stream into frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of `stream` from its beginning.
    pub fn new(stream: R) -> FrameReader<R> {
        FrameReader { stream, buffer: BytesMut::new() }
    }

    /// The next frame of at most `max` bytes. May be cancelled and called again.
    ///
    /// # Errors
    /// If the stream ends or fails, or announces a longer frame. Nothing that comes after makes sense then.
    pub async fn next(&mut self, max: usize) -> Result<Bytes, FrameError> {
        loop {
            if let Some(frame) = self.buffered(max)? {
                return Ok(frame);
            }
            self.read().await?;
        }
    }

    /// The next frame of at most `max` bytes, if no two of its bytes come further apart than `silence_max`. However
    /// long the whole frame takes: a slow link is not a silent one. May be cancelled and called again.
    ///
    /// # Errors
    /// As [`FrameReader::next`], and if nothing comes for `silence_max`.
    pub async fn next_unless_silent(
        &mut self,
        max: usize,
        silence_max: Duration,
    ) -> Result<Bytes, FrameError> {
        loop {
            if let Some(frame) = self.buffered(max)? {
                return Ok(frame);
            }
            timeout(silence_max, self.read()).await.map_err(|_| FrameError::Silent(silence_max))??;
        }
    }

    /// Reads what has come, at least one byte.
    async fn read(&mut self) -> Result<(), FrameError> {
        self.buffer.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(FrameError::Closed),
            _ => Ok(()),
        }
    }

    /// A frame that has come already.
    fn buffered(&mut self, max: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let announced = u32::from_le_bytes(*header) as usize;
        if announced > max {
            return Err(FrameError::TooLong { announced, max });
        }
        if self.buffer.len() < 4 + announced {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(announced).freeze()))
    }
}

/// Writes frames with as few system calls as they take.
///
/// # Errors
/// If the stream fails.
///
/// # Panics
/// If a frame is longer than four bytes can say: no queue takes one.
pub async fn write_frames<W: AsyncWrite + Unpin>(stream: &mut W, frames: &[Bytes]) -> io::Result<()> {
    let headers: Vec<[u8; 4]> = frames.iter().map(header).collect();
    let mut slices = Vec::with_capacity(2 * frames.len());
    for (header, frame) in headers.iter().zip(frames) {
        slices.push(IoSlice::new(header));
        slices.push(IoSlice::new(frame));
    }
    let mut rest = &mut slices[..];
    // Empty slices at the front are skipped by `advance_slices`, so that "nothing written" means a closed stream.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let written = stream.write_vectored(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

fn header(frame: &Bytes) -> [u8; 4] {
    u32::try_from(frame.len()).expect("queues take no frame above FRAME_MAX").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_however_the_stream_cuts_them() {
        let (mut near, far) = tokio::io::duplex(7);
        let frames: Vec<Bytes> =
            vec![Bytes::from_static(b"one"), Bytes::new(), vec![5; 1000].into(), Bytes::from_static(b"!")];
        let sent = frames.clone();
        let writing = tokio::spawn(async move { write_frames(&mut near, &sent).await });
        let mut reader = FrameReader::new(far);
        for frame in &frames {
            assert_eq!(reader.next(1000).await.unwrap(), frame);
        }
        writing.await.unwrap().unwrap();
        assert!(matches!(reader.next(1000).await, Err(FrameError::Closed)));
    }

    #[tokio::test]
    async fn an_announcement_above_the_bound_is_refused_before_a_byte_of_it_is_kept() {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut reader = FrameReader::new(far);
        let error = reader.next(1 << 20).await.unwrap_err();
        assert!(
            matches!(error, FrameError::TooLong { announced, .. } if announced == 0x2054_4547),
            "{error}"
        );
        assert!(reader.buffer.capacity() <= READ_BYTES);
    }

    #[tokio::test]
    async fn a_stream_that_stops_within_a_frame_is_silent_and_one_that_goes_on_is_read_on() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(far);
        near.write_all(&[3, 0, 0, 0, b'o']).await.unwrap();
        let error = reader.next_unless_silent(10, Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(error, FrameError::Silent(_)), "{error}");

        near.write_all(b"ne").await.unwrap();
        assert_eq!(reader.next_unless_silent(10, Duration::from_secs(60)).await.unwrap(), "one");
    }
}
