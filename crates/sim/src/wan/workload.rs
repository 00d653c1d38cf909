//! Which keys clients write.

use std::fmt;
use std::sync::OnceLock;

use crate::random::Random;

/// How clients choose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// So often in a hundred times one key that all share, else a key of the client's own (EPaxos, SOSP '13, §7.1).
    Conflicts(u64),
    /// A key among [`ZIPF_KEYS`], the first most often: the k-th in proportion to k to the power of −[`ZIPF_EXPONENT`]
    /// (EPaxos Revisited, NSDI '21).
    Zipf,
}

/// Keys of the skewed distribution, as in the artifact of EPaxos Revisited (`scripts/experiment.py`).
pub const ZIPF_KEYS: usize = 1_000_000;

/// Its exponent, from the same place.
pub const ZIPF_EXPONENT: f64 = 0.9;

impl Keys {
    /// The key for the next write of `client`.
    pub fn choose(self, client: u64, random: &mut Random) -> String {
        match self {
            Keys::Conflicts(percent) if random.below(100) < percent => "hot".to_owned(),
            Keys::Conflicts(_) => format!("own{client}"),
            Keys::Zipf => format!("z{}", zipf(random)),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keys::Conflicts(percent) => write!(f, "{percent} %"),
            Keys::Zipf => write!(f, "zipf {ZIPF_EXPONENT}"),
        }
    }
}

/// The place of a key in the order of how often it is chosen, from 0.
fn zipf(random: &mut Random) -> usize {
    static SUMS: OnceLock<Vec<f64>> = OnceLock::new();
    let sums = SUMS.get_or_init(|| {
        let weights = (1..=ZIPF_KEYS).map(|place| 1.0 / power(place as f64, ZIPF_EXPONENT));
        let sum = |sum: &mut f64, weight| {
            *sum += weight;
            Some(*sum)
        };
        weights.scan(0.0, sum).collect()
    });
    let total = sums.last().copied().unwrap_or(0.0);
    // The upper 53 bits: as many as a float has.
    let drawn = (random.number() >> 11) as f64 / (1_u64 << 53) as f64 * total;
    sums.partition_point(|sum| *sum <= drawn).min(ZIPF_KEYS - 1)
}

/// `base` to the power of `exponent`, which is in [0, 1): of square roots alone, whose last bit is the same on every
/// machine. That of `powf` is not.
fn power(base: f64, exponent: f64) -> f64 {
    let (mut result, mut root, mut left) = (1.0, base, exponent);
    for _ in 0..40 {
        root = root.sqrt();
        left *= 2.0;
        if left >= 1.0 {
            left -= 1.0;
            result *= root;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_library_within_rounding() {
        for base in [1.0_f64, 2.0, 17.0, 1e6] {
            for exponent in [0.0, 0.5, 0.9, 0.99] {
                let (ours, theirs) = (power(base, exponent), base.powf(exponent));
                assert!((ours - theirs).abs() / theirs < 1e-9, "{base}^{exponent}: {ours} {theirs}");
            }
        }
    }

    #[test]
    fn the_first_of_a_million_keys_is_written_as_often_as_its_weight_says() {
        let mut random = Random::new(1, "zipf");
        let drawn: Vec<usize> = (0..100_000).map(|_| zipf(&mut random)).collect();
        let share = |place| drawn.iter().filter(|drawn| **drawn == place).count() as f64 / 1e5;
        // 1 / Σ k^-0.9 over a million keys is 0.0337, and the second is 2^-0.9 of that.
        assert!((share(0) - 0.0337).abs() < 0.003, "{}", share(0));
        assert!((share(1) - 0.0337 * 0.536).abs() < 0.003, "{}", share(1));
    }

    #[test]
    fn conflicts_are_as_frequent_as_asked_for() {
        let mut random = Random::new(1, "conflicts");
        for percent in [0, 2, 100] {
            let hot =
                (0..10_000).filter(|_| Keys::Conflicts(percent).choose(7, &mut random) == "hot").count();
            assert!(hot.abs_diff(usize::try_from(percent).unwrap() * 100) < 60, "{percent}: {hot}");
        }
    }
}
