//! What each protocol costs: in time across continents, in messages, and in downtime when links or leaders fail.
//!
//! Every figure is a run of the replicas that ship in the simulated world: times are simulated, so the same seed gives
//! the same figures on every machine. `docs/protocols/comparison.md` sets them beside the published ones.

pub mod contender;
pub mod costs;
pub mod experiment;
pub mod latency;
pub mod leader;
pub mod outage;
pub mod sites;
pub mod takeover;
pub mod workload;
