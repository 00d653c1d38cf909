//! Clients that write all the time and note what was acknowledged, and the comparison with what the members hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, Error, GetOptions, KeyValue};
use tokio::task::JoinSet;

use crate::support::cluster::{Cluster, client};
use crate::support::poll::{eventually, in_time};

const WRITERS: usize = 4;
/// Every so many writes one goes to a key that all writers share, so that keys have a past.
const SHARED_EVERY: usize = 16;
const SHARED_KEYS: usize = 5;
/// Of a write that takes longer nobody knows whether it happened.
const PATIENCE: Duration = Duration::from_secs(2);

/// A write that a member confirmed.
#[derive(Clone, Debug)]
struct Acknowledged {
    key: String,
    value: String,
    revision: i64,
}

/// Clients that write until they are told to stop. A write that fails is not repeated: each is attempted once, so
/// each happens once or not at all.
pub struct Writers {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    tasks: JoinSet<Vec<Acknowledged>>,
}

impl Writers {
    pub fn start(cluster: &Cluster) -> Writers {
        let ports: Vec<u16> = cluster.members.iter().map(|member| member.client).collect();
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            tasks.spawn(write(writer, ports.clone(), stop.clone(), count.clone()));
        }
        Writers { stop, count, tasks }
    }

    /// Waits until `more` further writes were acknowledged.
    pub async fn progress(&self, more: usize) {
        let wanted = self.count.load(Ordering::SeqCst) + more;
        eventually("writes are acknowledged", async || match self.count.load(Ordering::SeqCst) {
            count if count >= wanted => Ok(()),
            count => Err(format!("{count} of {wanted}")),
        })
        .await;
    }

    /// Lets them finish what they are doing.
    pub async fn finish(self) -> History {
        self.stop.store(true, Ordering::SeqCst);
        let done = in_time("the writers finish", self.tasks.join_all()).await;
        History { acknowledged: done.into_iter().flatten().collect() }
    }
}

async fn write(
    writer: usize,
    ports: Vec<u16>,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Vec<Acknowledged> {
    let mut clients = Vec::new();
    for port in ports {
        clients.push(client(port).await);
    }
    let mut acknowledged = Vec::new();
    let mut turn = writer;
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = match number % SHARED_EVERY {
            0 => format!("shared/{}", number / SHARED_EVERY % SHARED_KEYS),
            _ => format!("own/{writer}/{number:06}"),
        };
        let value = format!("{writer}-{number} for {key}");
        let at = turn % clients.len();
        let put = clients[at].put(key.as_str(), value.as_str(), None);
        match tokio::time::timeout(PATIENCE, put).await {
            Ok(Ok(done)) => {
                let revision = done.header().unwrap().revision();
                acknowledged.push(Acknowledged { key, value, revision });
                count.fetch_add(1, Ordering::SeqCst);
            }
            // Not known to be done: on to the next member.
            Ok(Err(_)) | Err(_) => turn += 1,
        }
    }
    acknowledged
}

/// Everything that was acknowledged.
pub struct History {
    acknowledged: Vec<Acknowledged>,
}

impl History {
    /// Every acknowledged write is at every member, at the revision that was acknowledged; and the members' histories
    /// are the same.
    pub async fn is_held_by(&self, cluster: &Cluster) {
        let revision = cluster.settled().await;
        let mut holdings = Vec::new();
        for member in &cluster.members {
            let mut client = member.client().await;
            let now = everything(&mut client, revision).await.unwrap();
            self.check_own_keys(&now, &member.name);
            self.check_shared_keys(&mut client, &member.name).await;
            let hash = client.hash_kv(0).await.unwrap();
            holdings.push((now, hash.hash(), hash.hash_revision()));
        }
        for (member, holding) in cluster.members.iter().zip(&holdings) {
            assert_eq!(holding, &holdings[0], "{} and {} differ", member.name, cluster.members[0].name);
        }
        println!("{} writes acknowledged, revision {revision}", self.acknowledged.len());
    }

    fn check_own_keys(&self, now: &BTreeMap<String, Held>, member: &str) {
        for write in self.acknowledged.iter().filter(|write| write.key.starts_with("own/")) {
            let held = now.get(&write.key).unwrap_or_else(|| panic!("{member} has lost {write:?}"));
            let expected = Held { value: write.value.clone(), mod_revision: write.revision, version: 1 };
            assert_eq!(held, &expected, "{member}, {}", write.key);
        }
        for (key, held) in now {
            assert!(held.value.ends_with(key.as_str()), "{member}: nobody wrote {held:?} to {key}");
        }
    }

    /// These were overwritten: each is looked up in the past, at its own revision.
    async fn check_shared_keys(&self, client: &mut Client, member: &str) {
        for write in self.acknowledged.iter().filter(|write| write.key.starts_with("shared/")) {
            let then = GetOptions::new().with_serializable().with_revision(write.revision);
            let then = client.get(write.key.as_str(), Some(then)).await.unwrap();
            let kv = then.kvs().first().unwrap_or_else(|| panic!("{member} has lost {write:?}"));
            assert_eq!(
                (kv.value_str().unwrap(), kv.mod_revision()),
                (&*write.value, write.revision),
                "{member}"
            );
        }
    }
}

/// A key's value as a member holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    value: String,
    mod_revision: i64,
    version: i64,
}

impl From<&KeyValue> for Held {
    fn from(kv: &KeyValue) -> Held {
        let value = kv.value_str().unwrap().to_owned();
        Held { value, mod_revision: kv.mod_revision(), version: kv.version() }
    }
}

/// All that one member holds at `revision`, asked of it alone.
async fn everything(client: &mut Client, revision: i64) -> Result<BTreeMap<String, Held>, Error> {
    const PAGE: i64 = 5000;
    let (mut all, mut from) = (BTreeMap::new(), b"\0".to_vec());
    loop {
        let options = GetOptions::new().with_serializable().with_revision(revision);
        let page = client.get(from.clone(), Some(options.with_from_key().with_limit(PAGE))).await?;
        all.extend(page.kvs().iter().map(|kv| (kv.key_str().unwrap().to_owned(), Held::from(kv))));
        match page.kvs().last() {
            Some(last) if page.more() => from = [last.key(), b"\0"].concat(),
            _ => return Ok(all),
        }
    }
}
