//! Asking members, one after the other.
//!
//! A read goes on to the next member when one does not answer. A write does so only while it was certainly not
//! sent, that is while there is no connection: sent twice, it could be done twice.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::{Duration, Instant};

use synod_server::api::{is_done, is_refusal};
use synod_server::proto::etcdserverpb::kv_client::KvClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::args::Common;
use super::error::ClientError;

/// Where a member listens for clients: host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    authority: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        let text = text.trim().trim_end_matches('/');
        if text.starts_with("https://") {
            return Err(format!("'{text}': encrypted connections are not there yet; use http"));
        }
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let wrong = || format!("'{text}' is no endpoint; write host:port, as in 127.0.0.1:2379");
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        let uri = format!("http://{authority}");
        if host.is_empty()
            || port.parse::<u16>().is_err()
            || tonic::transport::Endpoint::from_shared(uri).is_err()
        {
            return Err(wrong());
        }
        Ok(Endpoint { authority: authority.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

impl Endpoint {
    /// # Errors
    /// Why there is no connection, in words.
    async fn connect(&self, timeout: Duration) -> Result<Channel, String> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{self}"));
        let endpoint = endpoint.expect("an endpoint is checked when it is parsed").connect_timeout(timeout);
        match tokio::time::timeout(timeout, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(root_cause(&error)),
            Err(_) => Err(format!("no connection within {timeout:?}")),
        }
    }
}

/// The innermost reason: the outer ones say only "transport error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What stands in a status that a member sent or the transport made up.
fn reason(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => root_cause(source),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().to_owned(),
    }
}

/// Whether another member may answer what this one did not: it is not there, or had no leader, or no time.
fn may_be_answered_elsewhere(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
        || std::error::Error::source(status).is_some()
}

/// What reads and writes keys. It takes answers of any size: whatever a member sends was asked for, and to refuse
/// the answer to a write would leave its outcome unknown.
pub(super) fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(usize::MAX)
}

/// A cluster as a client knows it.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    endpoints: Vec<Endpoint>,
    timeout: Duration,
}

impl Cluster {
    pub(super) fn new(common: &Common) -> Cluster {
        Cluster { endpoints: common.endpoints.clone(), timeout: common.timeout }
    }

    /// The cluster seen through one member only.
    pub(super) fn only(&self, endpoint: &Endpoint) -> Cluster {
        Cluster { endpoints: vec![endpoint.clone()], timeout: self.timeout }
    }

    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks what changes nothing, of one member after the other until one answers.
    ///
    /// # Errors
    /// A refusal, or that none answered in time.
    pub(super) async fn read<Q, A, F>(
        &self,
        question: Q,
        ask: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, ClientError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut silent = Vec::new();
        for (endpoint, left) in self.endpoints.iter().zip((1..=self.endpoints.len()).rev()) {
            // Each gets an equal share of the time that is left.
            let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(1);
            let started = Instant::now();
            let channel = match endpoint.connect(share).await {
                Ok(channel) => channel,
                Err(reason) => {
                    silent.push((endpoint.clone(), reason));
                    continue;
                }
            };
            let share = share.saturating_sub(started.elapsed());
            match call(channel, question.clone(), share, &ask).await {
                Ok(answer) => return Ok(answer),
                Err(status) if may_be_answered_elsewhere(&status) => {
                    silent.push((endpoint.clone(), reason(&status)));
                }
                Err(status) => return Err(ClientError::Refused(status)),
            }
        }
        Err(ClientError::NoAnswer(silent))
    }

    /// Sends a write to the first member that can be connected to, once. `next` says how to find out what became
    /// of it.
    ///
    /// # Errors
    /// A refusal, that nobody could be connected to, or that the outcome is unknown.
    pub(super) async fn write<Q, A, F>(
        &self,
        question: Q,
        next: &str,
        ask: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, ClientError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut silent = Vec::new();
        for (endpoint, left) in self.endpoints.iter().zip((1..=self.endpoints.len()).rev()) {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let channel = match endpoint.connect(remaining / u32::try_from(left).unwrap_or(1)).await {
                Ok(channel) => channel,
                Err(reason) => {
                    silent.push((endpoint.clone(), reason));
                    continue;
                }
            };
            let remaining = deadline.saturating_duration_since(Instant::now());
            return match call(channel, question, remaining, &ask).await {
                Ok(answer) => Ok(answer),
                Err(status) if is_refusal(&status) => Err(ClientError::Refused(status)),
                Err(status) if is_done(&status) => {
                    Err(ClientError::AnswerTooLarge(status.message().to_owned()))
                }
                // The write is on its way. Whatever else came, a member may have done it.
                Err(status) => Err(ClientError::OutcomeUnknown {
                    endpoint: endpoint.clone(),
                    reason: reason(&status),
                    next: next.to_owned(),
                }),
            };
        }
        Err(ClientError::NoAnswer(silent))
    }
}

