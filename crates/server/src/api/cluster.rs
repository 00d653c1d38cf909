//! `etcdserverpb.Cluster`: who the members are. Changing them comes with reconfiguration.

use tonic::{Request, Response, Status};

use crate::handle::MemberInfo;
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::cluster_server::Cluster as ClusterService;

use super::context::Context;
use super::error::ApiError;

/// The service.
pub(crate) struct Cluster(pub(crate) Context);

fn member(info: MemberInfo) -> pb::Member {
    pb::Member {
        id: info.id.0,
        name: info.name,
        peer_ur_ls: info.peer_urls,
        client_ur_ls: info.client_urls,
        is_learner: false,
    }
}

fn fixed<T>(metadata: Result<(), ApiError>) -> Result<Response<T>, Status> {
    metadata?;
    let text =
        "the members are fixed when the cluster is founded; changing them is not implemented in this version";
    Err(ApiError::Unimplemented(text).into())
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        self.0.check_metadata(request.metadata())?;
        let read = self.0.read(!request.get_ref().linearizable).await?;
        let members = self.0.member.members().into_iter().map(member).collect();
        Ok(Response::new(pb::MemberListResponse { header: Some(self.0.header_of(&read)), members }))
    }

    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        fixed(self.0.check_metadata(request.metadata()))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        fixed(self.0.check_metadata(request.metadata()))
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        fixed(self.0.check_metadata(request.metadata()))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        fixed(self.0.check_metadata(request.metadata()))
    }
}
