//! `grpc.health.v1.Health`: whether this member can serve.
//!
//! Asked, it looks, so the answer is never older than the question; watched, it looks now and then.

use std::time::Duration;

use futures::stream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health as HealthService;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::context::Context;

/// How often a watched member looks at itself.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// The service.
pub(crate) struct Health(pub(crate) Context);

impl Context {
    /// Serving means that this member, or the leader it follows, makes progress.
    fn serving(&self) -> ServingStatus {
        if self.member.status().happy { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

/// The member as a whole is the empty name; no other service is told apart.
fn is_known(service: &str) -> bool {
    service.is_empty()
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl HealthService for Health {
    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !is_known(service) {
            let text = format!("synod: no service is called '{service}'; ask for the empty name");
            return Err(Status::not_found(text));
        }
        Ok(Response::new(answer(self.0.serving())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !is_known(&request.get_ref().service) {
            // The protocol wants the stream to stay open, should the service appear. None ever does.
            let unknown = stream::iter([Ok(answer(ServingStatus::ServiceUnknown))]);
            let stream = futures::StreamExt::chain(unknown, stream::pending());
            return Ok(Response::new(Box::pin(stream)));
        }
        let states = stream::unfold((self.0.clone(), None), |(context, told)| async move {
            loop {
                let now = context.serving();
                if told != Some(now) {
                    return Some((Ok(answer(now)), (context, Some(now))));
                }
                tokio::time::sleep(WATCH_INTERVAL).await;
            }
        });
        Ok(Response::new(Box::pin(states)))
    }
}
