//! How many files and sockets this process may have open, and how many of them are for clients.
//!
//! A member without a free descriptor cannot begin a segment of its journal. So some are kept back for the member itself,
//! and clients get the others.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// What a member needs besides its clients: connections from and to peers, connections that have not introduced themselves yet,
/// the journal, checkpoints that are written and sent, ports, and what the runtime has.
const RESERVED: usize = 128;

/// Raises the limit of open files as far as the system allows, and returns how many connections from clients each of
/// `members` in this process can have: at most `wanted`.
pub fn client_connections(wanted: usize, members: usize) -> usize {
    let connections = share(wanted, members, raised_limit());
    if connections < wanted {
        warn!(
            connections,
            wanted, "the limit of open files allows fewer connections from clients (ulimit -n)"
        );
    }
    connections
}

/// However low the limit, a quarter is for clients: without any there would be no member.
fn share(wanted: usize, members: usize, limit: Option<u64>) -> usize {
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let each = limit / members.max(1);
    wanted.min(each.saturating_sub(RESERVED).max(each / 4))
}

/// The limit in force; none if there is none.
fn raised_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        // Some systems have a lower limit than they tell.
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_members_do_not_need_themselves() {
        assert_eq!(share(4096, 1, None), 4096);
        assert_eq!(share(4096, 1, Some(1_048_576)), 4096);
        assert_eq!(share(4096, 1, Some(1024)), 1024 - RESERVED);
        assert_eq!(share(4096, 3, Some(1024)), 341 - RESERVED);
        assert_eq!(share(100, 1, Some(1024)), 100);
        assert_eq!(share(4096, 1, Some(64)), 16);
    }
}
