//! What each client's connection has taken of what there is for all of them, and which one gives way when it is not
//! enough.
//!
//! The one that holds most pays: it loses a request that has stood still, and only for the sake of a connection that
//! holds less. So a client that floods, or does not read, takes from itself. An example: 17 connections hold 15 MiB of
//! unread answers each, which is all there is. An 18th, which holds nothing, asks for 15 MiB. One of the 17 loses an
//! answer of which nothing was read for a second. If all of them are read, the 18th waits, and is refused in the end; had
//! it asked for 20 KiB, one of them would give way then.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::answer::Answer;
use super::error::ApiError;
use super::limits::Limits;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Requests under way, until their answers are gone.
    Places,
    /// Bytes of requests that are not answered yet.
    Received,
    /// Bytes of answers that have not been read.
    Unread,
}

type Amounts = [usize; 3];

/// Answers up to this size are accounted for by the number of requests alone.
pub(crate) const SMALL_ANSWER_BYTES: usize = 16 * 1024;
/// Answers go to the transport in pieces of at most this size.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;
/// After a search for what could give way that found nothing, the next one is so much later.
const SEARCH_PAUSE: Duration = Duration::from_millis(10);

/// How long things may stand still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A request that waits for so long may have to give way.
    pub(crate) stalled: Duration,
    /// How long an answer waits for room.
    pub(crate) room: Duration,
    /// A request that waits for its client for so long is dropped.
    pub(crate) client: Duration,
    /// A connection without a request for so long is asked to end.
    pub(crate) idle: Duration,
    /// A connection without a request for so long gives its place to a new one if there is no other.
    pub(crate) place: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        let [stalled, room, client, idle, place] = [1, 5, 30, 300, 10].map(Duration::from_secs);
        Patience { stalled, room, client, idle, place }
    }
}

/// The accounts of all connections to one member.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Amounts,
    patience: Patience,
    books: Mutex<Books>,
    /// Something was given back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Books {
    taken: Amounts,
    connections: BTreeMap<u64, Holdings>,
    /// Numbers of connections and of calls.
    next: u64,
    /// When to search again for what could give way.
    search_at: [Option<Instant>; 3],
}

/// What one connection holds.
#[derive(Debug)]
struct Holdings {
    taken: Amounts,
    calls: BTreeMap<u64, Entry>,
    /// Since when it has had no calls, if it has none.
    idle_since: Instant,
    /// Set when the connection has to end.
    end: watch::Sender<bool>,
}

#[derive(Debug)]
struct Entry {
    taken: Amounts,
    progress: Arc<Mutex<Progress>>,
}

/// What a request waits for: its client, its handler, or news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The client has to send more, or to read.
    ForClient,
    /// The handler has it: what it has begun is not taken from it.
    ForHandler,
    /// The answer is one that goes on and on; there is nothing new to be said.
    ForNews,
    /// It had to give way, or stood still for too long.
    Dropped,
}

/// How far a request is. Locked after the books, never before.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) waiting: Waiting,
    pub(crate) since: Instant,
    /// What has to look when the request is dropped.
    pub(crate) waker: Option<Waker>,
    /// What is left of the answer, once there is one.
    pub(crate) answer: Option<Answer>,
}

impl Progress {
    pub(crate) fn set(&mut self, waiting: Waiting) {
        (self.waiting, self.since, self.waker) = (waiting, Instant::now(), None);
    }
}

impl Accounts {
    pub(crate) fn new(limits: &Limits, patience: Patience) -> Accounts {
        let limits = [limits.max_requests, limits.max_requests_bytes, limits.max_unread_bytes];
        let (books, freed) = (Mutex::default(), Notify::new());
        Accounts { shared: Arc::new(Shared { limits, patience, books, freed }) }
    }

    /// The account of a new connection.
    pub(crate) fn open(&self) -> Arc<Account> {
        let mut books = self.shared.books.lock();
        let number = books.number();
        let end = watch::Sender::new(false);
        let ending = end.subscribe();
        let (taken, calls, idle_since) = (Amounts::default(), BTreeMap::new(), Instant::now());
        books.connections.insert(number, Holdings { taken, calls, idle_since, end });
        Arc::new(Account { accounts: self.clone(), number, ending })
    }

