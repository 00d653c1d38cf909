//! How long the linearizability checker takes for histories of an atomic store, and for ones with a made-up answer.
//!
//! `cargo run --release -p synod-sim --example linearizability [HISTORIES]`

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../tests/linearizability/generator.rs"]
mod generator;
#[allow(dead_code)]
#[path = "../tests/linearizability/words.rs"]
mod words;

use std::time::{Duration, Instant};

use synod_sim::history::Call;
use synod_sim::linearizability::check;
use synod_sim::random::Random;

use generator::{Mix, Shape, history, lie};

fn main() {
    let histories = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(50);
    println!("mix            values    calls   honest: mean, worst    lying: mean, worst");
    for mix in [Mix::Register, Mix::Keys, Mix::Lists, Mix::Transactions, Mix::Proposals] {
        for values in [None, Some(3)] {
            for calls in [500, 2000] {
                let unknown = if mix == Mix::Transactions { 20 } else { 80 };
                let shape = Shape { clients: 8, calls, keys: 3, unknown, mix, values };
                let (mut honest, mut lying) = (Times::default(), Times::default());
                for seed in 0..histories {
                    let mut random = Random::new(seed, "timed");
                    let history = history(&mut random, shape);
                    honest.take(&history);
                    lying.take(&lie(&mut random, &history).unwrap_or(history));
                }
                let values = values.map_or("unique".to_owned(), |values| values.to_string());
                println!("{:<14} {values:<8} {calls:>6}   {honest}    {lying}", format!("{mix:?}"));
            }
        }
    }
}

/// How long checks took.
#[derive(Debug, Default)]
struct Times {
    sum: Duration,
    worst: Duration,
    count: u32,
}

impl Times {
    fn take(&mut self, history: &[Call]) {
        let start = Instant::now();
        let _ = std::hint::black_box(check(history));
        let took = start.elapsed();
        self.sum += took;
        self.worst = self.worst.max(took);
        self.count += 1;
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mean, worst) = (self.sum / self.count.max(1), self.worst);
        write!(formatter, "{:8.2} ms {:8.2} ms", mean.as_secs_f64() * 1e3, worst.as_secs_f64() * 1e3)
    }
}
