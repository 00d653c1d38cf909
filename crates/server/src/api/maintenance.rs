//! `etcdserverpb.Maintenance`: how this member stands.

use synod_store::response::Refusal;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::alarm_request::AlarmAction;
use crate::proto::etcdserverpb::maintenance_server::Maintenance as MaintenanceService;

use super::EMULATED_VERSION;
use super::context::Context;
use super::error::ApiError;

/// The service.
pub(crate) struct Maintenance(pub(crate) Context);

impl Maintenance {
    /// A digest of everything readable, in the 32 bits that etcd has for it, and of which compaction.
    async fn digest(&self, revision: i64) -> Result<pb::HashKvResponse, ApiError> {
        let read = self.0.member.local();
        let (now, compacted) = (read.view.revision(), read.view.compacted());
        let at = if revision <= 0 { now } else { revision };
        if at > now {
            return Err(Refusal::FutureRevision.into());
        }
        if at < compacted {
            return Err(Refusal::Compacted.into());
        }
        if at < now {
            return Err(ApiError::Unimplemented(
                "only the newest revision can be hashed; leave the revision out",
            ));
        }
        let header = self.0.header_of(&read);
        let (hash, _place) = self.0.scan(read.view, |view| Ok(view.hash())).await?;
        // Folded, so that each of the 64 bits counts.
        let hash = ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32;
        Ok(pb::HashKvResponse { header: Some(header), hash, compact_revision: compacted, hash_revision: at })
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl MaintenanceService for Maintenance {
    type SnapshotStream = BoxStream<pb::SnapshotResponse>;

    /// There are no alarms that stay until somebody clears them, so there are none to list or to clear.
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let action = request.get_ref().action;
        match AlarmAction::try_from(action) {
            Ok(AlarmAction::Get | AlarmAction::Deactivate) => {
                let header = Some(self.0.header_now());
                Ok(Response::new(pb::AlarmResponse { header, alarms: Vec::new() }))
            }
            Ok(AlarmAction::Activate) => {
                Err(ApiError::Unimplemented("alarms cannot be set in this version").into())
            }
            Err(_) => Err(ApiError::UnknownEnum { field: "alarm action", value: action }.into()),
        }
    }

    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let status = self.0.member.status();
        let header = self.0.header_now();
        let mut errors = status.errors;
        if status.leader.is_none() {
            errors.push(Status::from(ApiError::NoLeader).message().to_owned());
        }
        Ok(Response::new(pb::StatusResponse {
            header: Some(header),
            version: EMULATED_VERSION.to_owned(),
            db_size: signed(status.disk_bytes),
            leader: status.leader.map_or(0, |ballot| ballot.node.0),
            raft_index: status.chosen.0,
            raft_term: status.leader.map_or(header.raft_term, |ballot| ballot.round),
            raft_applied_index: status.applied.0,
            errors,
            db_size_in_use: signed(status.store_bytes),
            is_learner: false,
            storage_version: EMULATED_VERSION.to_owned(),
            db_size_quota: 0,
            downgrade_info: Some(pb::DowngradeInfo::default()),
        }))
    }

    /// Nothing is to be done: the store gives space back as it is compacted.
    async fn defragment(
        &self,
        request: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        Ok(Response::new(pb::DefragmentResponse { header: Some(self.0.header_now()) }))
    }

    async fn hash(&self, request: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let digest = self.digest(0).await?;
        Ok(Response::new(pb::HashResponse { header: digest.header, hash: digest.hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        Ok(Response::new(self.digest(request.get_ref().revision).await?))
    }

    async fn snapshot(
        &self,
        _: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(ApiError::Unimplemented("snapshots for clients are not implemented in this version").into())
    }

    async fn move_leader(
        &self,
        _: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        Err(ApiError::Unimplemented("moving the leader is not implemented in this version").into())
    }

    async fn downgrade(
        &self,
        _: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        Err(ApiError::Unimplemented("downgrades are not implemented in this version").into())
    }
}
