//! Three members on this machine's disk under load, and beside them, if `ETCD_BIN` names an `etcd`, three of its.
//!
//! `cargo run --release -p synod --example bench -- --data-dir DIR`
//!
//! Members are processes of their own, so that their processor time can be told from the load generator's. The clusters
//! run one after the other on the same disk, under the same load from the same code. First what the disk costs is
//! measured; a filesystem in memory is refused, since nothing measured on it means anything.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use futures::future::join_all;
use synod_journal::filesystem::filesystem;
use synod_server::api::{self, Limits};
use synod_server::cluster::{Founding, Url};
use synod_server::member::{MemberConfig, RunningMember, Storage, listen};
use synod_server::proto::etcdserverpb::kv_client::KvClient;
use synod_server::proto::etcdserverpb::{PutRequest, RangeRequest};
use tonic::transport::Channel;

const MEMBERS: u16 = 3;
const VALUE_BYTES: usize = 256;
const KEYS: u64 = 10_000;
/// Requests of one member share this many connections.
const CONNECTIONS: usize = 2;

/// Puts and linearizable reads against three members.
#[derive(Parser)]
struct Options {
    /// Where the members keep their data: on the disk to be measured
    #[arg(long)]
    data_dir: PathBuf,
    /// How long each load runs, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Used by the benchmark itself: be this member
    #[arg(long, hide = true, requires = "founders")]
    member: Option<String>,
    #[arg(long, hide = true)]
    founders: Option<String>,
    #[arg(long, hide = true)]
    client_port: Option<u16>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(name) = &options.member {
        return runtime.block_on(be_member(name, &options));
    }
    fs::create_dir_all(&options.data_dir).unwrap();
    let filesystem = filesystem(&options.data_dir).unwrap();
    if filesystem.in_memory {
        let (directory, name) = (options.data_dir.display(), filesystem.name);
        eprintln!("{directory} is in memory ({name}): choose a directory on a disk");
        return ExitCode::FAILURE;
    }
    println!("filesystem {}, {} processors", filesystem.name, std::thread::available_parallelism().unwrap());
    measure_sync(&options.data_dir);
    runtime.block_on(compare(&options));
    ExitCode::SUCCESS
}

/// Runs one member until it is killed.
async fn be_member(name: &str, options: &Options) -> ExitCode {
    let founding = Founding::parse("bench", options.founders.as_deref().unwrap()).unwrap();
    let own = founding.founders().iter().find(|founder| founder.name == name).unwrap();
    let peers = listen("peer", &own.peer_urls).unwrap();
    let clients = listen("client", &[Url::new("127.0.0.1", options.client_port.unwrap())]).unwrap();
    let config = MemberConfig::new(name, founding, Storage::Directory(options.data_dir.clone()));
    let member = RunningMember::start(config, peers).unwrap();
    let listener = clients.into_iter().next().unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    api::Clients::new(member.handle(), Limits::default()).serve(listener, std::future::pending()).await;
    ExitCode::FAILURE
}

/// What one write of a small record and its sync take.
fn measure_sync(dir: &Path) {
    const SYNCS: usize = 500;
    let path = dir.join("sync-test");
    let mut file = File::create(&path).unwrap();
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[7; 400]).unwrap();
        file.sync_data().unwrap();
        times.push(started.elapsed());
    }
    fs::remove_file(path).unwrap();
    times.sort();
    println!(
        "write of 400 B and fdatasync: p50 {}, p99 {}",
        ms(times[SYNCS / 2]),
        ms(times[SYNCS * 99 / 100])
    );
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

async fn compare(options: &Options) {
    let own = measure("synod", options).await;
    let Some(etcd) = std::env::var_os("ETCD_BIN") else {
        println!("\nETCD_BIN is not set: nothing to compare with");
        return;
    };
    let other = measure(etcd.to_str().unwrap(), options).await;
    println!("\nsynod against etcd       throughput       p99   processor time per request");
    for (own, other) in own.iter().zip(&other) {
        println!(
            "{:<24} {:>9.2} × {:>7.2} × {:>7.2} ×",
            own.load.name,
            own.rate / other.rate,
            own.p99.as_secs_f64() / other.p99.as_secs_f64(),
            own.processor.as_secs_f64() / other.processor.as_secs_f64()
        );
    }
}

/// What is asked, and how much of it at once.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    reads: bool,
    in_flight: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "put, 1 in flight", reads: false, in_flight: 1 },
    Load { name: "put, 256 in flight", reads: false, in_flight: 256 },
    Load { name: "get, 256 in flight", reads: true, in_flight: 256 },
];

/// What came of it.
struct Measured {
    load: Load,
    /// Requests in a second.
    rate: f64,
    p99: Duration,
    /// Of all members together, for one request.
    processor: Duration,
}

