//! Clients that write without a pause, and how long they wait.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// How many of a hundred writes go to the shared key.
    pub(super) conflicts: u8,
    /// How many clients there are.
    pub(super) clients: u16,
    /// Bytes of a value.
    pub(super) value_size: u32,
    /// How long they write.
    pub(super) time: Duration,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Writes answered "done".
    pub(super) answered: u64,
    /// Writes that were refused, or of which nobody knows what became.
    pub(super) failed: u64,
    /// How long it took until the last answer.
    elapsed: Duration,
    /// Half were answered within this,
    pub(super) p50: Duration,
    /// all but one of a hundred within this,
    pub(super) p99: Duration,
    /// and all within this.
    pub(super) worst: Duration,
}

impl Measured {
    pub(super) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

/// One client's connection to one member.
pub(super) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Connection, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| gone(port, &error))?;
        stream.set_nodelay(true).map_err(|error| gone(port, &error))?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Sends a line and returns the answer.
    pub(super) async fn ask(&mut self, line: &str) -> Result<String, String> {
        let port = self.0.get_ref().peer_addr().map_or(0, |address| address.port());
        let sent = self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await;
        sent.map_err(|error| gone(port, &error))?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).await.map_err(|error| gone(port, &error))?;
        match answer.strip_suffix('\n') {
            Some(answer) => Ok(answer.to_owned()),
            None => Err(gone(port, &"it hung up")),
        }
    }
}

fn gone(port: u16, reason: &dyn std::fmt::Display) -> String {
    format!("the member at port {port} cannot be asked: {reason}")
}

/// Has clients, each at one of `ports` in turn, write for as long as the load says.
pub(super) async fn measure(load: &Load, ports: &[u16]) -> Result<Measured, String> {
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for client in 0..load.clients {
        let port = ports[usize::from(client) % ports.len()];
        clients.spawn(write(*load, client, port, began + load.time));
    }
    let (mut waits, mut failed) = (Vec::new(), 0);
    while let Some(ended) = clients.join_next().await {
        let (client_waits, client_failed) = ended.map_err(|error| error.to_string())??;
        waits.extend(client_waits);
        failed += client_failed;
    }
    waits.sort_unstable();
    let within = |part: f64| {
        let at = (waits.len() as f64 * part) as usize;
        waits.get(at.min(waits.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    let (p50, p99, worst) = (within(0.5), within(0.99), within(1.0));
    Ok(Measured { answered: waits.len() as u64, failed, elapsed: began.elapsed(), p50, p99, worst })
}

async fn write(load: Load, client: u16, port: u16, until: Instant) -> Result<(Vec<Duration>, u64), String> {
    let mut connection = Connection::open(port).await?;
    let value = "v".repeat(load.value_size as usize);
    let (mut waits, mut failed, mut round) = (Vec::new(), 0, u64::from(client) * 37);
    while Instant::now() < until {
        round += 1;
        // Spread evenly: of any hundred writes in a row, so many are shared.
        let shared = round * 61 % 100 < u64::from(load.conflicts);
        let key = if shared { "shared".to_owned() } else { format!("own-{client}-{}", round % 100) };
        let asked = Instant::now();
        if connection.ask(&format!("put {key} {value}")).await? == "done" {
            waits.push(asked.elapsed());
        } else {
            failed += 1;
        }
    }
    Ok((waits, failed))
}
