//! The founders of a cluster, and the cluster's identity.
//!
//! The cluster's identity is derived from the token and the list of founders, as in etcd. The hash is FNV-1a with 64 bits
//! over the token and the founders sorted by name, each text preceded by its length. The members' identities are those
//! of their disks: see `synod_member::identity`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use synod_paxos::config::ClusterId;
use thiserror::Error;

/// The most members a cluster may have: a larger one is slower and no safer.
pub const MEMBERS_MAX: usize = 9;

/// Where something listens: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    host: String,
    port: u16,
}

impl Url {
    /// The address of `host` and `port`.
    pub fn new(host: impl Into<String>, port: u16) -> Url {
        Url { host: host.into(), port }
    }

    /// The name or address; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it names no machine, but every address of the one that listens.
    pub fn is_wildcard(&self) -> bool {
        self.host.parse().is_ok_and(|address: IpAddr| address.is_unspecified())
    }

    /// Several of them, separated by commas.
    ///
    /// # Errors
    /// If one of them is not one, or there is none.
    pub fn parse_list(text: &str) -> Result<Vec<Url>, ClusterError> {
        text.split(',').map(|url| url.trim().parse()).collect()
    }
}

impl FromStr for Url {
    type Err = ClusterError;

    fn from_str(text: &str) -> Result<Url, ClusterError> {
        let wrong = |why| ClusterError::Url { url: text.to_owned(), why };
        if text.starts_with("https://") {
            return Err(wrong("TLS is not there in this version: write http://"));
        }
        let rest = text.strip_prefix("http://").ok_or_else(|| wrong("it must start with http://"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("it must end with a port"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(wrong("an IPv6 address stands in brackets"));
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(|c: char| c == '/' || c == '@' || c.is_whitespace()) {
            return Err(wrong("it must be http://HOST:PORT and nothing more"));
        }
        let port = port.parse().map_err(|_| wrong("the port must be a number up to 65535"))?;
        Ok(Url::new(host, port))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
        }
    }
}

/// One member as the list of members names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    /// The operator's name for it, unique in the cluster.
    pub name: String,
    /// Where the others reach it.
    pub peer_urls: Vec<Url>,
}

/// The members of a cluster and its token: what `--initial-cluster` and `--initial-cluster-token` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    token: String,
    founders: Vec<Founder>,
}

impl Founding {
    /// A cluster of these members.
    ///
    /// # Errors
    /// If there is no member, there are too many, one has no name or no address, or two share a name or an address.
    pub fn new(token: impl Into<String>, mut founders: Vec<Founder>) -> Result<Founding, ClusterError> {
        if founders.is_empty() || founders.len() > MEMBERS_MAX {
            return Err(ClusterError::Size(founders.len()));
        }
        let token = token.into();
        if token.is_empty() || token.len() > 256 || token.contains(char::is_control) {
            return Err(ClusterError::Token(token));
        }
        founders.sort_by(|a, b| a.name.cmp(&b.name));
        let mut urls = BTreeSet::new();
        for founder in &mut founders {
            check_name(&founder.name)?;
            founder.peer_urls.sort();
            if founder.peer_urls.is_empty() {
                return Err(ClusterError::NoAddress(founder.name.clone()));
            }
            if let Some(url) = founder.peer_urls.iter().find(|url| !urls.insert((*url).clone())) {
                return Err(ClusterError::SharedAddress(url.clone()));
            }
        }
        if let Some(pair) = founders.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(ClusterError::SharedName(pair[0].name.clone()));
        }
        Ok(Founding { token, founders })
    }

    /// Reads `name=url,name=url`; a name that stands twice has two addresses, as in etcd.
    ///
    /// # Errors
    /// As [`Founding::new`], and if an item is not `name=url`.
    pub fn parse(token: &str, members: &str) -> Result<Founding, ClusterError> {
        let mut founders: Vec<Founder> = Vec::new();
        for item in members.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, url) = item.split_once('=').ok_or_else(|| ClusterError::Item(item.to_owned()))?;
            let url: Url = url.parse()?;
            match founders.iter_mut().find(|founder| founder.name == name) {
                Some(founder) => founder.peer_urls.push(url),
                None => founders.push(Founder { name: name.to_owned(), peer_urls: vec![url] }),
            }
        }
        Founding::new(token, founders)
    }

    /// What tells clusters with the same members apart.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The members, sorted by name.
    pub fn founders(&self) -> &[Founder] {
        &self.founders
    }

    /// The cluster's identity: from the token and every founder's name and addresses.
    pub fn cluster_id(&self) -> ClusterId {
        let mut hash = Fnv::new();
        hash.text(&self.token);
        for founder in &self.founders {
            hash.text(&founder.name);
            hash.count(founder.peer_urls.len());
            for url in &founder.peer_urls {
                hash.text(&url.to_string());
            }
        }
        ClusterId(hash.finish())
    }
}