    /// Drops every request that has waited for its client for too long.
    pub(crate) fn drop_stalled(&self) {
        let mut dropped = Vec::new();
        let mut books = self.shared.books.lock();
        let longest = self.shared.patience.client;
        let waits = |progress: &Progress| {
            progress.waiting == Waiting::ForClient && progress.since.elapsed() >= longest
        };
        for number in books.connections.keys().copied().collect::<Vec<_>>() {
            let calls = &books.connections[&number].calls;
            let stalled =
                calls.iter().filter(|(_, entry)| entry.progress.try_lock().is_some_and(|p| waits(&p)));
            for call in stalled.map(|(call, _)| *call).collect::<Vec<_>>() {
                dropped.extend(books.drop_call(number, call));
            }
        }
        drop(books);
        self.clear(dropped);
    }

    /// Ends the connection that has had no request for longest, if that is at least `idle`.
    pub(crate) fn end_idlest(&self, idle: Duration) -> bool {
        let books = self.shared.books.lock();
        let without = books.connections.values().filter(|held| held.calls.is_empty() && !*held.end.borrow());
        match without.min_by_key(|held| held.idle_since) {
            Some(idlest) if idlest.idle_since.elapsed() >= idle => {
                idlest.end.send_replace(true);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        self.shared.patience
    }

    /// What was taken from requests goes, outside of all locks.
    fn clear(&self, dropped: Vec<Dropped>) {
        let any = !dropped.is_empty();
        for Dropped { waker, answer } in dropped {
            drop(answer);
            waker.into_iter().for_each(Waker::wake);
        }
        if any {
            self.shared.freed.notify_waiters();
        }
    }

    fn take(&self, connection: u64, call: u64, wanted: &[(Kind, usize)], stalled: Duration) -> bool {
        let mut dropped = Vec::new();
        let mut books = self.shared.books.lock();
        let limits = &self.shared.limits;
        let taken = wanted
            .iter()
            .all(|(kind, amount)| books.make_room(limits, connection, *kind, *amount, stalled, &mut dropped));
        if taken {
            for (kind, amount) in wanted {
                books.add(connection, call, *kind, *amount);
            }
        }
        drop(books);
        self.clear(dropped);
        taken
    }
}

/// What a dropped request leaves.
struct Dropped {
    waker: Option<Waker>,
    answer: Option<Answer>,
}

impl Books {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(&mut self, connection: u64, call: u64, kind: Kind, amount: usize) {
        let held = self.connections.get_mut(&connection).expect("a call keeps its account open");
        let entry = held.calls.get_mut(&call).expect("a call is in the books until it ends");
        for taken in [&mut self.taken, &mut held.taken, &mut entry.taken] {
            taken[kind as usize] += amount;
        }
    }

    /// Gives back all but `kept` of what a call has taken.
    fn keep(&mut self, connection: u64, call: u64, kept: Amounts) {
        let held = self.connections.get_mut(&connection).expect("a call keeps its account open");
        let entry = held.calls.get_mut(&call).expect("a call is in the books until it ends");
        for (kind, kept) in kept.into_iter().enumerate() {
            let had = std::mem::replace(&mut entry.taken[kind], kept);
            held.taken[kind] = held.taken[kind] - had + kept;
            self.taken[kind] = self.taken[kind] - had + kept;
        }
    }

    /// Whether there is room for `amount`, if need be because a larger holder gives way.
    fn make_room(
        &mut self,
        limits: &Amounts,
        connection: u64,
        kind: Kind,
        amount: usize,
        stalled: Duration,
        dropped: &mut Vec<Dropped>,
    ) -> bool {
        let limit = limits[kind as usize];
        // One that is larger than everything allowed goes alone.
        let amount = amount.min(limit);
        while self.taken[kind as usize] + amount > limit {
            // A connection that stands still gives way to one that holds less. One that goes on gives way only to one that
            // would hold less even with the new amount.
            let asks = if stalled.is_zero() { amount } else { 0 };
            let holds = self.connections[&connection].taken[kind as usize] + asks;
            let now = Instant::now();
            if !stalled.is_zero() && self.search_at[kind as usize].is_some_and(|at| now < at) {
                return false;
            }
            let Some((victim, call)) = self.largest(kind, holds, stalled) else {
                self.search_at[kind as usize] = Some(now + SEARCH_PAUSE);
                self.end_largest(kind, holds);
                return false;
            };
            dropped.extend(self.drop_call(victim, call));
        }
        true
    }

    /// The call to give way: of the connection that holds most, and more than `holds`, the one that has waited longest.
    fn largest(&self, kind: Kind, holds: usize, stalled: Duration) -> Option<(u64, u64)> {
        let longest = |held: &Holdings| {
            let waiting = held.calls.iter().filter_map(|(call, entry)| {
                // One that is locked is going on.
                let progress = entry.progress.try_lock().filter(|_| entry.taken[kind as usize] > 0)?;
                let may_go = matches!(progress.waiting, Waiting::ForClient | Waiting::ForNews);
                (may_go && progress.since.elapsed() >= stalled).then_some((progress.since, *call))
            });
            waiting.min()
        };
        let larger = self.connections.iter().filter(|(_, held)| held.taken[kind as usize] > holds);
        let candidates = larger.filter_map(|(number, held)| Some((held, longest(held)?, *number)));
        let largest =
            candidates.max_by_key(|(held, (since, _), _)| (held.taken[kind as usize], Reverse(*since)));
        largest.map(|(_, (_, call), number)| (number, call))
    }

    /// Ends the connection that holds more than `holds` and has nothing left to drop: what it does not read lies in
    /// the transport.
    fn end_largest(&mut self, kind: Kind, holds: usize) {
        let is_deaf = |held: &&Holdings| {
            let mut calls = held.calls.values().filter(|entry| entry.taken[kind as usize] > 0);
            let is_dropped = |entry: &Entry| {
                entry.progress.try_lock().is_some_and(|progress| progress.waiting == Waiting::Dropped)
            };
            held.taken[kind as usize] > holds && calls.all(is_dropped)
        };
        let deaf = self.connections.values().filter(is_deaf);
        if let Some(largest) = deaf.max_by_key(|held| held.taken[kind as usize]) {
            largest.end.send_replace(true);
        }
    }

    fn drop_call(&mut self, connection: u64, call: u64) -> Option<Dropped> {
        let entry = &self.connections[&connection].calls[&call];
        let mut progress = entry.progress.try_lock()?;
        let (answer, waker) = (progress.answer.take(), progress.waker.take());
        progress.set(Waiting::Dropped);
        drop(progress);
        // What lies in the transport lies there until the client reads it, or the connection ends.
        self.keep(connection, call, [0, 0, answer.as_ref().map_or(0, Answer::lying)]);
        Some(Dropped { waker, answer })
    }
}

/// One connection's account. Closed when the connection and all its calls are gone.
#[derive(Debug)]
pub(crate) struct Account {
    accounts: Accounts,
    number: u64,
    ending: watch::Receiver<bool>,
}

impl Account {
    /// Begins a request whose head takes `bytes`.
    ///
    /// # Errors
    /// If there is no room.
    pub(crate) fn begin(self: &Arc<Account>, bytes: usize) -> Result<Arc<Call>, ApiError> {
        let (waiting, since) = (Waiting::ForClient, Instant::now());
        let progress = Arc::new(Mutex::new(Progress { waiting, since, waker: None, answer: None }));
        let number = {
            let mut books = self.accounts.shared.books.lock();
            let number = books.number();
            let held = books.connections.get_mut(&self.number).expect("it is open");
            held.calls.insert(number, Entry { taken: Amounts::default(), progress: progress.clone() });
            number
        };
        // Given back when it is dropped.
        let call = Arc::new(Call { account: self.clone(), number, progress });
        let wanted = [(Kind::Places, 1), (Kind::Received, bytes)];
        if call.take(&wanted) { Ok(call) } else { Err(ApiError::TooManyRequests) }
    }

    /// Since when it has had no request, if it has none.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let books = self.accounts.shared.books.lock();
        let held = &books.connections[&self.number];
        held.calls.is_empty().then_some(held.idle_since)
    }

    /// Waits until the connection has to end.
    pub(crate) async fn has_to_end(&self) {
        // The sender is in the books for as long as this account is open.
        let _ = self.ending.clone().wait_for(|end| *end).await;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.accounts.shared.books.lock().connections.remove(&self.number);
    }
}

/// One request, from its head until its answer is gone.
#[derive(Debug)]
pub(crate) struct Call {
    account: Arc<Account>,
    number: u64,
    pub(crate) progress: Arc<Mutex<Progress>>,
}

impl Call {
    fn accounts(&self) -> &Accounts {
        &self.account.accounts
    }

