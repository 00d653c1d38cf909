//! Scratch.
fn main() {
    #[cfg(synod_mutants)]
    {
        use synod_probe::mutant::Mutant;
        use synod_sim::mutants::*;
        let seeds: u64 = std::env::args().nth(1).map_or(300, |a| a.parse().unwrap_or(300));
        let only = std::env::args().nth(2);
        let next = std::sync::atomic::AtomicUsize::new(0);
        let all: Vec<Mutant> = Mutant::ALL
            .iter()
            .copied()
            .filter(|m| only.as_ref().is_none_or(|o| o.split(',').any(|o| o == m.name())))
            .collect();
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        let Some(m) = all.get(i) else { return };
                        let t = std::time::Instant::now();
                        let h = hunt(*m, Effort { seeds, states: 30_000, both: false });
                        let k = h.simulator.or(h.checker);
                        match k {
                            Some(k) => println!(
                                "{:32} {} {} {} {} [{:.1}s] {}",
                                m.name(),
                                k.by,
                                k.place,
                                k.effort,
                                k.invariant,
                                t.elapsed().as_secs_f64(),
                                &k.what.chars().take(110).collect::<String>().replace('\n', " ")
                            ),
                            None => println!("{:32} SURVIVES [{:.1}s]", m.name(), t.elapsed().as_secs_f64()),
                        }
                    }
                });
            }
        });
    }
}
