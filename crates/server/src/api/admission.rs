//! How much may be under way: requests, their bytes, scans, and answers that their clients have not read.
//!
//! What a request takes is counted before it is allocated (a frame states its length) and given back when its answer
//! has gone to the transport. An answer goes there in small pieces, as fast as its client reads; one that nobody
//! reads is dropped after a while. So a client that floods, or never reads, costs bounded memory and gets
//! `too many requests`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::error::ApiError;
use super::limits::Limits;

/// Answers up to this size are accounted for by the number of requests alone.
const SMALL_ANSWER_BYTES: usize = 16 * 1024;
/// Semaphores count in units of this many bytes.
const UNIT_BYTES: usize = 1024;
/// Answers go to the transport in pieces of at most this size.
const PIECE_BYTES: usize = 64 * 1024;
/// How long an answer waits until enough of the others have been read.
const UNREAD_WAIT: Duration = Duration::from_secs(5);
/// An answer of which nothing was read for as long is dropped. Checked as often, so it may take twice as long.
const UNREAD_PATIENCE: Duration = Duration::from_secs(30);
/// So many large reads run at once: more would only take processors from each other and from consensus.
const SCANS: usize = 4;

/// The counters, shared by all services of one client port.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    request_units: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    unread_units: Arc<Semaphore>,
    unread_units_max: usize,
    unread_wait: Duration,
    unread_patience: Duration,
    max_frame_bytes: usize,
}

/// The right to run a large read and to hold its result.
#[derive(Debug)]
pub(crate) struct ScanPlace {
    _permit: OwnedSemaphorePermit,
}

/// What an answer takes until it is read. Put into the extensions of the answer.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Admission {
        let unread_units_max = units(limits.max_unread_bytes);
        Admission {
            requests: Arc::new(Semaphore::new(limits.max_requests)),
            request_units: Arc::new(Semaphore::new(units(limits.max_requests_bytes))),
            scans: Arc::new(Semaphore::new(SCANS)),
            unread_units: Arc::new(Semaphore::new(unread_units_max)),
            unread_units_max,
            unread_wait: UNREAD_WAIT,
            unread_patience: UNREAD_PATIENCE,
            max_frame_bytes: limits.max_frame_bytes(),
        }
    }

    /// Waits for a place to run a large read.
    pub(crate) async fn scan(&self) -> ScanPlace {
        let permit = self.scans.clone().acquire_owned().await.expect("the semaphore is never closed");
        ScanPlace { _permit: permit }
    }

    /// Accounts for an answer of `bytes`; `None` if it is small. One larger than everything allowed together has to
    /// be alone.
    ///
    /// # Errors
    /// If others are not read in time.
    pub(crate) async fn unread(&self, bytes: usize) -> Result<Option<Unread>, ApiError> {
        if bytes <= SMALL_ANSWER_BYTES {
            return Ok(None);
        }
        let units = u32::try_from(units(bytes).min(self.unread_units_max)).unwrap_or(u32::MAX);
        let acquire = self.unread_units.clone().acquire_many_owned(units);
        match tokio::time::timeout(self.unread_wait, acquire).await {
            Ok(permit) => {
                Ok(Some(Unread { _permit: Arc::new(permit.expect("the semaphore is never closed")) }))
            }
            Err(_) => Err(ApiError::TooManyRequests),
        }
    }

    /// The same for the answer to a write, which has been done: it waits as long, and then goes without a place.
    pub(crate) async fn unread_write(&self, bytes: usize) -> Option<Unread> {
        self.unread(bytes).await.unwrap_or_default()
    }

    /// Accounts for a request frame of `bytes` that is about to be read.
    fn frame(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Status> {
        if bytes > self.max_frame_bytes {
            // The code and text of etcd's transport, which its clients know.
            let text =
                format!("grpc: received message larger than max ({bytes} vs. {})", self.max_frame_bytes);
            return Err(Status::resource_exhausted(text));
        }
        let units = u32::try_from(units(bytes)).unwrap_or(u32::MAX);
        let permit = self.request_units.clone().try_acquire_many_owned(units);
        permit.map_err(|_| ApiError::TooManyRequests.into())
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS)
}

/// A service whose requests are counted.
#[derive(Clone, Debug)]
pub(crate) struct Admitted<S> {
    service: S,
    admission: Admission,
}

impl<S> Admitted<S> {
    pub(crate) fn new(service: S, admission: &Admission) -> Admitted<S> {
        Admitted { service, admission: admission.clone() }
    }
}

impl<S: NamedService> NamedService for Admitted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Ok(place) = self.admission.requests.clone().try_acquire_owned() else {
            let refused = Status::from(ApiError::TooManyRequests).into_http();
            return Box::pin(std::future::ready(Ok(refused)));
        };
        let frame = Arc::new(Mutex::new(None));
        let body = |inner| RequestBody {
            inner,
            admission: self.admission.clone(),
            frame: frame.clone(),
            position: Position::Header { length: 0, missing: HEADER_BYTES },
        };
        let patience = self.admission.unread_patience;
        let answer = self.service.call(request.map(|inner| Body::new(body(inner))));
        Box::pin(async move {
            let mut answer = answer.await?;
            let unread = answer.extensions_mut().remove::<Unread>();
            let held = Held { _place: place, _frame: frame, unread };
            Ok(answer.map(|inner| Body::new(AnswerBody::new(inner, held, patience))))
        })
    }
}

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

