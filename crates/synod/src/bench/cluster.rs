//! Members to measure: processes of this very program.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::load::Connection;
use crate::textbook::Protocol;

/// Where free ports are looked for.
const PORTS: std::ops::Range<u16> = 21_000..31_000;
/// How long members may take until they answer, and until all are equal.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Members that run. Dropping them ends them, and removes their data.
pub(super) struct Cluster {
    first: u16,
    members: u16,
    processes: Vec<Child>,
    directory: PathBuf,
}

impl Cluster {
    /// Starts members on free ports, with data under `parent`, and waits until each has had a write done.
    pub(super) async fn start(protocol: Protocol, members: u16, parent: &Path) -> Result<Cluster, String> {
        let directory = parent.join(format!("synod-bench-{}", std::process::id()));
        let made = std::fs::create_dir(&directory);
        made.map_err(|error| format!("{}: {error}; see --data-dir", directory.display()))?;
        let first = free_ports(2 * members).ok_or("no free ports between 21000 and 31000")?;
        let mut cluster = Cluster { first, members, processes: Vec::new(), directory };
        let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        for member in 1..=members {
            let mut command = Command::new(&program);
            command.args(["dev", "--protocol", protocol.name(), "--members", &members.to_string()]);
            command.args(["--client-port", &first.to_string(), "--only", &member.to_string(), "--data-dir"]);
            command.arg(&cluster.directory).stdin(Stdio::null()).stdout(Stdio::null());
            let process = command.spawn().map_err(|error| format!("a member cannot be started: {error}"))?;
            cluster.processes.push(process);
        }
        let deadline = Instant::now() + PATIENCE;
        for port in cluster.ports_for(None) {
            while !is_ready(port).await {
                if Instant::now() > deadline {
                    return Err(format!("the member at port {port} answered no write within {PATIENCE:?}"));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(cluster)
    }

    /// Clients' ports: of all members, or of one.
    pub(super) fn ports_for(&self, at: Option<u16>) -> Vec<u16> {
        let members = (1..=self.members).filter(|member| at.is_none_or(|at| at == *member));
        members.map(|member| self.first + 2 * (member - 1)).collect()
    }

    /// Every member must tell the same of the key that all wrote.
    pub(super) async fn expect_equal_members(&self) -> Result<(), String> {
        let mut told = Vec::new();
        for port in self.ports_for(None) {
            told.push(Connection::open(port).await?.ask("get shared").await?);
        }
        match told.iter().all(|answer| *answer == told[0]) {
            true => Ok(()),
            false => Err(format!("members tell different things of one key: {told:?}")),
        }
    }
}

async fn is_ready(port: u16) -> bool {
    let Ok(mut connection) = Connection::open(port).await else { return false };
    connection.ask("put ready yes").await.is_ok_and(|answer| answer == "done")
}

/// The first of so many free ports in a row.
fn free_ports(count: u16) -> Option<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let start = PORTS.start + (std::process::id() % 100) as u16 * 100;
    let firsts = (start..PORTS.end).chain(PORTS).step_by(usize::from(count));
    firsts.into_iter().find(|first| (*first..first + count).all(is_free))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
        drop(std::fs::remove_dir_all(&self.directory));
    }
}
