//! Where a peer is: the addresses behind its URL, looked up sparingly.
//!
//! The system looks names up on threads of its own and takes as long as it likes. So one look-up of a URL at most is
//! under way, however many attempts to connect are made meanwhile, and what was found is used until it fails.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use synod_paxos::time::Time;
use tokio::net::lookup_host;
use tokio::task::JoinHandle;

use crate::cluster::Url;

/// The shortest time between two look-ups; each time twice as long, up to the last, until a connection is made.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

type Found = io::Result<Vec<SocketAddr>>;

/// The addresses of one URL.
pub(super) struct Addresses {
    url: Url,
    known: Vec<SocketAddr>,
    /// Whether what is known may be out of date. Never of an address that needs no look-up.
    doubted: bool,
    under_way: Option<JoinHandle<Found>>,
    /// Why the last look-up failed.
    failure: String,
    not_before: Time,
    pause: Duration,
}

impl Addresses {
    pub(super) fn new(url: &Url) -> Addresses {
        let literal = url.host().parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, url.port()));
        Addresses {
            url: url.clone(),
            doubted: literal.is_none(),
            known: literal.into_iter().collect(),
            under_way: None,
            failure: "it was not looked up yet".to_owned(),
            not_before: Time::ZERO,
            pause: PAUSE_FIRST,
        }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// What is known; waits for the first look-up. May be cancelled and called again.
    ///
    /// # Errors
    /// Why nothing is known.
    pub(super) async fn find(&mut self, now: Time) -> Result<&[SocketAddr], String> {
        let (host, port) = (self.url.host().to_owned(), self.url.port());
        self.find_by(now, || tokio::spawn(async move { Ok(lookup_host((host, port)).await?.collect()) }))
            .await
    }

    async fn find_by(
        &mut self,
        now: Time,
        look_up: impl FnOnce() -> JoinHandle<Found>,
    ) -> Result<&[SocketAddr], String> {
        if self.doubted && self.under_way.is_none() && now >= self.not_before {
            self.under_way = Some(look_up());
            self.not_before = now + self.pause;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        if let Some(look_up) = self.under_way.as_mut().filter(|it| self.known.is_empty() || it.is_finished())
        {
            let found = look_up.await.unwrap_or_else(|stopped| Err(stopped.into()));
            self.under_way = None;
            match found {
                Ok(found) => (self.known, self.doubted) = (found, false),
                Err(error) => self.failure = error.to_string(),
            }
        }
        if self.known.is_empty() { Err(self.failure.clone()) } else { Ok(&self.known) }
    }

    /// A connection was made: what is known is right.
    pub(super) fn confirm(&mut self) {
        (self.doubted, self.pause) = (false, PAUSE_FIRST);
    }

    /// No connection was made. The peer may have moved.
    pub(super) fn doubt(&mut self) {
        self.doubted = self.url.host().parse::<IpAddr>().is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "127.0.0.1:2380";

    /// Dials for an hour, once a second, and never gets a connection: how often the name was looked up.
    async fn look_ups(found: impl Fn() -> JoinHandle<Found>) -> usize {
        let mut addresses = Addresses::new(&Url::new("peer.example", 2380));
        let mut count = 0;
        for second in 0..3600 {
            let look_up = || {
                count += 1;
                found()
            };
            let found = addresses.find_by(Time::from_millis(1000 * second), look_up);
            // One that hangs is given up by the one who waits, as by an attempt to connect.
            let _ = tokio::time::timeout(Duration::ZERO, found).await;
            tokio::task::yield_now().await;
            addresses.doubt();
        }
        count
    }

    #[tokio::test]
    async fn the_name_of_a_peer_that_is_down_is_looked_up_seldom() {
        let found = look_ups(|| tokio::spawn(async { Ok(vec![ADDRESS.parse().unwrap()]) })).await;
        let failed = look_ups(|| tokio::spawn(async { Err(io::ErrorKind::NotFound.into()) })).await;
        assert!(
            (5..70).contains(&found) && (5..70).contains(&failed),
            "{found} and {failed} times in an hour"
        );
    }

    #[tokio::test]
    async fn a_look_up_that_hangs_is_the_only_one() {
        assert_eq!(look_ups(|| tokio::spawn(std::future::pending())).await, 1);
    }

    #[tokio::test]
    async fn a_peer_that_moved_is_found_and_one_that_is_known_is_not_waited_for() {
        let mut addresses = Addresses::new(&Url::new("peer.example", 2380));
        let spawn = |found: &str| {
            let found = vec![found.parse().unwrap()];
            move || tokio::spawn(async move { Ok(found) })
        };
        let first = addresses.find_by(Time::ZERO, spawn(ADDRESS)).await.unwrap();
        assert_eq!(first, [ADDRESS.parse().unwrap()]);
        addresses.doubt();
        let later = Time::ZERO + PAUSE_FIRST;
        let still = addresses.find_by(later, spawn("127.0.0.2:2380")).await.unwrap();
        assert_eq!(still, [ADDRESS.parse().unwrap()]);
        tokio::task::yield_now().await;
        let moved = addresses.find_by(later, || panic!("one is under way")).await.unwrap();
        assert_eq!(moved, ["127.0.0.2:2380".parse().unwrap()]);
    }

    #[tokio::test]
    async fn an_address_is_never_looked_up() {
        let mut addresses = Addresses::new(&Url::new("::1", 2380));
        addresses.doubt();
        let found = addresses.find_by(Time::ZERO, || panic!("it is no name")).await.unwrap();
        assert_eq!(found, ["[::1]:2380".parse().unwrap()]);
    }
}
