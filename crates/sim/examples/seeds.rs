use std::time::Instant;
use synod_sim::faults::Profile;
use synod_sim::programs::member::Member;
use synod_sim::run::{RunConfig, run};
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap_or(1)).collect();
    let t = Instant::now();
    let (mut qm, mut em) = (0, 0);
    let (mut sim, mut ans, mut lead, mut bad) = (0u64, 0, 0, 0);
    let mut marks = std::collections::BTreeMap::new();
    for seed in args[0]..args[1] {
        let mut c = RunConfig::new(seed, Profile::All);
        c.record = args.len() > 2;
        let r = if std::env::var("SD").is_ok() {
            run::<synod_sim::programs::single_decree::SingleDecree>(&c)
        } else {
            run::<Member>(&c)
        };
        qm = qm.max(r.tally.queued_max);
        em = em.max(r.tally.events);
        sim += r.simulated;
        ans += r.tally.answered;
        lead += r.tally.leaders;
        for (m, n) in &r.marks {
            *marks.entry(m.name()).or_insert(0u64) += u64::from(*n > 0);
        }
        if r.undecided {
            println!("seed {seed} undecided");
        }
        if let Some(v) = &r.violation {
            bad += 1;
            println!(
                "seed {seed} n={} t={:.3}s: {} {}",
                r.nodes,
                r.simulated as f64 / 1e9,
                v.invariant,
                &v.what[..v.what.len().min(300)]
            );
        }
        if args.len() > 2 {
            println!("{:?}", r.tally);
            for e in &r.trace.unwrap().events {
                println!("{:.6} {:?}", e.at as f64 / 1e9, e.what);
            }
        }
    }
    let e = t.elapsed().as_secs_f64();
    let n = (args[1] - args[0]) as f64;
    println!(
        "{bad} bad; {:.1} seeds/s, {:.0}x, answered {:.0} leaders {:.1}",
        n / e,
        sim as f64 / 1e9 / e,
        ans as f64 / n,
        lead as f64 / n
    );
    println!("{marks:?}");
}
