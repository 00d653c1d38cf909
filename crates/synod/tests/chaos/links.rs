//! The links between members: every byte goes through a proxy that can hold it up in one direction.
//!
//! All members have to be told the same addresses, as those name the cluster. So there is one proxy in front of each
//! member, and which member dials is known from the first bytes: it introduces itself by its name.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::cluster::Cluster;

/// One direction between two members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing arrives. What is on the way waits, as TCP's retransmissions would.
    pub cut: bool,
    /// So much later it arrives.
    pub delay: Duration,
}

/// What a proxy reads at once: a link at peace is as fast as loopback.
const READ_BYTES: usize = 64 * 1024;

/// All links: `[from][to]`.
type Table = Vec<Vec<Link>>;

/// The switches of all links.
#[derive(Debug)]
pub struct Links {
    table: watch::Sender<Table>,
}

impl Links {
    /// Stands in front of every member of a cluster that was founded apart.
    pub async fn start(cluster: &Cluster) -> Links {
        let size = cluster.members.len();
        let (table, _) = watch::channel(vec![vec![Link::default(); size]; size]);
        let introductions: Vec<Vec<u8>> =
            cluster.members.iter().map(|member| begins_with(&member.name)).collect();
        for (to, member) in cluster.members.iter().enumerate() {
            let listener = TcpListener::bind(("127.0.0.1", member.peer)).await.unwrap();
            tokio::spawn(accept(listener, to, member.listen, introductions.clone(), table.clone()));
        }
        Links { table }
    }

    /// Changes one direction.
    pub fn set(&self, from: usize, to: usize, link: Link) {
        self.table.send_modify(|table| table[from][to] = link);
    }

    /// Everything arrives at once again.
    pub fn heal(&self) {
        self.table.send_modify(|table| table.iter_mut().flatten().for_each(|link| *link = Link::default()));
    }
}

/// How an introduction of the member called `name` begins: magic, then the name with its length.
fn begins_with(name: &str) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    [b"SYNOD/2\n", &length[..], name.as_bytes()].concat()
}

async fn accept(
    listener: TcpListener,
    to: usize,
    port: u16,
    introductions: Vec<Vec<u8>>,
    table: watch::Sender<Table>,
) {
    loop {
        let (dialer, _) = listener.accept().await.unwrap();
        let (introductions, table) = (introductions.clone(), table.clone());
        // A broken connection is the members' to repair.
        tokio::spawn(async move { connect(dialer, to, port, &introductions, &table).await.ok() });
    }
}

async fn connect(
    mut dialer: TcpStream,
    to: usize,
    port: u16,
    introductions: &[Vec<u8>],
    table: &watch::Sender<Table>,
) -> io::Result<()> {
    let mut introduction = Vec::new();
    let from = loop {
        if dialer.read_buf(&mut introduction).await? == 0 {
            return Ok(());
        }
        let is_its =
            |begins: &Vec<u8>| introduction.windows(begins.len()).any(|part| part == begins.as_slice());
        if let Some(from) = introductions.iter().position(is_its) {
            break from;
        }
    };
    let member = TcpStream::connect(("127.0.0.1", port)).await?;
    dialer.set_nodelay(true)?;
    member.set_nodelay(true)?;
    let (dialer_reads, dialer_writes) = dialer.into_split();
    let (member_reads, member_writes) = member.into_split();
    // Either end's end is the other's.
    tokio::select! {
        result = pass(introduction, dialer_reads, member_writes, (from, to), table.subscribe()) => result,
        result = pass(Vec::new(), member_reads, dialer_writes, (to, from), table.subscribe()) => result,
    }
}

/// Passes bytes on until one end closes.
async fn pass(
    mut bytes: Vec<u8>,
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    (from, to): (usize, usize),
    mut table: watch::Receiver<Table>,
) -> io::Result<()> {
    loop {
        if !bytes.is_empty() {
            let delay = table.borrow()[from][to].delay;
            // The timer's step is a millisecond: even a sleep of nothing takes as long.
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let open = table.wait_for(|table| !table[from][to].cut).await.is_ok();
            if !open {
                return Ok(());
            }
            writer.write_all(&bytes).await?;
            bytes.clear();
        }
        bytes.reserve(READ_BYTES);
        if reader.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}
