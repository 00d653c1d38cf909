//! The client interface: etcd v3 over gRPC, the gRPC health service, and Synod's own view of the log.
//!
//! A request is admitted (`admission`), its metadata looked at (`context`), turned into the store's vocabulary
//! (`convert`), checked, written through the log or read from a view, and its answer turned back. What clients see
//! of failures is decided in `error` alone.

mod admission;
mod cluster;
mod context;
mod convert;
mod error;
mod health;
mod kv;
pub mod limits;
mod listener;
mod log;
mod maintenance;
mod range_stream;

use std::future::Future;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::Status;
use tonic::codegen::http::Uri;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;
use tracing::warn;

use crate::handle::MemberHandle;
use crate::proto::etcdserverpb::cluster_server::ClusterServer;
use crate::proto::etcdserverpb::kv_server::KvServer;
use crate::proto::etcdserverpb::maintenance_server::MaintenanceServer;
use crate::proto::synod::v1::log_server::LogServer;

use admission::{Admission, Admitted};
use context::Context;
pub use error::is_refusal;
pub use limits::Limits;

/// The etcd version whose interface is spoken. Clients choose what they ask for by it: Kubernetes wants 3.5.13 at
/// least for watch progress; 3.7 is the first with `KV.RangeStream`.
pub const EMULATED_VERSION: &str = "3.7.0";

/// Answers are small and synchronous to others: how long requests under way may take once a stop was asked for.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// All services of one member's client port.
pub fn router(handle: MemberHandle, limits: Limits) -> Routes {
    let admission = Admission::new(&limits);
    let context = Context::new(handle, limits, admission.clone());
    // The exact limit is etcd's frame limit, enforced by admission before anything is allocated.
    let frame = limits.max_frame_bytes();
    let kv = KvServer::new(kv::Kv(context.clone())).max_decoding_message_size(frame);
    let cluster = ClusterServer::new(cluster::Cluster(context.clone())).max_decoding_message_size(frame);
    let maintenance = MaintenanceServer::new(maintenance::Maintenance(context.clone()));
    let log = LogServer::new(log::Log(context.clone()));
    let health = HealthServer::new(health::Health(context));
    let routes = Routes::new(Admitted::new(kv.max_encoding_message_size(usize::MAX), &admission))
        .add_service(Admitted::new(cluster, &admission))
        .add_service(Admitted::new(maintenance.max_decoding_message_size(frame), &admission))
        .add_service(Admitted::new(log.max_decoding_message_size(frame), &admission))
        .add_service(Admitted::new(health.max_decoding_message_size(frame), &admission));
    routes.into_axum_router().fallback(unknown_method).into()
}

/// What is answered to a method that nobody implements, by name.
async fn unknown_method(uri: Uri) -> tonic::codegen::http::Response<tonic::body::Body> {
    let method = uri.path().trim_start_matches('/');
    Status::unimplemented(format!("synod: {method} is not implemented in this version")).into_http()
}

/// Serves clients on `listener` until `shutdown` is done; then no new requests are taken, and those under way get a
/// few seconds to finish.
///
/// # Errors
/// If the transport fails as a whole; a failing connection ends only itself.
pub async fn serve(
    listener: TcpListener,
    handle: MemberHandle,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let graceful = async move {
        shutdown.await;
        stopping.send_replace(true);
    };
    let serving = Server::builder()
        // A connection whose other end is gone is noticed, and what it holds is given back.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(limits.max_streams_per_connection)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .http2_max_header_list_size(16 * 1024)
        .add_routes(router(handle, limits).prepare())
        .serve_with_incoming_shutdown(listener::connections(listener, limits.max_connections), graceful);
    let overdue = async move {
        // An error means that serving ended by itself, which the other branch reports.
        let _ = stopped.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        served = serving => served,
        () = overdue => {
            warn!("requests were still under way when the client port closed");
            Ok(())
        }
    }
}
