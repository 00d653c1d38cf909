//! Members to ask.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use synod_server::api::{self, Limits};
use synod_server::cluster::{Founder, Founding, Url};
use synod_server::handle::MemberHandle;
use synod_server::member::{MemberConfig, MemoryDisk, RunningMember, Storage};
use synod_server::proto::etcdserverpb::kv_client::KvClient;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Longer than anything takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A member that serves clients.
pub struct Server {
    pub address: SocketAddr,
    pub member: RunningMember,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    /// A cluster of one, ready.
    pub async fn start() -> Server {
        Server::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Server {
        let server = Server::start_founder_of(1, limits).await;
        let deadline = Instant::now() + PATIENCE;
        while !server.handle().status().happy {
            assert!(Instant::now() < deadline, "a member alone leads at once");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    /// One member of a cluster in which the others never start.
    pub async fn start_founder_of(members: usize, limits: Limits) -> Server {
        let listeners: Vec<TcpListener> =
            (0..members).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let founders = listeners.iter().enumerate().map(|(index, listener)| Founder {
            name: format!("n{}", index + 1),
            peer_urls: vec![Url::new("127.0.0.1", listener.local_addr().unwrap().port())],
        });
        let founding = Founding::new("api-test", founders.collect()).unwrap();
        let clients = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = clients.local_addr().unwrap();
        let mut config = MemberConfig::new("n1", founding, Storage::Memory(MemoryDisk::default()));
        config.client_urls = vec![format!("http://{address}")];
        let peers = listeners.into_iter().take(1).collect();
        let start = tokio::task::spawn_blocking(move || RunningMember::start(config, peers));
        let member = start.await.unwrap().unwrap();
        let (stop, stopped) = oneshot::channel();
        let handle = member.handle();
        let serving = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            api::Clients::new(handle, limits).serve(clients, shutdown).await;
        });
        Server { address, member, stop: Some(stop), serving: Some(serving) }
    }

    pub fn handle(&self) -> MemberHandle {
        self.member.handle()
    }

    pub async fn connect(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub async fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.connect().await).max_decoding_message_size(usize::MAX)
    }

    /// Closes the client port and waits until serving has ended.
    pub async fn stop_serving(&mut self) {
        self.stop.take().expect("stopped once").send(()).unwrap();
        let serving = self.serving.take().expect("stopped once");
        tokio::time::timeout(PATIENCE, serving).await.expect("serving ends").unwrap();
    }
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, text: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.message()), (code, text));
}
