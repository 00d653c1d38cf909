//! The body of a request on its way from the transport.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

use super::accounts::{Call, Waiting};
use super::error::ApiError;

/// A frame starts with a flag and its length.
const HEADER_BYTES: usize = 5;

/// Where in the stream of frames of a request body reading stands.
#[derive(Debug)]
enum Position {
    /// Inside a header: its last four bytes are the length of what follows.
    Header { length: u32, missing: usize },
    /// Inside a message.
    Message { missing: usize },
}

impl Position {
    const START: Position = Position::Header { length: 0, missing: HEADER_BYTES };
}

/// The body of a request: each frame is accounted for when its header is seen, before it is allocated.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Body,
    call: Arc<Call>,
    max_frame_bytes: usize,
    position: Position,
    /// Bytes of the frame that is or was last received.
    frame: usize,
}

impl RequestBody {
    pub(crate) fn new(inner: Body, call: Arc<Call>, max_frame_bytes: usize) -> RequestBody {
        RequestBody { inner, call, max_frame_bytes, position: Position::START, frame: 0 }
    }

    fn account(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            match &mut self.position {
                Position::Header { length, missing } => {
                    // The flag is shifted out.
                    *length = (*length << 8) | u32::from(data[0]);
                    data = &data[1..];
                    *missing -= 1;
                    if *missing == 0 {
                        let length = *length as usize;
                        self.begin_frame(length)?;
                        self.position =
                            if length == 0 { Position::START } else { Position::Message { missing: length } };
                    }
                }
                Position::Message { missing } => {
                    let taken = data.len().min(*missing);
                    data = &data[taken..];
                    *missing -= taken;
                    if *missing == 0 {
                        self.position = Position::START;
                    }
                }
            }
        }
        Ok(())
    }

    fn begin_frame(&mut self, bytes: usize) -> Result<(), Status> {
        if bytes > self.max_frame_bytes {
            // The code and text of etcd's transport, which its clients know.
            let text =
                format!("grpc: received message larger than max ({bytes} vs. {})", self.max_frame_bytes);
            return Err(Status::resource_exhausted(text));
        }
        // The previous frame of a stream has been handed on; what became of it is not a frame.
        let previous = std::mem::replace(&mut self.frame, bytes);
        Ok(self.call.receive(bytes, previous)?)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(refused) = self.account(data)
        {
            return Poll::Ready(Some(Err(refused)));
        }
        let mut progress = self.call.progress.lock();
        if progress.waiting == Waiting::Dropped {
            // The handler has not seen it: nothing was done.
            return Poll::Ready(Some(Err(ApiError::TooManyRequests.into())));
        }
        match &polled {
            Poll::Pending => progress.waker = Some(cx.waker().clone()),
            // The handler begins when all is there.
            Poll::Ready(None) => progress.set(Waiting::ForHandler),
            Poll::Ready(Some(_)) => progress.set(Waiting::ForClient),
        }
        drop(progress);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::super::accounts::{Accounts, Kind, Patience};
    use super::super::limits::Limits;
    use super::*;

    const KIB: usize = 1024;

    fn accounts(max_requests_bytes: usize) -> Accounts {
        Accounts::new(&Limits { max_requests_bytes, ..Limits::default() }, Patience::default())
    }

    fn body(accounts: &Accounts) -> RequestBody {
        let call = accounts.open().begin(0).unwrap();
        RequestBody::new(Body::empty(), call, Limits::default().max_frame_bytes())
    }

    fn header(length: usize) -> Vec<u8> {
        [&[0][..], &(length as u32).to_be_bytes()].concat()
    }

    #[test]
    fn a_frame_is_accounted_for_when_its_header_is_complete_and_given_back_with_the_request() {
        let accounts = accounts(10 * KIB);
        let mut body = body(&accounts);
        let header = header(3 * KIB);
        body.account(&header[..4]).unwrap();
        assert_eq!(accounts.taken(Kind::Received), 0);
        body.account(&header[4..]).unwrap();
        assert_eq!(accounts.taken(Kind::Received), 3 * KIB, "before a byte of the message is there");
        body.account(&vec![0; 3 * KIB]).unwrap();
        assert_eq!(accounts.taken(Kind::Received), 3 * KIB);
        drop(body);
        assert_eq!(accounts.taken(Kind::Received), 0);
    }

    #[test]
    fn the_next_frame_of_a_stream_replaces_the_one_before() {
        let accounts = accounts(10 * KIB);
        let mut body = body(&accounts);
        let mut stream = header(2000);
        stream.extend(vec![7; 2000]);
        stream.extend(header(0));
        stream.extend(header(5000));
        body.account(&stream).unwrap();
        assert_eq!(accounts.taken(Kind::Received), 5000);
        assert!(matches!(body.position, Position::Message { missing: 5000 }));
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_it_is_read() {
        let limit = Limits::default().max_frame_bytes();
        let refused = body(&accounts(100 * limit)).account(&header(limit + 1)).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert_eq!(refused.message(), "grpc: received message larger than max (2097153 vs. 2097152)");
    }

    #[test]
    fn frames_that_take_too_much_together_are_refused() {
        let accounts = accounts(4 * KIB);
        let mut first = body(&accounts);
        first.account(&header(3 * KIB)).unwrap();
        let refused = body(&accounts).account(&header(2 * KIB)).unwrap_err();
        assert_eq!(refused.message(), "etcdserver: too many requests");
        drop(first);
        body(&accounts).account(&header(2 * KIB)).unwrap();
    }
}
