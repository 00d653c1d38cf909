//! The body of an answer on its way to the transport.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

use super::accounts::{Call, PIECE_BYTES, Waiting};

/// What is left of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    inner: Body,
    /// What of the last frame has not gone yet.
    rest: Bytes,
    /// The size of the piece that the transport was given last. It has gone when the transport asks for more.
    lying: usize,
}

impl Answer {
    /// Bytes that may lie in the transport.
    pub(crate) fn lying(&self) -> usize {
        self.lying
    }

    /// The next piece: a large frame goes in small ones, as fast as its client reads.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.lying = 0;
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        self.lying = piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// The body of an answer. What is left of it lies with its call, where it can be dropped although the transport does
/// not ask for more.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    call: Arc<Call>,
}

impl AnswerBody {
    pub(crate) fn new(inner: Body, call: Arc<Call>) -> AnswerBody {
        call.answered();
        let mut progress = call.progress.lock();
        progress.set(Waiting::ForClient);
        progress.answer = Some(Answer { inner, rest: Bytes::new(), lying: 0 });
        drop(progress);
        AnswerBody { call }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut progress = self.call.progress.lock();
        let Some(answer) = &mut progress.answer else {
            // What was asked may have been done: the code is none of a refusal.
            let text = "synod: the answer was dropped because it was not read in time";
            return Poll::Ready(Some(Err(Status::unavailable(text))));
        };
        let polled = answer.poll_piece(cx);
        if polled.is_pending() {
            progress.set(Waiting::ForNews);
            progress.waker = Some(cx.waker().clone());
        } else {
            progress.set(Waiting::ForClient);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let progress = self.call.progress.lock();
        progress.answer.as_ref().is_some_and(|answer| answer.rest.is_empty() && answer.inner.is_end_stream())
    }
}
