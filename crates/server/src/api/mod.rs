//! The client interface: etcd v3 over gRPC, the gRPC health service, and Synod's own view of the log.
//!
//! A request comes on a connection (`connection`), is admitted (`admission`) and put on the account of its connection
//! (`accounts`) until its answer is gone. Its metadata looked at (`context`), turned into the store's vocabulary
//! (`convert`), checked, written through the log or read from a view, and its answer turned back. What clients see
//! of failures is decided in `error` alone.

mod accounts;
mod admission;
mod answer;
mod cluster;
mod connection;
mod context;
mod convert;
mod error;
mod health;
mod kv;
pub mod limits;
mod log;
mod maintenance;
mod range_stream;
mod request;

use std::future::Future;

use tokio::net::TcpListener;
use tonic::Status;
use tonic::codegen::http::Uri;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use crate::handle::MemberHandle;
use crate::proto::etcdserverpb::cluster_server::ClusterServer;
use crate::proto::etcdserverpb::kv_server::KvServer;
use crate::proto::etcdserverpb::maintenance_server::MaintenanceServer;
use crate::proto::synod::v1::log_server::LogServer;

use accounts::{Accounts, Patience};
use admission::Admitted;
use connection::Connections;
use context::Context;
pub use error::{is_done, is_refusal};
pub use limits::Limits;

/// The etcd version whose interface is spoken. Clients choose what they ask for by it: Kubernetes wants 3.5.13 at
/// least for watch progress; 3.7 is the first with `KV.RangeStream`.
pub const EMULATED_VERSION: &str = "3.7.0";

/// The client interface of one member, whatever the number of its ports: they share its limits.
#[derive(Clone)]
pub struct Clients {
    connections: Connections,
}

impl Clients {
    /// The interface of the member behind `handle`.
    pub fn new(handle: MemberHandle, limits: Limits) -> Clients {
        let accounts = Accounts::new(&limits, Patience::default());
        let routes = routes(handle, limits, &accounts);
        Clients { connections: Connections::new(routes, accounts, &limits) }
    }

    /// Serves clients on `listener` until `shutdown` is done; then no new requests are taken, and those under way get
    /// a few seconds to finish. A failing connection ends only itself.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.connections.serve(listener, shutdown).await;
    }
}

fn routes(handle: MemberHandle, limits: Limits, accounts: &Accounts) -> Routes {
    let context = Context::new(handle, limits);
    // The exact limit is etcd's frame limit, enforced by admission before anything is allocated.
    let frame = limits.max_frame_bytes();
    let kv = KvServer::new(kv::Kv(context.clone())).max_decoding_message_size(frame);
    let cluster = ClusterServer::new(cluster::Cluster(context.clone())).max_decoding_message_size(frame);
    let maintenance = MaintenanceServer::new(maintenance::Maintenance(context.clone()));
    let log = LogServer::new(log::Log(context.clone()));
    let health = HealthServer::new(health::Health(context));
    let kv = kv.max_encoding_message_size(usize::MAX);
    let routes = Routes::new(Admitted::new(kv, accounts, &limits))
        .add_service(Admitted::new(cluster, accounts, &limits))
        .add_service(Admitted::new(maintenance.max_decoding_message_size(frame), accounts, &limits))
        .add_service(Admitted::new(log.max_decoding_message_size(frame), accounts, &limits))
        .add_service(Admitted::new(health.max_decoding_message_size(frame), accounts, &limits));
    routes.into_axum_router().fallback(unknown_method).into()
}

/// What is answered to a method that nobody implements, by name.
async fn unknown_method(uri: Uri) -> tonic::codegen::http::Response<tonic::body::Body> {
    let method = uri.path().trim_start_matches('/');
    Status::unimplemented(format!("synod: {method} is not implemented in this version")).into_http()
}
