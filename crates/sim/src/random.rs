//! Randomness from a seed: the same on every machine.

/// A stream of random numbers (splitmix64). Streams for different purposes are independent, so that taking a fault
/// away does not change what happens elsewhere.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of `seed` for `purpose`.
    pub fn new(seed: u64, purpose: &str) -> Random {
        let mut random = Random { state: seed };
        for byte in purpose.bytes() {
            random.state = random.state.wrapping_add(u64::from(byte));
            random.state = random.number();
        }
        random
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        self.number() % bound
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so often in a thousand times.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of them.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).expect("an index")]
    }

    /// `count` of them, in random order; all if there are fewer.
    pub fn sample<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut rest = items.to_vec();
        let mut sample = Vec::new();
        while sample.len() < count && !rest.is_empty() {
            let index = usize::try_from(self.below(rest.len() as u64)).expect("an index");
            sample.push(rest.swap_remove(index));
        }
        sample
    }

    /// Mostly small, now and then up to `bound`: as delays are.
    pub fn skewed(&mut self, bound: u64) -> u64 {
        let cap = bound >> self.below(6);
        self.below(cap.max(1))
    }
}
