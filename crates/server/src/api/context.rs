//! What every service shares: the member, the bounds, and the header of answers.

use synod_store::View;
use tonic::metadata::MetadataMap;

use crate::handle::{MemberHandle, ReadError, ReadView};
use crate::proto::etcdserverpb::ResponseHeader;

use super::admission::{ScanPlace, Scans};
use super::error::ApiError;
use super::limits::Limits;

/// Shared by all services of one client port.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) member: MemberHandle,
    pub(crate) limits: Limits,
    scans: Scans,
    cluster_id: u64,
    member_id: u64,
}

impl Context {
    pub(crate) fn new(member: MemberHandle, limits: Limits) -> Context {
        let status = member.status();
        Context { member, limits, scans: Scans::new(), cluster_id: status.cluster.0, member_id: status.id.0 }
    }

    /// The header of an answer that shows the store at `revision` under a leader of `round`.
    pub(crate) fn header(&self, revision: i64, round: u64) -> ResponseHeader {
        ResponseHeader { cluster_id: self.cluster_id, member_id: self.member_id, revision, raft_term: round }
    }

    /// The header of an answer that was read from `read`.
    pub(crate) fn header_of(&self, read: &ReadView) -> ResponseHeader {
        self.header(read.view.revision(), read.round)
    }

    /// The header of an answer that has nothing to do with a particular state.
    pub(crate) fn header_now(&self) -> ResponseHeader {
        self.header_of(&self.member.local())
    }

    /// Looks at what a client says about itself.
    ///
    /// # Errors
    /// If its version is not text, or it wants a leader and none is known.
    pub(crate) fn check_metadata(&self, metadata: &MetadataMap) -> Result<(), ApiError> {
        if let Some(version) = metadata.get("client-api-version")
            && std::str::from_utf8(version.as_bytes()).is_err()
        {
            return Err(ApiError::InvalidClientApiVersion);
        }
        let wants_leader = metadata.get("hasleader").is_some_and(|value| value.as_bytes() == b"true");
        if wants_leader && self.member.status().leader.is_none() {
            return Err(ApiError::NoLeader);
        }
        Ok(())
    }

    /// A state to read from: this member's own, or one as new as anything acknowledged anywhere.
    ///
    /// # Errors
    /// If no leader confirms the newer one in time.
    pub(crate) async fn read(&self, serializable: bool) -> Result<ReadView, ApiError> {
        if serializable { Ok(self.member.local()) } else { Ok(self.member.read().await?) }
    }

    /// Runs `work` on `view` where it delays nobody: reading many keys takes a processor for long. How many do so
    /// at once is bounded; the place comes back with the result, to be kept until the result is accounted for.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) async fn scan<T: Send + 'static>(
        &self,
        view: View,
        work: impl FnOnce(&View) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<(T, ScanPlace), ApiError> {
        let place = self.scans.place().await;
        let scan = tokio::task::spawn_blocking(move || work(&view).map(|result| (result, place)));
        match scan.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Err(ApiError::Read(ReadError::Stopped)),
            },
        }
    }
}