/// The body of a request: each frame is accounted for when its header is seen, until the answer is given or the next
/// frame starts.
#[derive(Debug)]
struct RequestBody {
    inner: Body,
    admission: Admission,
    frame: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    position: Position,
}

impl RequestBody {
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
                        // The previous frame of a stream has been handed on; what became of it is not a frame.
                        self.frame.lock().take();
                        *self.frame.lock() = Some(self.admission.frame(length)?);
                        self.position = Position::after_header(length);
                    }
                }
                Position::Message { missing } => {
                    let taken = data.len().min(*missing);
                    data = &data[taken..];
                    *missing -= taken;
                    if *missing == 0 {
                        self.position = Position::Header { length: 0, missing: HEADER_BYTES };
                    }
                }
            }
        }
        Ok(())
    }
}

impl Position {
    fn after_header(length: usize) -> Position {
        match length {
            0 => Position::Header { length: 0, missing: HEADER_BYTES },
            missing => Position::Message { missing },
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(refused) = self.account(data)
        {
            return Poll::Ready(Some(Err(refused)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

/// What a request keeps taken until its answer is gone.
#[derive(Debug)]
struct Held {
    _place: OwnedSemaphorePermit,
    _frame: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    unread: Option<Unread>,
}

/// The body of an answer, in small pieces, with what the request holds.
#[derive(Debug)]
struct AnswerBody {
    answer: Arc<Mutex<Answer>>,
}

#[derive(Debug)]
enum Answer {
    Going {
        inner: Body,
        /// What of the last frame has not gone yet.
        rest: Bytes,
        /// Whether the transport took something since the last look.
        progress: bool,
        _held: Held,
    },
    /// Nobody read it.
    Dropped,
}

impl AnswerBody {
    fn new(inner: Body, held: Held, patience: Duration) -> AnswerBody {
        let large = held.unread.is_some();
        let answer = Answer::Going { inner, rest: Bytes::new(), progress: true, _held: held };
        let answer = Arc::new(Mutex::new(answer));
        if large {
            // The transport asks for more only while its client reads, so somebody else has to look after it.
            let watched = Arc::downgrade(&answer);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(patience).await;
                    let Some(answer) = watched.upgrade() else { return };
                    if !answer.lock().look_after() {
                        return;
                    }
                }
            });
        }
        AnswerBody { answer }
    }
}

impl Answer {
    /// Whether it is still going; one without progress is dropped.
    fn look_after(&mut self) -> bool {
        match self {
            Answer::Going { progress, .. } => {
                if std::mem::take(progress) {
                    return true;
                }
                *self = Answer::Dropped;
                false
            }
            Answer::Dropped => false,
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut answer = self.answer.lock();
        let Answer::Going { inner, rest, progress, .. } = &mut *answer else {
            // What was asked may have been done: the code is none of a refusal.
            let text = "synod: the answer was dropped because it was not read in time";
            return Poll::Ready(Some(Err(Status::unavailable(text))));
        };
        *progress = true;
        if rest.is_empty() {
            match std::task::ready!(Pin::new(inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => *rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &*self.answer.lock() {
            Answer::Going { inner, rest, .. } => rest.is_empty() && inner.is_end_stream(),
            Answer::Dropped => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(limits: Limits) -> Admission {
        let short = Duration::from_millis(20);
        Admission { unread_wait: short, unread_patience: short, ..Admission::new(&limits) }
    }

    fn body(admission: &Admission) -> RequestBody {
        RequestBody {
            inner: Body::empty(),
            admission: admission.clone(),
            frame: Arc::default(),
            position: Position::Header { length: 0, missing: HEADER_BYTES },
        }
    }

    fn header(length: u32) -> Vec<u8> {
        [&[0][..], &length.to_be_bytes()].concat()
    }

    #[test]
    fn a_frame_is_accounted_for_when_its_header_is_complete_and_given_back_with_the_request() {
        let admission = admission(Limits { max_requests_bytes: 10 * UNIT_BYTES, ..Limits::default() });
        let mut body = body(&admission);
        let header = header(3 * UNIT_BYTES as u32);
        body.account(&header[..4]).unwrap();
        assert_eq!(admission.request_units.available_permits(), 10);
        body.account(&header[4..]).unwrap();
        assert_eq!(admission.request_units.available_permits(), 7, "before a byte of the message is there");
        body.account(&vec![0; 3 * UNIT_BYTES]).unwrap();
        assert_eq!(admission.request_units.available_permits(), 7);
        drop(body);
        assert_eq!(admission.request_units.available_permits(), 10);
    }

    #[test]
    fn the_next_frame_of_a_stream_replaces_the_one_before() {
        let admission = admission(Limits { max_requests_bytes: 10 * UNIT_BYTES, ..Limits::default() });
        let mut body = body(&admission);
        let mut stream = header(2000);
        stream.extend(vec![7; 2000]);
        stream.extend(header(0));
        stream.extend(header(5000));
        body.account(&stream).unwrap();
        assert_eq!(admission.request_units.available_permits(), 5);
        assert!(matches!(body.position, Position::Message { missing: 5000 }));
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_it_is_read() {
        let limits = Limits::default();
        let mut body = body(&admission(limits));
        let refused = body.account(&header(limits.max_frame_bytes() as u32 + 1)).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert_eq!(refused.message(), "grpc: received message larger than max (2097153 vs. 2097152)");
    }

    #[test]
    fn frames_that_take_too_much_together_are_refused() {
        let admission = admission(Limits { max_requests_bytes: 4 * UNIT_BYTES, ..Limits::default() });
        let (mut first, mut second) = (body(&admission), body(&admission));
        first.account(&header(3 * UNIT_BYTES as u32)).unwrap();
        let refused = second.account(&header(2 * UNIT_BYTES as u32)).unwrap_err();
        assert_eq!(refused.message(), "etcdserver: too many requests");
        drop(first);
        second = body(&admission);
        second.account(&header(2 * UNIT_BYTES as u32)).unwrap();
    }

    #[tokio::test]
    async fn a_large_answer_waits_for_the_others_to_be_read_but_not_for_ever() {
        let admission = admission(Limits { max_unread_bytes: 64 * UNIT_BYTES, ..Limits::default() });
        let first = admission.unread(40 * UNIT_BYTES).await.unwrap();
        assert!(admission.unread(SMALL_ANSWER_BYTES).await.unwrap().is_none(), "small ones never wait");
        assert_eq!(admission.unread(40 * UNIT_BYTES).await.unwrap_err(), ApiError::TooManyRequests);
        drop(first);
        let alone = admission.unread(1000 * UNIT_BYTES).await.unwrap();
        assert!(alone.is_some(), "one that is larger than all allowed goes alone");
        assert_eq!(admission.unread(17 * UNIT_BYTES).await.unwrap_err(), ApiError::TooManyRequests);
    }

    /// A service that answers every request with one large message.
    #[derive(Clone)]
    struct Large(Admission);

    impl Service<Request<Body>> for Large {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<Response<Body>, Infallible>;

        fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let admission = self.0.clone();
            Box::pin(async move {
                let unread = admission.unread(100 * 1024).await.unwrap().expect("it is not small");
                let message =
                    tokio_stream::once(Ok::<_, Status>(Frame::data(Bytes::from(vec![1; 100 * 1024]))));
                let mut answer = Response::new(Body::new(StreamBody(message)));
                answer.extensions_mut().insert(unread);
                Ok(answer)
            })
        }
    }

    struct StreamBody<S>(S);

    impl<S> HttpBody for StreamBody<S>
    where
        S: tokio_stream::Stream<Item = Result<Frame<Bytes>, Status>> + Unpin,
    {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut TaskContext<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Pin::new(&mut self.0).poll_next(cx)
        }
    }

    async fn next_piece(body: &mut Body) -> Option<Result<Bytes, Status>> {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        Some(frame.map(|frame| frame.into_data().expect("there are no trailers")))
    }

    #[tokio::test]
    async fn an_answer_goes_in_pieces_and_what_it_took_is_given_back_when_it_is_gone() {
        let admission = admission(Limits { max_requests: 1, ..Limits::default() });
        let free = admission.unread_units.available_permits();
        let mut service = Admitted::new(Large(admission.clone()), &admission);
        let mut answer = service.call(Request::new(Body::empty())).await.unwrap().into_body();
        let busy = service.call(Request::new(Body::empty())).await.unwrap();
        let status = Status::from_header_map(busy.headers()).expect("a refusal is all in the header");
        assert_eq!(status.message(), "etcdserver: too many requests");
        assert_eq!(next_piece(&mut answer).await.unwrap().unwrap().len(), PIECE_BYTES);
        assert_eq!(next_piece(&mut answer).await.unwrap().unwrap().len(), 100 * 1024 - PIECE_BYTES);
        assert!(next_piece(&mut answer).await.is_none());
        assert_eq!(admission.unread_units.available_permits(), free - 100);
        drop(answer);
        assert_eq!(admission.unread_units.available_permits(), free);
        assert_eq!(admission.requests.available_permits(), 1);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_dropped() {
        let admission = admission(Limits::default());
        let free = admission.unread_units.available_permits();
        let mut service = Admitted::new(Large(admission.clone()), &admission);
        let mut answer = service.call(Request::new(Body::empty())).await.unwrap().into_body();
        next_piece(&mut answer).await.unwrap().unwrap();
        let given_back = admission.unread_units.clone().acquire_many_owned(free as u32);
        let all = tokio::time::timeout(Duration::from_secs(30), given_back).await;
        drop(all.expect("what it took is given back"));
        let error = next_piece(&mut answer).await.unwrap().unwrap_err();
        assert_eq!(error.message(), "synod: the answer was dropped because it was not read in time");
    }
}
