//! Connections of clients: so many at once, and none for longer than it is of use.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::service::Routes;
use tracing::{debug, warn};

use super::accounts::{Account, Accounts};
use super::limits::{Limits, MAX_METADATA_BYTES};
use crate::clock;
use crate::repeats::Repeats;

/// How long to wait when the system has no room for another connection (no free descriptor, for one).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a new connection waits for the place of one that was idle.
const PLACE_WAIT: Duration = Duration::from_secs(1);
/// How long a client may take to leave once it was asked to.
const LEAVE_TIME: Duration = Duration::from_secs(10);
/// How long requests under way may take once a stop was asked for.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// What clients of one member are served by, on whichever port they come.
#[derive(Clone)]
pub(crate) struct Connections {
    routes: Routes,
    accounts: Accounts,
    places: Arc<Semaphore>,
    http: Builder<TokioExecutor>,
}

impl Connections {
    pub(crate) fn new(routes: Routes, accounts: Accounts, limits: &Limits) -> Connections {
        let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        Connections { routes: routes.prepare(), accounts, places, http: http(limits) }
    }

    /// Serves until `shutdown` is done; then no new requests are taken, and those under way get a few seconds.
    pub(crate) async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let stopping = watch::Sender::new(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut look = tokio::time::interval(self.accounts.patience().client / 4);
        let mut repeats = Repeats::default();
        let mut report = |trouble: &str| {
            if let Some(trouble) = repeats.line(clock::now(), trouble) {
                warn!("{trouble}");
            }
        };
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = look.tick() => self.accounts.drop_stalled(),
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => match self.place().await {
                        Some(place) => {
                            connections.spawn(self.clone().connection(stream, place, stopping.subscribe()));
                        }
                        None => report("a client's connection was closed: there are as many as are allowed"),
                    },
                    Err(error) => {
                        report(&format!("a client's connection could not be accepted: {error}"));
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        stopping.send_replace(true);
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, all).await.is_err() {
            warn!("requests were still under way when the client port closed");
        }
    }

    /// A place among those allowed, if there is one or can be made.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Some(place);
        }
        if self.accounts.end_idlest(self.accounts.patience().place)
            && let Ok(place) = tokio::time::timeout(PLACE_WAIT, self.places.clone().acquire_owned()).await
        {
            return place.ok();
        }
        None
    }

    async fn connection(
        self,
        stream: TcpStream,
        _place: OwnedSemaphorePermit,
        mut stopping: watch::Receiver<bool>,
    ) {
        // Fails only for a connection that is gone already; reading from it will tell.
        let _ = stream.set_nodelay(true);
        let account = self.accounts.open();
        let service = ForAccount { routes: self.routes, account: account.clone() };
        let mut serving = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            served = &mut serving => return ended(served),
            () = account.has_to_end() => return debug!("a client's connection ended: it held what others need"),
            () = idle_for(&account, self.accounts.patience().idle) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        // The client is told which of its requests are still served, so it loses none by this.
        serving.as_mut().graceful_shutdown();
        tokio::select! {
            served = &mut serving => ended(served),
            () = account.has_to_end() => {}
            () = idle_for(&account, LEAVE_TIME) => {}
        }
    }
}

fn ended(served: hyper::Result<()>) {
    if let Err(error) = served {
        debug!(%error, "a client's connection ended");
    }
}

/// Waits until the connection has had no request for `time`, counted from now at the earliest.
async fn idle_for(account: &Account, time: Duration) {
    let mut left = time;
    loop {
        tokio::time::sleep(left).await;
        match account.idle_since() {
            Some(since) if since.elapsed() >= time => return,
            Some(since) => left = time.saturating_sub(since.elapsed()),
            None => left = time,
        }
    }
}

fn http(limits: &Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        // A connection whose other end is gone is noticed, and what it holds is given back.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(limits.max_streams_per_connection)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        // A client that cancels all its requests, and as many more, before this member has seen the first, keeps its
        // connection; one that goes on like that does not.
        .max_pending_accept_reset_streams(4 * limits.max_streams_per_connection as usize)
        // Larger than what is let in, so that most of what is not is refused in gRPC's words.
        .max_header_list_size(2 * MAX_METADATA_BYTES as u32);
    http
}

/// The routes for one connection: each request carries its account.
struct ForAccount {
    routes: Routes,
    account: Arc<Account>,
}

impl hyper::service::Service<Request<Incoming>> for ForAccount {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.account.clone());
        Box::pin(self.routes.clone().call(request.map(Body::new)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::accounts::Patience;
    use super::*;

    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;

    async fn served(limits: Limits, idle: Duration, place: Duration) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accounts = Accounts::new(&limits, Patience { idle, place, ..Patience::default() });
        let connections = Connections::new(Routes::default(), accounts, &limits);
        tokio::spawn(connections.serve(listener, std::future::pending()));
        address
    }

    async fn client(address: std::net::SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(HELLO).await.unwrap();
        stream
    }

    /// Reads frames to the end of the connection, answers pings, and returns the kinds of frames.
    async fn to_the_end(stream: &mut TcpStream) -> Vec<u8> {
        let mut kinds = Vec::new();
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            kinds.push(head[3]);
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if head[3] == PING && head[4] == 0 {
                let pong = [&[0, 0, 8, PING, 1, 0, 0, 0, 0][..], &payload].concat();
                stream.write_all(&pong).await.unwrap();
            }
        }
        kinds
    }

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_connection_without_a_request_is_asked_to_end_after_a_while() {
        let address = served(Limits::default(), SHORT, LONG).await;
        let kinds = to_the_end(&mut client(address).await).await;
        assert!(kinds.contains(&GOAWAY), "{kinds:?}");
    }

    #[tokio::test]
    async fn an_idle_connection_gives_its_place_to_a_new_one() {
        let one = Limits { max_connections: 1, ..Limits::default() };
        let address = served(one, LONG, SHORT).await;
        let mut idle = client(address).await;
        loop {
            let mut new = client(address).await;
            // One that comes before the other has been idle for long enough is refused.
            if matches!(new.read(&mut [0; 9]).await, Ok(1..)) {
                break;
            }
        }
        to_the_end(&mut idle).await;
    }

    #[tokio::test]
    async fn a_connection_in_use_keeps_its_place() {
        let one = Limits { max_connections: 1, ..Limits::default() };
        let address = served(one, LONG, LONG).await;
        let mut first = client(address).await;
        first.read_exact(&mut [0; 9]).await.unwrap();
        let refused = client(address).await.read(&mut [0; 9]).await;
        assert!(!matches!(refused, Ok(1..)), "{refused:?}");
    }
}
