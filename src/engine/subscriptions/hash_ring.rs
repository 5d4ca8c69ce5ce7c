//! Which member of a shared group owns a key, such that few keys move when members come and go.
//!
//! Multi-probe consistent hashing (Appleton and O'Reilly, 2015): each member is one point on a circle, a key is hashed to
//! `PROBES` places on it, and the member whose point follows one of them most closely owns the key. When a member goes,
//! only its keys move; when it returns, they come back. One point a member is all the memory there is.

use crate::base::slab::Key;
use crate::engine::subscriptions::members::Member;

/// Places that a key is looked for: the fullest of many members owns about a tenth more than its share.
const PROBES: u64 = 21;

/// The circle of one group's present members.
#[derive(Debug, Default)]
pub struct HashRing {
    /// In order. A plain list, because look-ups are many and changes few.
    points: Vec<(u64, Key<Member>)>,
    generation: u64,
}

impl HashRing {
    /// How many members stand on it.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether nobody stands on it.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Changes with every change of the circle: owners of an older one are looked up again.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the member stands at this point.
    pub fn contains(&self, point: u64, member: Key<Member>) -> bool {
        self.points.binary_search(&(point, member)).is_ok()
    }

    /// Puts a member on the circle.
    pub fn insert(&mut self, point: u64, member: Key<Member>) {
        let at = self.points.binary_search(&(point, member)).expect_err("a member stands on the circle once");
        self.points.insert(at, (point, member));
        self.generation += 1;
    }

    /// Takes a member off the circle.
    pub fn remove(&mut self, point: u64, member: Key<Member>) {
        let at = self.points.binary_search(&(point, member)).expect("the member stands on the circle");
        self.points.remove(at);
        self.generation += 1;
    }

    /// Who owns the key with this hash.
    pub fn owner(&self, hash: u64) -> Option<Key<Member>> {
        let first = self.points.first()?;
        let mut nearest = (u64::MAX, first.1);
        for probe in 0..PROBES {
            let place = mix(hash.wrapping_add(probe.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let at = self.points.partition_point(|(point, _)| *point < place);
            let (point, member) = self.points.get(at).unwrap_or(first); // round the circle
            let distance = point.wrapping_sub(place);
            if distance < nearest.0 {
                nearest = (distance, *member);
            }
        }
        Some(nearest.1)
    }
}

/// Spreads nearby numbers over the whole circle.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    fn ring_of(members: u64) -> (HashRing, Vec<(u64, Key<Member>)>) {
        let mut random = Random::from_seed(members);
        let points: Vec<_> = (1..=members).map(|n| (random.next_u64(), Key::from_bits(1 << 32 | n).unwrap())).collect();
        let mut ring = HashRing::default();
        for (point, member) in &points {
            ring.insert(*point, *member);
        }
        (ring, points)
    }

    #[test]
    fn keys_are_spread_evenly() {
        let (ring, points) = ring_of(100);
        let mut counts = vec![0_u32; points.len()];
        for key in 0..100_000 {
            let owner = ring.owner(mix(key)).unwrap();
            counts[points.iter().position(|(_, member)| *member == owner).unwrap()] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 100 && *most < 1_200, "of 1,000 each: {least} to {most}");
    }

    #[test]
    fn only_the_keys_of_the_one_that_goes_move_and_they_come_back() {
        let (mut ring, points) = ring_of(10);
        let owners: Vec<_> = (0..20_000).map(|key| ring.owner(mix(key)).unwrap()).collect();
        let (point, gone) = points[4];
        ring.remove(point, gone);
        for (key, before) in (0..).zip(&owners) {
            let now = ring.owner(mix(key)).unwrap();
            assert!(now != gone && (now == *before || *before == gone));
        }
        ring.insert(point, gone);
        assert!((0..).zip(&owners).all(|(key, before)| ring.owner(mix(key)) == Some(*before)));
    }

    #[test]
    fn nobody_owns_what_nobody_is_there_for() {
        assert_eq!(HashRing::default().owner(7), None);
        let (ring, points) = ring_of(1);
        assert!((0..100).all(|key| ring.owner(key) == Some(points[0].1)));
    }
}
