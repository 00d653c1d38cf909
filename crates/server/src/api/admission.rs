//! Which requests are let in, and for how long.
//!
//! What a request takes is counted before it is allocated (a frame states its length) and given back when its answer
//! has gone to the transport: see `accounts`. An answer goes there in small pieces, as fast as its client reads.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::accounts::{Account, Accounts, Call};
use super::answer::AnswerBody;
use super::limits::{Limits, MAX_METADATA_BYTES};
use super::request::RequestBody;

/// So many large reads run at once: more would only take processors from each other and from consensus.
const SCANS: usize = 4;
/// What HTTP/2 counts for a header besides its name and value.
const HEADER_OVERHEAD_BYTES: usize = 32;

/// The right to run a large read and to hold its result.
#[derive(Debug)]
pub(crate) struct ScanPlace {
    _permit: OwnedSemaphorePermit,
}

/// The large reads of all clients.
#[derive(Clone, Debug)]
pub(crate) struct Scans {
    places: Arc<Semaphore>,
}

impl Scans {
    pub(crate) fn new() -> Scans {
        Scans { places: Arc::new(Semaphore::new(SCANS)) }
    }

    /// Waits for a place to run a large read.
    pub(crate) async fn place(&self) -> ScanPlace {
        let permit = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        ScanPlace { _permit: permit }
    }
}

/// A service whose requests are counted.
#[derive(Clone, Debug)]
pub(crate) struct Admitted<S> {
    service: S,
    accounts: Accounts,
    max_frame_bytes: usize,
}

impl<S> Admitted<S> {
    pub(crate) fn new(service: S, accounts: &Accounts, limits: &Limits) -> Admitted<S> {
        Admitted { service, accounts: accounts.clone(), max_frame_bytes: limits.max_frame_bytes() }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// If its head is too large, or there is no room.
    fn admit(&self, request: &mut Request<Body>) -> Result<Arc<Call>, Status> {
        let bytes = head_bytes(request.headers());
        if bytes > MAX_METADATA_BYTES {
            let text = format!("synod: metadata larger than max ({bytes} vs. {MAX_METADATA_BYTES})");
            return Err(Status::resource_exhausted(text));
        }
        // Every connection has an account; only a service that is called without one has not.
        let account = request.extensions_mut().remove::<Arc<Account>>();
        let call = account.unwrap_or_else(|| self.accounts.open()).begin(bytes)?;
        request.extensions_mut().insert(call.clone());
        Ok(call)
    }
}

/// The size of a head as HTTP/2 counts it.
fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES).sum()
}

/// How long the client waits, if it says so: at most eight digits and a unit.
fn client_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let amount: u64 = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = match self.admit(&mut request) {
            Ok(call) => call,
            Err(refused) => return Box::pin(std::future::ready(Ok(refused.into_http()))),
        };
        let timeout = client_timeout(request.headers());
        let (body, max_frame_bytes) = (call.clone(), self.max_frame_bytes);
        let request = request.map(|inner| Body::new(RequestBody::new(inner, body, max_frame_bytes)));
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = match timeout {
                None => answer.await?,
                Some(timeout) => match tokio::time::timeout(timeout, answer).await {
                    Ok(answer) => answer?,
                    // What was asked may still be done.
                    Err(_) => {
                        Status::deadline_exceeded("synod: no answer in the time that the client allows")
                            .into_http()
                    }
                },
            };
            Ok(answer.map(|inner| Body::new(AnswerBody::new(inner, call))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_time_is_at_most_eight_digits_and_a_unit() {
        let timeout = |text: &str| {
            client_timeout(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]))
        };
        assert_eq!(timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(timeout("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        for nonsense in ["", "S", "5", "5 S", "123456789m", "-1S", "+1S", "5x"] {
            assert_eq!(timeout(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(client_timeout(&HeaderMap::new()), None);
    }
}
