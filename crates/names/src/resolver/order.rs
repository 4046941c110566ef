//! The order in which SRV targets are tried (RFC 2782).

use hickory_proto::rr::rdata::SRV;

/// Sorts by priority; among equals, picks one after another with a chance in proportion to its
/// weight. `random(n)` gives a number from 0 to `n` inclusive.
pub(super) fn order(mut records: Vec<SRV>, mut random: impl FnMut(u32) -> u32) -> Vec<SRV> {
    // Weight 0 goes first, so that it has its small chance when the number drawn is 0.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let equals = records
            .iter()
            .take_while(|record| record.priority == priority);
        let picked = pick(equals, &mut random);
        ordered.push(records.remove(picked));
    }
    ordered
}

/// The index of the first record at which the running sum of weights reaches a random number.
fn pick<'a>(
    equals: impl Iterator<Item = &'a SRV> + Clone,
    random: &mut impl FnMut(u32) -> u32,
) -> usize {
    let total: u32 = equals.clone().map(|record| u32::from(record.weight)).sum();
    let drawn = random(total);
    let mut sum = 0;
    equals
        .map(|record| {
            sum += u32::from(record.weight);
            sum
        })
        .position(|sum| sum >= drawn)
        .unwrap_or(0)
}

/// A random number from 0 to `last` inclusive. Where the system has no randomness, 0: the order
/// is then fixed, which still is a permitted one.
pub(super) fn random(last: u32) -> u32 {
    let drawn = getrandom::u32().unwrap_or(0);
    let scaled = (u64::from(drawn) * (u64::from(last) + 1)) >> 32;
    u32::try_from(scaled).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Name;
    use proptest::prelude::*;

    use super::*;

    fn srv(priority: u16, weight: u16, port: u16) -> SRV {
        SRV::new(priority, weight, port, Name::root())
    }

    fn ports(records: Vec<SRV>, random: impl FnMut(u32) -> u32) -> Vec<u16> {
        order(records, random)
            .iter()
            .map(|record| record.port)
            .collect()
    }

    #[test]
    fn priority_comes_before_weight() {
        let records = vec![srv(20, 9, 3), srv(10, 0, 1), srv(10, 60, 2)];
        assert_eq!(ports(records.clone(), |_| 0), [1, 2, 3]);
        assert_eq!(ports(records, |last| last), [2, 1, 3]);
    }

    #[test]
    fn the_chance_is_in_proportion_to_the_weight() {
        let records = vec![srv(0, 10, 1), srv(0, 30, 2), srv(0, 60, 3)];
        let first = |drawn: u32| ports(records.clone(), |last| drawn.min(last))[0];
        let counts = (0..=100).fold([0; 3], |mut counts, drawn| {
            counts[usize::from(first(drawn)) - 1] += 1;
            counts
        });
        assert_eq!(counts, [11, 30, 60]);
    }

    proptest! {
        #[test]
        fn every_record_comes_once_and_priorities_rise(
            fields in prop::collection::vec((0u16..4, 0u16..100), 0..20),
        ) {
            let records: Vec<SRV> = (0u16..)
                .zip(&fields)
                .map(|(port, (priority, weight))| srv(*priority, *weight, port))
                .collect();
            let ordered = order(records, random);
            prop_assert!(ordered.is_sorted_by_key(|record| record.priority));
            let mut ports: Vec<u16> = ordered.iter().map(|record| record.port).collect();
            ports.sort_unstable();
            prop_assert!((0..).zip(&ports).all(|(expected, port)| expected == *port));
            prop_assert_eq!(ports.len(), fields.len());
        }

        #[test]
        fn random_numbers_stay_in_range(last: u32) {
            prop_assert!(random(last) <= last);
        }
    }
}
