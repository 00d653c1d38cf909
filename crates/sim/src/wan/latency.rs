//! Latencies: all of them, sorted, so that percentiles are exact.

/// Latencies in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    sorted: Vec<u64>,
}

impl FromIterator<u64> for Latencies {
    fn from_iter<I: IntoIterator<Item = u64>>(latencies: I) -> Latencies {
        let mut sorted: Vec<u64> = latencies.into_iter().collect();
        sorted.sort_unstable();
        Latencies { sorted }
    }
}

impl Latencies {
    /// How many.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest that at least `percent` of a hundred do not exceed; 0 if there are none.
    pub fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }

    /// Half of them take no longer.
    pub fn median(&self) -> u64 {
        self.percentile(50)
    }

    /// The longest.
    pub fn worst(&self) -> u64 {
        self.percentile(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let latencies: Latencies = (1..=200).rev().collect();
        let shown = [1, 50, 99, 100].map(|percent| latencies.percentile(percent));
        assert_eq!(shown, [2, 100, 198, 200]);
        assert_eq!(Latencies::default().median(), 0);
    }
}
