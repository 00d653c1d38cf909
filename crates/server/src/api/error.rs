//! The codes and texts with which failures reach clients. Both are contract: the Go client, jetcd, Patroni and
//! others decide by them (etcd's `api/v3rpc/rpctypes`).

use synod_store::response::Refusal;
use tonic::{Code, Status};

use crate::handle::{ReadError, WriteError};

/// Why a request was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// The store says no. Nothing was changed.
    Refused(Refusal),
    /// A write was not confirmed.
    Write(WriteError),
    /// A read could not be confirmed.
    Read(ReadError),
    /// The request is larger than `max_request_bytes`.
    RequestTooLarge,
    /// The client asked to be refused without a leader, and there is none.
    NoLeader,
    /// Too much is under way already.
    TooManyRequests,
    /// A write was done, and its answer is larger than a message can be.
    AnswerTooLarge(usize),
    /// An enumeration holds a number that names nothing.
    UnknownEnum {
        /// Which field.
        field: &'static str,
        /// What it held.
        value: i32,
    },
    /// The metadata `client-api-version` is not text.
    InvalidClientApiVersion,
    /// Part of etcd's interface that is not there (yet).
    Unimplemented(&'static str),
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        ApiError::Refused(refusal)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> ApiError {
        ApiError::Write(error)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> ApiError {
        ApiError::Read(error)
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        match error {
            ApiError::Refused(refusal) => Status::new(refusal_code(refusal), refusal.to_string()),
            ApiError::Write(error) => Status::new(write_code(error), error.to_string()),
            ApiError::Read(error) => Status::new(read_code(error), error.to_string()),
            ApiError::RequestTooLarge => Status::invalid_argument("etcdserver: request is too large"),
            ApiError::NoLeader => Status::unavailable("etcdserver: no leader"),
            ApiError::TooManyRequests => Status::resource_exhausted("etcdserver: too many requests"),
            // Not a refusal, so not the code of one.
            ApiError::AnswerTooLarge(bytes) => Status::unavailable(format!(
                "{WRITE_DONE}, but its answer of {bytes} bytes is larger than a message can be"
            )),
            ApiError::UnknownEnum { field, value } => {
                Status::invalid_argument(format!("etcdserver: invalid {field}: {value} names nothing"))
            }
            ApiError::InvalidClientApiVersion => {
                Status::invalid_argument("etcdserver: invalid client api version")
            }
            ApiError::Unimplemented(what) => Status::unimplemented(format!("synod: {what}")),
        }
    }
}

fn refusal_code(refusal: Refusal) -> Code {
    match refusal {
        Refusal::EmptyKey
        | Refusal::KeyNotFound
        | Refusal::ValueProvided
        | Refusal::LeaseProvided
        | Refusal::TooManyOps
        | Refusal::DuplicateKey
        | Refusal::InvalidSortOption => Code::InvalidArgument,
        Refusal::Compacted | Refusal::FutureRevision => Code::OutOfRange,
        Refusal::LeaseNotFound => Code::NotFound,
    }
}

/// An unknown outcome is `Unavailable` as in etcd: its clients repeat a write only if the text says that there was
/// no connection at all. So is the want of a leader, which [`is_refusal`] tells apart by its text.
fn write_code(error: WriteError) -> Code {
    match error {
        WriteError::TooManyRequests => Code::ResourceExhausted,
        WriteError::TooLarge => Code::InvalidArgument,
        WriteError::NoLeader => Code::Unavailable,
        WriteError::TimedOut | WriteError::Unknown | WriteError::Stopped => Code::Unavailable,
    }
}

fn read_code(error: ReadError) -> Code {
    match error {
        ReadError::TooManyRequests => Code::ResourceExhausted,
        ReadError::NoLeader | ReadError::TimedOut | ReadError::Stopped => Code::Unavailable,
    }
}

/// The beginnings of what members say, Synod's and etcd's. No client library and no proxy speaks like that.
const WORDS_OF_MEMBERS: [&str; 3] = ["etcdserver: ", "synod: ", "grpc: received message larger than max "];

/// What a member says of a write that was done, though its answer cannot be sent.
const WRITE_DONE: &str = "synod: the write was done";

/// Whether `status`, as a client got it, says for certain that the write was done.
pub fn is_done(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message().starts_with(WRITE_DONE)
}

/// Whether `status`, as a client got it, says for certain that the request changed nothing and never will.
///
/// Codes alone do not tell. `ResourceExhausted` and `OutOfRange` also come from a client's own library when it cannot
/// take an answer, and `Unimplemented` when it cannot read one; proxies make up others. So only the words of a member
/// count, and of those only the ones that refuse. Everything else leaves the outcome of a write unknown.
pub fn is_refusal(status: &Status) -> bool {
    let (code, text) = (status.code(), status.message());
    let refuses = match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => true,
        Code::Unavailable => text == "etcdserver: no leader",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => false,
    };
    // What has a source was made up on this side of the connection.
    let is_from_afar = std::error::Error::source(status).is_none();
    refuses && is_from_afar && WORDS_OF_MEMBERS.iter().any(|words| text.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_for_a_refusal_exactly_what_certainly_changed_nothing() {
        let refused: [ApiError; 7] = [
            Refusal::Compacted.into(),
            WriteError::TooManyRequests.into(),
            WriteError::TooLarge.into(),
            WriteError::NoLeader.into(),
            ApiError::RequestTooLarge,
            ApiError::TooManyRequests,
            ApiError::Unimplemented("not here"),
        ];
        for error in refused {
            assert!(is_refusal(&error.clone().into()), "{error:?}");
        }
        let unknown: [ApiError; 4] = [
            WriteError::TimedOut.into(),
            WriteError::Unknown.into(),
            WriteError::Stopped.into(),
            ApiError::AnswerTooLarge(5 << 30),
        ];
        for error in unknown {
            assert!(!is_refusal(&error.clone().into()), "{error:?}");
        }
    }

    #[test]
    fn what_a_library_or_a_proxy_makes_up_is_no_refusal() {
        for status in [
            Status::out_of_range(
                "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes",
            ),
            Status::resource_exhausted("grpc: received message after decompression larger than max"),
            Status::unimplemented("grpc-status header missing, mapped from HTTP status code 404"),
            Status::permission_denied("RBAC: access denied"),
            Status::cancelled("etcdserver: as if a member had said so"),
            Status::deadline_exceeded("no answer within 5s"),
            Status::internal("h2 protocol error: error reading a body from connection"),
            Status::unavailable("etcdserver: leader changed"),
            Status::unknown(""),
        ] {
            assert!(!is_refusal(&status), "{status:?}");
        }
    }

    #[track_caller]
    fn client_sees(error: impl Into<ApiError>, code: Code, text: &str) {
        let status = Status::from(error.into());
        assert_eq!((status.code(), status.message()), (code, text));
    }

    #[test]
    fn refusals_have_etcds_codes_and_texts() {
        use Code::{InvalidArgument, NotFound, OutOfRange};
        client_sees(Refusal::EmptyKey, InvalidArgument, "etcdserver: key is not provided");
        client_sees(Refusal::KeyNotFound, InvalidArgument, "etcdserver: key not found");
        client_sees(Refusal::ValueProvided, InvalidArgument, "etcdserver: value is provided");
        client_sees(Refusal::LeaseProvided, InvalidArgument, "etcdserver: lease is provided");
        client_sees(Refusal::TooManyOps, InvalidArgument, "etcdserver: too many operations in txn request");
        client_sees(Refusal::DuplicateKey, InvalidArgument, "etcdserver: duplicate key given in txn request");
        client_sees(Refusal::InvalidSortOption, InvalidArgument, "etcdserver: invalid sort option");
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        client_sees(Refusal::Compacted, OutOfRange, compacted);
        let future = "etcdserver: mvcc: required revision is a future revision";
        client_sees(Refusal::FutureRevision, OutOfRange, future);
        client_sees(Refusal::LeaseNotFound, NotFound, "etcdserver: requested lease not found");
    }

    #[test]
    fn unconfirmed_writes_and_reads_have_etcds_codes_and_texts() {
        use Code::{InvalidArgument, ResourceExhausted, Unavailable};
        let previous = "etcdserver: request timed out, possibly due to previous leader failure";
        client_sees(WriteError::TooManyRequests, ResourceExhausted, "etcdserver: too many requests");
        client_sees(WriteError::TooLarge, InvalidArgument, "etcdserver: request is too large");
        client_sees(WriteError::NoLeader, Unavailable, "etcdserver: no leader");
        client_sees(WriteError::TimedOut, Unavailable, "etcdserver: request timed out");
        client_sees(WriteError::Unknown, Unavailable, previous);
        client_sees(WriteError::Stopped, Unavailable, "etcdserver: server stopped");
        client_sees(ReadError::TooManyRequests, ResourceExhausted, "etcdserver: too many requests");
        client_sees(ReadError::NoLeader, Unavailable, "etcdserver: no leader");
        client_sees(ReadError::TimedOut, Unavailable, "etcdserver: request timed out");
        client_sees(ReadError::Stopped, Unavailable, "etcdserver: server stopped");
    }

    #[test]
    fn what_the_api_itself_refuses_has_etcds_codes_and_texts() {
        use Code::{InvalidArgument, ResourceExhausted, Unavailable, Unimplemented};
        client_sees(ApiError::RequestTooLarge, InvalidArgument, "etcdserver: request is too large");
        client_sees(ApiError::NoLeader, Unavailable, "etcdserver: no leader");
        client_sees(ApiError::TooManyRequests, ResourceExhausted, "etcdserver: too many requests");
        let version = "etcdserver: invalid client api version";
        client_sees(ApiError::InvalidClientApiVersion, InvalidArgument, version);
        client_sees(ApiError::Unimplemented("not here"), Unimplemented, "synod: not here");
    }
}