/// Starts a cluster of `program`, loads it, and prints a table.
async fn measure(program: &str, options: &Options) -> Vec<Measured> {
    let dir = tempfile::TempDir::with_prefix_in("bench-", &options.data_dir).unwrap();
    let members = Members::start(program, dir.path());
    let clients = members.connect().await;
    println!("\n{program}");
    println!(
        "{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>12}",
        "", "a second", "p50", "p99", "p99.9", "max", "processor"
    );
    let mut all = Vec::new();
    for load in LOADS {
        all.push(run(load, &clients, &members, Duration::from_secs(options.seconds)).await);
    }
    all
}

async fn run(load: Load, clients: &[KvClient<Channel>], members: &Members, duration: Duration) -> Measured {
    let (before, started) = (members.processor_time(), Instant::now());
    let workers = (0..load.in_flight).map(|worker| {
        let client = clients[worker % clients.len()].clone();
        tokio::spawn(work(client, load, worker as u64, started + duration))
    });
    let workers: Vec<_> = workers.collect();
    let mut times: Vec<Duration> =
        join_all(workers).await.into_iter().flat_map(|times| times.expect("a worker panicked")).collect();
    let (elapsed, processor) = (started.elapsed(), members.processor_time() - before);
    times.sort();
    let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
    let rate = times.len() as f64 / elapsed.as_secs_f64();
    let processor = processor.div_f64(times.len() as f64);
    println!(
        "{:<20} {:>9.0} {:>9} {:>9} {:>9} {:>9} {:>9.0} µs",
        load.name,
        rate,
        ms(at(0.5)),
        ms(at(0.99)),
        ms(at(0.999)),
        ms(at(1.0)),
        processor.as_secs_f64() * 1e6
    );
    Measured { load, rate, p99: at(0.99), processor }
}

/// One request after the other until `end`. A request that fails ends the benchmark: its figures would mean nothing.
async fn work(mut client: KvClient<Channel>, load: Load, worker: u64, end: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0.. {
        let started = Instant::now();
        if started >= end {
            break;
        }
        // Multiplying by an odd number visits the keys in no order that helps anybody.
        let key = (worker * 7919 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS;
        let key = format!("key-{key:016}").into_bytes().into();
        if load.reads {
            client.range(RangeRequest { key, ..Default::default() }).await.unwrap();
        } else {
            let value = vec![b'v'; VALUE_BYTES].into();
            client.put(PutRequest { key, value, ..Default::default() }).await.unwrap();
        }
        times.push(started.elapsed());
    }
    times
}

/// The processes of a cluster; they end with it.
struct Members {
    children: Vec<Child>,
    ports: Vec<u16>,
}

impl Members {
    fn start(program: &str, dir: &Path) -> Members {
        let held: Vec<TcpListener> =
            (0..2 * MEMBERS).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let all: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(held);
        let (ports, peers) = all.split_at(usize::from(MEMBERS));
        let founders: Vec<String> =
            (0..).zip(peers).map(|(index, port)| format!("m{index}=http://127.0.0.1:{port}")).collect();
        let founders = founders.join(",");
        let children = (0..).zip(ports.iter().zip(peers)).map(|(index, (client, peer))| {
            let (name, data) = (format!("m{index}"), dir.join(format!("m{index}")));
            let mut command = match program {
                "synod" => synod(&name, &founders, *client),
                etcd => self::etcd(etcd, &name, &founders, *client, *peer),
            };
            command.arg("--data-dir").arg(data).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        });
        Members { children: children.collect(), ports: ports.to_vec() }
    }

    /// Connections to all members, once each of them answers.
    async fn connect(&self) -> Vec<KvClient<Channel>> {
        let end = Instant::now() + Duration::from_secs(30);
        let mut clients = Vec::new();
        for port in self.ports.iter().cycle().take(CONNECTIONS * self.ports.len()) {
            let endpoint =
                Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap().tcp_nodelay(true);
            let mut client = KvClient::new(endpoint.connect_lazy());
            while let Err(error) = client.range(RangeRequest { key: "k".into(), ..Default::default() }).await
            {
                assert!(Instant::now() < end, "a member does not answer: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            clients.push(client);
        }
        clients
    }

    /// Of all members together, in user and system mode.
    fn processor_time(&self) -> Duration {
        let ticks_of = |child: &Child| -> u64 {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th after it.
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        let ticks: u64 = self.children.iter().map(ticks_of).sum();
        Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// This program again, as a member.
fn synod(name: &str, founders: &str, client: u16) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--member", name, "--founders", founders, "--client-port", &client.to_string()]);
    command
}

fn etcd(program: &str, name: &str, founders: &str, client: u16, peer: u16) -> Command {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(program);
    command.args(["--name", name, "--initial-cluster", founders]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command
}
