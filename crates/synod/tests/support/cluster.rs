//! A cluster of `synod serve` processes on loopback, its data in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, GetOptions};
use futures::future::join_all;
use tempfile::TempDir;

use super::poll::eventually;
use super::ports;
use super::process::{Process, synod};

/// How long one request may take; what is not answered by then is tried again or given up by the test.
const REQUEST: Duration = Duration::from_secs(5);

/// A directory on the disk that the build uses, so not in memory.
pub fn scratch() -> TempDir {
    TempDir::with_prefix_in("processes-", env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The members of one cluster.
#[derive(Debug)]
pub struct Cluster {
    // First, so that the processes are gone before their data.
    pub members: Vec<Member>,
    pub dir: TempDir,
}

impl Cluster {
    /// Founds and starts a cluster, and waits until every member serves.
    pub async fn start(size: u16) -> Cluster {
        let mut cluster = Cluster::found(size);
        cluster.members.iter_mut().for_each(Member::start);
        cluster.ready().await;
        cluster
    }

    /// A cluster whose members have not been started.
    pub fn found(size: u16) -> Cluster {
        Cluster::found_at(size, ports::free_row(2 * size), size)
    }

    /// The same, with members that listen for each other elsewhere than they say: somebody has to pass on, from
    /// [`Member::peer`] to [`Member::listen`].
    pub fn found_apart(size: u16) -> Cluster {
        Cluster::found_at(size, ports::free_row(3 * size), 2 * size)
    }

    /// From port `first` on come the ports for clients, those for members, and `listen` after the first those where
    /// the members really listen.
    fn found_at(size: u16, first: u16, listen: u16) -> Cluster {
        let dir = scratch();
        let peer = |index| first + size + index;
        let names: Vec<String> = (1..=size).map(|number| format!("m{number}")).collect();
        let founders: Vec<String> = (0..)
            .zip(&names)
            .map(|(index, name)| format!("{name}=http://127.0.0.1:{}", peer(index)))
            .collect();
        let members = (0..).zip(&names).map(|(index, name)| Member {
            name: name.clone(),
            client: first + index,
            peer: peer(index),
            listen: first + listen + index,
            founders: founders.join(","),
            data: dir.path().join(name),
            log: dir.path().join(format!("{name}.log")),
            process: None,
        });
        Cluster { members: members.collect(), dir }
    }

    /// `kill -9` for all of them: the signals go out before anybody has ended.
    pub fn kill_all(&mut self) {
        let mut processes: Vec<Process> =
            self.members.iter_mut().map(|member| member.process.take().expect("it runs")).collect();
        processes.iter_mut().for_each(Process::signal_kill);
        processes.into_iter().for_each(Process::kill);
    }

    /// Waits until every running member confirms a read.
    pub async fn ready(&self) {
        let reads = self.members.iter().filter(|member| member.process.is_some()).map(|member| async {
            let mut client = member.client().await;
            eventually(&format!("{} serves", member.name), async || client.get("ready?", None).await).await
        });
        join_all(reads).await;
    }

    /// All client addresses, as command lines take them.
    pub fn endpoints(&self) -> String {
        let endpoints: Vec<String> = self.members.iter().map(Member::endpoint).collect();
        endpoints.join(",")
    }

    /// The index of the running member that says it leads.
    pub async fn leader(&self) -> usize {
        eventually("there is a leader", async || {
            for (index, member) in self.members.iter().enumerate() {
                if member.process.is_none() {
                    continue;
                }
                if let Ok(status) = member.client().await.status().await
                    && status.leader() == status.header().unwrap().member_id()
                {
                    return Ok(index);
                }
            }
            Err("nobody leads")
        })
        .await
    }

    /// A running member that does not lead.
    pub async fn follower(&self) -> usize {
        let leader = self.leader().await;
        let mut others = (0..self.members.len()).filter(|index| *index != leader);
        others.find(|index| self.members[*index].process.is_some()).unwrap()
    }

    /// Waits until every member has applied as much as any, and returns that revision. Nothing writes meanwhile.
    pub async fn settled(&self) -> i64 {
        let mut clients = join_all(self.members.iter().map(Member::client)).await;
        eventually("every member has applied everything", async || {
            let reached = clients[0].get("ready?", None).await.map_err(|error| error.to_string())?;
            let reached = reached.header().unwrap().revision();
            for client in &mut clients {
                let local = Some(GetOptions::new().with_serializable());
                let applied = client.get("ready?", local).await.map_err(|error| error.to_string())?;
                let applied = applied.header().unwrap().revision();
                if applied != reached {
                    return Err(format!("one is at revision {applied}, another at {reached}"));
                }
            }
            Ok(reached)
        })
        .await
    }
}

/// One member: running or not, its ports and its data stay the same.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub client: u16,
    /// Where the others look for it.
    pub peer: u16,
    /// Where it listens for them.
    pub listen: u16,
    pub founders: String,
    pub data: PathBuf,
    pub log: PathBuf,
    pub process: Option<Process>,
}

impl Member {
    /// What starts it.
    pub fn command(&self) -> Command {
        let mut command = synod();
        let clients = format!("http://127.0.0.1:{}", self.client);
        let peers = format!("http://127.0.0.1:{}", self.listen);
        command.args(["serve", "--name", &self.name, "--initial-cluster", &self.founders]);
        command.args(["--listen-client-urls", &clients, "--listen-peer-urls", &peers]);
        command.arg("--data-dir").arg(&self.data);
        command
    }

    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.process = Some(Process::spawn(&mut self.command(), &self.log));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Where clients reach it.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    /// A client of this member alone.
    pub async fn client(&self) -> Client {
        client(self.client).await
    }

    /// Its journal's files, oldest first.
    pub fn journal(&self) -> Vec<PathBuf> {
        files(&self.data, "journal-")
    }
}

/// A client of the member at `port` alone. It connects with its first request.
pub async fn client(port: u16) -> Client {
    let options = ConnectOptions::new().with_timeout(REQUEST).with_connect_timeout(REQUEST);
    Client::connect([format!("http://127.0.0.1:{port}")], Some(options)).await.unwrap()
}

/// The files whose names start with `prefix`, in order.
pub fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
    let mut files: Vec<PathBuf> = entries.filter(named).collect();
    files.sort();
    files
}