async fn call<Q, A, F>(
    channel: Channel,
    question: Q,
    timeout: Duration,
    ask: &impl Fn(Channel, Request<Q>) -> F,
) -> Result<A, Status>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut request = Request::new(question);
    // The member gives up then, too.
    request.set_timeout(timeout);
    match tokio::time::timeout(timeout, ask(channel, request)).await {
        Ok(Err(status)) if !is_expired(&status) => Err(status),
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        _ => Err(Status::deadline_exceeded(format!("no answer within {timeout:.1?}"))),
    }
}

/// Whether the transport at either end gave the request up because its time was over.
fn is_expired(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == "Timeout expired"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_host_and_port_with_or_without_http() {
        for text in ["127.0.0.1:2379", "http://127.0.0.1:2379", "http://127.0.0.1:2379/", " 127.0.0.1:2379"] {
            assert_eq!(
                text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()),
                Ok("127.0.0.1:2379".into())
            );
        }
        assert_eq!(
            "[::1]:2379".parse::<Endpoint>().map(|endpoint| endpoint.to_string()),
            Ok("[::1]:2379".into())
        );
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_an_example() {
        for text in ["", "localhost", ":2379", "localhost:port", "localhost:99999", "a b:1"] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains("127.0.0.1:2379"), "{text}: {error}");
        }
        let encrypted = "https://a:1".parse::<Endpoint>().unwrap_err();
        assert_eq!(encrypted, "'https://a:1': encrypted connections are not there yet; use http");
    }

    fn cluster(endpoints: &[&str]) -> Cluster {
        let endpoints = endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
        Cluster { endpoints, timeout: Duration::from_secs(5) }
    }

    /// A port on which nobody listens.
    fn nobody() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    /// A port on which somebody accepts HTTP/2 connections.
    async fn somebody() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let routes = tonic::service::Routes::default();
        tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
        address
    }

    #[tokio::test]
    async fn a_write_goes_to_the_next_member_if_there_is_no_connection() {
        let (nobody, somebody) = (nobody(), somebody().await);
        let written =
            cluster(&[&nobody, &somebody]).write((), "", |_, _| async { Ok(Response::new(7)) }).await;
        assert_eq!(written.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_write_that_was_sent_is_not_sent_again() {
        let (first, second) = (somebody().await, somebody().await);
        let sent = std::cell::Cell::new(0);
        let error = cluster(&[&first, &second])
            .write((), "Look.", |_, _| {
                sent.set(sent.get() + 1);
                async { Err::<Response<()>, _>(Status::unavailable("etcdserver: request timed out")) }
            })
            .await
            .unwrap_err();
        assert_eq!(sent.get(), 1);
        assert!(
            matches!(error, ClientError::OutcomeUnknown { reason, .. } if reason == "etcdserver: request timed out")
        );
    }

    #[tokio::test]
    async fn only_a_members_own_refusal_says_that_a_write_was_not_done() {
        let member = somebody().await;
        for (status, is_known) in [
            (Status::invalid_argument("etcdserver: key is not provided"), true),
            (Status::resource_exhausted("etcdserver: too many requests"), true),
            (Status::unavailable("etcdserver: no leader"), true),
            (Status::out_of_range("Error, decoded message length too large: found 9 bytes"), false),
            (Status::resource_exhausted("made up by somebody else"), false),
            (Status::internal("h2 protocol error"), false),
            (Status::cancelled("Timeout expired"), false),
        ] {
            let answer = || async { Err::<Response<()>, _>(status.clone()) };
            let error = cluster(&[&member]).write((), "", |_, _| answer()).await.unwrap_err();
            let refused = matches!(error, ClientError::Refused(_));
            assert_eq!(refused, is_known, "{error}");
            assert!(refused || matches!(error, ClientError::OutcomeUnknown { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_write_whose_answer_no_message_can_hold_is_known_to_be_done() {
        let status = "synod: the write was done, but its answer of 9 bytes is larger than a message can be";
        let answer = || async { Err::<Response<()>, _>(Status::unavailable(status)) };
        let error = cluster(&[&somebody().await]).write((), "", |_, _| answer()).await.unwrap_err();
        assert!(matches!(&error, ClientError::AnswerTooLarge(text) if text == status), "{error}");
    }

    #[tokio::test]
    async fn a_read_goes_on_until_one_answers() {
        let (first, second) = (somebody().await, somebody().await);
        let asked = std::cell::Cell::new(0);
        let answer = cluster(&[&first, &nobody(), &second])
            .read((), |_, _| {
                asked.set(asked.get() + 1);
                let first = asked.get() == 1;
                async move { if first { Err(Status::unavailable("no leader")) } else { Ok(Response::new(9)) } }
            })
            .await;
        assert_eq!((answer.unwrap(), asked.get()), (9, 2));
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let (first, second) = (somebody().await, somebody().await);
        let refused =
            || async { Err::<Response<()>, _>(Status::invalid_argument("etcdserver: key is not provided")) };
        let cluster = cluster(&[&first, &second]);
        let read = cluster.read((), |_, _| refused()).await.unwrap_err();
        let write = cluster.write((), "", |_, _| refused()).await.unwrap_err();
        assert!(matches!((read, write), (ClientError::Refused(_), ClientError::Refused(_))));
    }
}