    fn take(&self, wanted: &[(Kind, usize)]) -> bool {
        let stalled = self.accounts().shared.patience.stalled;
        self.accounts().take(self.account.number, self.number, wanted, stalled)
    }

    /// Accounts for the next `bytes` of the request instead of the `previous` ones.
    ///
    /// # Errors
    /// If there is no room.
    pub(crate) fn receive(&self, bytes: usize, previous: usize) -> Result<(), ApiError> {
        if previous > 0 {
            self.give_back(Kind::Received, previous);
        }
        if self.take(&[(Kind::Received, bytes)]) { Ok(()) } else { Err(ApiError::TooManyRequests) }
    }

    /// The answer is there: what was received is no longer needed.
    pub(crate) fn answered(&self) {
        self.give_back(Kind::Received, usize::MAX);
    }

    fn give_back(&self, kind: Kind, amount: usize) {
        let mut books = self.accounts().shared.books.lock();
        let mut kept = books.connections[&self.account.number].calls[&self.number].taken;
        kept[kind as usize] = kept[kind as usize].saturating_sub(amount);
        books.keep(self.account.number, self.number, kept);
        drop(books);
        self.accounts().shared.freed.notify_waiters();
    }

    /// Accounts for an answer of `bytes` to a read, until the client has read it.
    ///
    /// # Errors
    /// If there is no room in time.
    pub(crate) async fn unread(&self, bytes: usize) -> Result<(), ApiError> {
        let fits = bytes <= SMALL_ANSWER_BYTES || self.room(bytes).await;
        if fits { Ok(()) } else { Err(ApiError::TooManyRequests) }
    }

