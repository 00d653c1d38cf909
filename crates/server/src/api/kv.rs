//! `etcdserverpb.KV`: keys and values.

use std::sync::Arc;

use prost::Message;
use synod_store::request::{Command, KeyRange, Range, Txn, TxnOp};
use synod_store::response::Response as StoreResponse;
use synod_store::{check, check_range};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::kv_server::Kv as KvService;

use super::accounts::Call;
use super::context::Context;
use super::convert;
use super::error::ApiError;
use super::range_stream;

/// The service.
pub(crate) struct Kv(pub(crate) Context);

impl Kv {
    /// Has a checked command chosen and applied.
    async fn write(
        &self,
        bytes: usize,
        command: Command,
    ) -> Result<(StoreResponse, pb::ResponseHeader), ApiError> {
        check(&command, &self.0.limits.store())?;
        if bytes > self.0.limits.max_request_bytes {
            return Err(ApiError::RequestTooLarge);
        }
        let written = self.0.member.write(command).await?;
        let header = self.0.header(written.applied.revision, written.round);
        Ok((written.applied.result?, header))
    }

    /// Answers a transaction that only reads.
    async fn read_txn(
        &self,
        call: &Call,
        serializable: bool,
        txn: Txn,
    ) -> Result<Response<pb::TxnResponse>, ApiError> {
        check(&Command::Txn(txn.clone()), &self.0.limits.store())?;
        let read = self.0.read(serializable).await?;
        let header = self.0.header_of(&read);
        if reads_single_keys(&txn) {
            let response = read.view.txn(&txn)?;
            return answer(call, convert::txn_response(header, response)).await;
        }
        let (response, _place) = self.0.scan(read.view, move |view| Ok(view.txn(&txn)?)).await?;
        answer(call, convert::txn_response(header, response)).await
    }
}

/// A message has a length of four bytes.
const MESSAGE_BYTES_MAX: usize = u32::MAX as usize;

/// The call that a request belongs to.
fn call<T>(request: &Request<T>) -> Arc<Call> {
    request.extensions().get::<Arc<Call>>().expect("admission puts it there").clone()
}

/// An answer to a read that is accounted for until its client has read it.
///
/// # Errors
/// If there are too many such already.
async fn answer<T: Message>(call: &Call, message: T) -> Result<Response<T>, ApiError> {
    call.unread(message.encoded_len()).await?;
    Ok(Response::new(message))
}

/// The same for a write. It has been done, so nothing can be refused.
///
/// # Errors
/// If no message can be as large; it does not say that nothing was done.
async fn answer_write<T: Message>(call: &Call, message: T) -> Result<Response<T>, ApiError> {
    let bytes = message.encoded_len();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(ApiError::AnswerTooLarge(bytes));
    }
    call.unread_write(bytes).await;
    Ok(Response::new(message))
}

/// Whether a transaction is so cheap to read that it may run where it was received.
fn reads_single_keys(txn: &Txn) -> bool {
    let single = |keys: &KeyRange| matches!(keys, KeyRange::One(_));
    txn.compare.iter().all(|compare| single(&compare.keys))
        && txn.success.iter().chain(&txn.failure).all(|op| match op {
            TxnOp::Range(range) => single(&range.keys),
            TxnOp::Put(_) | TxnOp::DeleteRange(_) => false,
            TxnOp::Txn(txn) => reads_single_keys(txn),
        })
}

/// A response of another kind than the command's can only be a bug of the store.
fn mismatch(command: &str, response: &StoreResponse) -> ! {
    panic!("the store answered a {command} with {response:?}")
}

#[tonic::async_trait]
impl KvService for Kv {
    type RangeStreamStream = BoxStream<pb::RangeStreamResponse>;

    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let call = call(&request);
        let request = request.into_inner();
        let serializable = request.serializable;
        let range = convert::range(request)?;
        check_range(&range).map_err(ApiError::from)?;
        let read = self.0.read(serializable).await?;
        let header = self.0.header_of(&read);
        if let KeyRange::One(_) = range.keys {
            let found = read.view.range(&range).map_err(ApiError::from)?;
            return Ok(answer(&call, convert::range_response(header, found)).await?);
        }
        let (found, _place) = self.0.scan(read.view, move |view| Ok(view.range(&range)?)).await?;
        Ok(answer(&call, convert::range_response(header, found)).await?)
    }

    async fn range_stream(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        self.0.check_metadata(request.metadata())?;
        let call = call(&request);
        let request = request.into_inner();
        let serializable = request.serializable;
        let range: Range = convert::range(request)?;
        check_range(&range).map_err(ApiError::from)?;
        range_stream::check(&range)?;
        let read = self.0.read(serializable).await?;
        let header = self.0.header_of(&read);
        let (found, _place) = self.0.scan(read.view, move |view| Ok(view.range(&range)?)).await?;
        call.unread(range_stream::held_bytes(&found)).await?;
        let pieces = range_stream::pieces(header, found).map(Ok);
        let stream: Self::RangeStreamStream = Box::pin(tokio_stream::iter(pieces));
        Ok(Response::new(stream))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let call = call(&request);
        let request = request.into_inner();
        let bytes = request.encoded_len();
        match self.write(bytes, Command::Put(convert::put(request))).await? {
            (StoreResponse::Put(put), header) => {
                Ok(answer_write(&call, convert::put_response(header, put)).await?)
            }
            (other, _) => mismatch("put", &other),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let call = call(&request);
        let request = request.into_inner();
        let bytes = request.encoded_len();
        match self.write(bytes, Command::DeleteRange(convert::delete_range(request))).await? {
            (StoreResponse::DeleteRange(delete), header) => {
                Ok(answer_write(&call, convert::delete_range_response(header, delete)).await?)
            }
            (other, _) => mismatch("removal", &other),
        }
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let call = call(&request);
        let request = request.into_inner();
        // Before it is converted: millions of empty steps fit into one request.
        let steps = request.compare.len().max(request.success.len()).max(request.failure.len());
        if steps > self.0.limits.max_txn_ops {
            return Err(ApiError::from(synod_store::response::Refusal::TooManyOps).into());
        }
        let bytes = request.encoded_len();
        let serializable = convert::is_serializable(&request);
        let txn = convert::txn(request)?;
        if txn.is_read_only() {
            return Ok(self.read_txn(&call, serializable, txn).await?);
        }
        match self.write(bytes, Command::Txn(txn)).await? {
            (StoreResponse::Txn(txn), header) => {
                Ok(answer_write(&call, convert::txn_response(header, txn)).await?)
            }
            (other, _) => mismatch("transaction", &other),
        }
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let request = request.into_inner();
        let bytes = request.encoded_len();
        // Applying a compaction forgets the history at once, so `physical` asks for nothing more.
        match self.write(bytes, Command::Compact(convert::compact(&request))).await? {
            (StoreResponse::Compact, header) => {
                Ok(Response::new(pb::CompactionResponse { header: Some(header) }))
            }
            (other, _) => mismatch("compaction", &other),
        }
    }
}