impl fmt::Display for Founding {
    /// As `--initial-cluster` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for founder in &self.founders {
            for url in &founder.peer_urls {
                write!(f, "{separator}{}={url}", founder.name)?;
                separator = ",";
            }
        }
        Ok(())
    }
}

/// Names stand in files, flags and tables: no blanks, no commas, no equals signs.
fn check_name(name: &str) -> Result<(), ClusterError> {
    let fine = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '=' | '"' | '\\'));
    if fine { Ok(()) } else { Err(ClusterError::Name(name.to_owned())) }
}

/// Why a list of members or an address is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClusterError {
    /// Not an address.
    #[error("\"{url}\" is not an address: {why}")]
    Url {
        /// What was written.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not `name=url`.
    #[error("\"{0}\" is not of the form NAME=http://HOST:PORT")]
    Item(String),
    /// No member, or too many.
    #[error("a cluster has 1 to {MEMBERS_MAX} members, this list has {0}")]
    Size(usize),
    /// Not a name.
    #[error(
        "\"{0}\" cannot be a member's name: 1 to 64 visible ASCII characters without comma, = , \" and \\"
    )]
    Name(String),
    /// Not a token.
    #[error("{0:?} cannot be a cluster's token: 1 to 256 bytes without control characters")]
    Token(String),
    /// A member without an address.
    #[error("the member \"{0}\" has no peer address")]
    NoAddress(String),
    /// Two members of one name.
    #[error("two members are called \"{0}\"")]
    SharedName(String),
    /// Two members at one address.
    #[error("two members have the peer address {0}")]
    SharedAddress(Url),
}

/// FNV-1a, 64 bits: stable for ever, which the standard library's hashes are not.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn count(&mut self, count: usize) {
        self.bytes(&(count as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    /// Mixed once more, so that texts that differ in the last byte only differ in the upper bits too.
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380";

    #[test]
    fn the_order_of_the_list_does_not_matter_but_everything_in_it_does() {
        let ids = |token, list| Founding::parse(token, list).unwrap().cluster_id();
        let turned = "c=http://10.0.0.3:2380,a=http://10.0.0.1:2380,b=http://10.0.0.2:2380";
        let moved = "a=http://10.0.0.9:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380";
        assert_eq!(ids("token", THREE), ids("token", turned));
        assert_ne!(ids("token", THREE), ids("other", THREE));
        assert_ne!(ids("token", THREE), ids("token", moved));
    }

    #[test]
    fn the_identity_of_a_cluster_stays_what_it_is() {
        // Golden: data directories in the field hold it.
        let cluster = Founding::parse("synod-cluster", THREE).unwrap().cluster_id();
        assert_eq!(cluster.to_string(), "efbb6e60e758ed72");
    }

    #[test]
    fn a_name_that_stands_twice_has_two_addresses() {
        let founding = Founding::parse("t", "a=http://h:1,a=http://h:2").unwrap();
        assert_eq!(founding.founders().len(), 1);
        assert_eq!(founding.to_string(), "a=http://h:1,a=http://h:2");
    }

    #[test]
    fn addresses_are_taken_or_refused_with_the_reason() {
        assert_eq!("http://[::1]:80".parse::<Url>().unwrap(), Url::new("::1", 80));
        assert_eq!("http://localhost:2379/".parse::<Url>().unwrap().to_string(), "http://localhost:2379");
        for (text, reason) in [
            ("https://h:1", "TLS"),
            ("h:1", "http://"),
            ("http://h", "port"),
            ("http://h:99999", "65535"),
            ("http://:1", "HOST"),
            ("http://h/x:1", "HOST"),
            ("http://::1:80", "brackets"),
        ] {
            let error = text.parse::<Url>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn lists_that_cannot_be_a_cluster_are_refused() {
        let refused = |list: &str| Founding::parse("t", list).unwrap_err();
        assert_eq!(refused(""), ClusterError::Size(0));
        assert_eq!(refused("a"), ClusterError::Item("a".into()));
        assert_eq!(refused("a b=http://h:1"), ClusterError::Name("a b".into()));
        assert_eq!(refused("a=http://h:1,b=http://h:1"), ClusterError::SharedAddress(Url::new("h", 1)));
    }
}
