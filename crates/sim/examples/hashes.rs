//! Prints the fingerprints of some runs: they are the same in every build and on every machine.

use synod_sim::faults::Profile;
use synod_sim::programs::member::Member;
use synod_sim::programs::replicated;
use synod_sim::programs::single_decree::SingleDecree;
use synod_sim::run::{RunConfig, run};

fn main() {
    for seed in 0..100 {
        let config = RunConfig::new(seed, Profile::All);
        let (log, decree) = (run::<Member>(&config), run::<SingleDecree>(&config));
        println!("{seed} {:016x} {:016x}", log.hash.0, decree.hash.0);
    }
    for seed in 0..20 {
        let config = RunConfig::new(seed, Profile::All);
        let (multi, fast) = (run::<replicated::Multi>(&config), run::<replicated::FastLog>(&config));
        let egalitarian = run::<replicated::Egalitarian>(&config);
        println!("{seed} {:016x} {:016x} {:016x}", multi.hash.0, fast.hash.0, egalitarian.hash.0);
    }
}