    /// The same for a write. It has been done, so the answer is no longer refused: if there is no room in time, it
    /// goes on the account all the same, and this connection is the next to give way.
    pub(crate) async fn unread_write(&self, bytes: usize) {
        if bytes > SMALL_ANSWER_BYTES && !self.room(bytes).await {
            let mut books = self.accounts().shared.books.lock();
            books.add(self.account.number, self.number, Kind::Unread, bytes);
        }
    }

    /// Waits for room; in the end every larger holder has to give way, stalled or not.
    async fn room(&self, bytes: usize) -> bool {
        let Patience { stalled, room, .. } = self.accounts().patience();
        let began = Instant::now();
        loop {
            let mut freed = pin!(self.accounts().shared.freed.notified());
            freed.as_mut().enable();
            let left = room.saturating_sub(began.elapsed());
            let stalled = if left.is_zero() { Duration::ZERO } else { stalled };
            let wanted = [(Kind::Unread, bytes)];
            if self.accounts().take(self.account.number, self.number, &wanted, stalled) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            // That something stands still is not told: look now and then.
            let _ = tokio::time::timeout((stalled / 10).min(left), freed).await;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut books = self.accounts().shared.books.lock();
        books.keep(self.account.number, self.number, Amounts::default());
        let held = books.connections.get_mut(&self.account.number).expect("a call keeps its account open");
        let entry = held.calls.remove(&self.number);
        held.idle_since = Instant::now();
        drop(books);
        // With what is left of the answer.
        drop(entry);
        self.accounts().shared.freed.notify_waiters();
    }
}

#[cfg(test)]
impl Accounts {
    /// How much is taken.
    pub(crate) fn taken(&self, kind: Kind) -> usize {
        self.shared.books.lock().taken[kind as usize]
    }
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
