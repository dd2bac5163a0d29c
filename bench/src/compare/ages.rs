//! Ages of messages, counted in steps of about three hundredths: a long run needs no more memory
//! than a short one, or the server's memory would be that of its account.

/// Steps within a doubling.
const STEPS: usize = 32;

/// How many messages had which age.
#[derive(Debug)]
pub(super) struct Ages(Box<[u32; 64 * STEPS]>);

impl Default for Ages {
    fn default() -> Self {
        Self(Box::new([0; 64 * STEPS]))
    }
}

impl Ages {
    /// Counts one, in nanoseconds.
    pub(super) fn add(&mut self, nanos: u64) {
        self.0[place(nanos)] += 1;
    }

    /// The age in milliseconds that so many of a thousand do not exceed; none without messages.
    pub(super) fn percentile(&self, permille: u64) -> Option<f64> {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let mut left = (all * permille).div_ceil(1_000).max(1);
        for (place, count) in self.0.iter().enumerate() {
            if u64::from(*count) >= left {
                return Some(end(place) as f64 / 1e6);
            }
            left -= u64::from(*count);
        }
        None
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }
}

fn place(nanos: u64) -> usize {
    let nanos = nanos.max(STEPS as u64);
    let doublings = nanos.ilog2();
    let step = (nanos >> (doublings - STEPS.ilog2())) as usize - STEPS;
    doublings as usize * STEPS + step
}

/// The highest age that is counted there.
fn end(place: usize) -> u64 {
    let (doublings, step) = ((place / STEPS) as u32, (place % STEPS) as u64);
    ((STEPS as u64 + step + 1) << (doublings.saturating_sub(STEPS.ilog2()))) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_step() {
        let mut ages = Ages::default();
        assert_eq!(ages.percentile(500), None);
        (1..=1_000).for_each(|micros| ages.add(micros * 1_000));
        for (permille, wanted) in [(500, 0.5), (990, 0.99), (1_000, 1.0)] {
            let told = ages.percentile(permille).unwrap();
            assert!(told >= wanted && told < wanted * 1.04, "{told} for {wanted}");
        }
    }
}
