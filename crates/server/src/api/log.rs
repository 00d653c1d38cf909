//! `synod.v1.Log`: this member's slots, as the texts draw them.

use synod_paxos::slot::Slot;
use tonic::{Request, Response, Status};

use crate::handle::SlotInfo;
use crate::proto::synod::v1 as pb;
use crate::proto::synod::v1::log_server::Log as LogService;

use super::context::Context;
use super::error::ApiError;

/// At most so many slots at once.
const SLOTS_MAX: usize = 1000;

/// The service.
pub(crate) struct Log(pub(crate) Context);

fn slot(info: SlotInfo) -> pb::Slot {
    pb::Slot {
        slot: info.slot.0,
        operations: info.operations,
        ballot: info.ballot.map(|ballot| pb::Ballot { round: ballot.round, node: ballot.node.0 }),
        chosen: info.chosen,
        applied: info.applied,
        truncated: info.truncated,
    }
}

#[tonic::async_trait]
impl LogService for Log {
    async fn slots(&self, request: Request<pb::SlotsRequest>) -> Result<Response<pb::SlotsResponse>, Status> {
        let request = request.into_inner();
        let limit = match usize::try_from(request.limit) {
            Ok(0) | Err(_) => SLOTS_MAX,
            Ok(limit) => limit.min(SLOTS_MAX),
        };
        let slots = self.0.member.slots(Slot(request.from.max(1)), limit).await.map_err(ApiError::from)?;
        let status = self.0.member.status();
        let name = self.0.member.members().into_iter().find(|member| member.id == status.id);
        Ok(Response::new(pb::SlotsResponse {
            cluster_id: status.cluster.0,
            member_id: status.id.0,
            member_name: name.map(|member| member.name).unwrap_or_default(),
            slots: slots.into_iter().map(slot).collect(),
        }))
    }
}
