//! Many lists of small keys that borrow their memory from one shared stock.
//!
//! A `Vec` a list would remember the fullest moment of each. Here keys lie in chunks, a list is the
//! four bytes that name its first chunk, and a chunk that runs empty goes back to the stock for any
//! list to take: memory follows the number of keys, whichever list they are in.
//!
//! A list is a stack: what was pushed last is popped first.

/// One list in [`Chains`]; only they can read it. Dropping a list that is not empty loses its
/// chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The only chunk of this list that may have room, or [`NONE`].
    first: u32,
}

impl Chain {
    /// The list of nothing.
    pub const EMPTY: Self = Self { first: NONE };

    /// Whether there is no key.
    pub const fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// The memory of all lists of one owner.
#[derive(Clone, Debug)]
pub struct Chains<K> {
    chunks: Vec<Chunk<K>>,
    /// Chunks in no list.
    spare: Chain,
    spare_count: usize,
}

#[derive(Clone, Debug)]
struct Chunk<K> {
    /// Not empty in a list, empty in the stock.
    keys: Vec<K>,
    next: u32,
}

/// No chunk: a list ends.
const NONE: u32 = u32::MAX;
/// A chunk doubles up to this: large enough that links cost little, small enough that a half empty
/// one does not matter.
const CHUNK_KEYS_MAX: usize = 64;
/// Empty chunks that keep their memory, beside a quarter of as many as are in use.
const SPARE_CHUNKS_MIN: usize = 16;

impl<K: Copy> Chains<K> {
    /// No memory yet.
    pub const fn new() -> Self {
        Self { chunks: Vec::new(), spare: Chain::EMPTY, spare_count: 0 }
    }

    /// Puts `key` on top of the list.
    pub fn push(&mut self, chain: &mut Chain, key: K) {
        match self.chunks.get_mut(chain.first as usize) {
            Some(chunk) if chunk.keys.len() < CHUNK_KEYS_MAX => chunk.keys.push(key),
            Some(_) | None => {
                chain.first = self.take_chunk(chain.first);
                self.chunks[chain.first as usize].keys.push(key);
            }
        }
    }

    /// Takes the key on top of the list.
    pub fn pop(&mut self, chain: &mut Chain) -> Option<K> {
        let index = chain.first;
        let chunk = self.chunks.get_mut(index as usize)?;
        let key = chunk.keys.pop().expect("a chunk in a list holds keys");
        if chunk.keys.is_empty() {
            chain.first = chunk.next;
            self.return_chunk(index);
        }
        Some(key)
    }

    /// Gives the stock back when no list has keys, unless the stock is small.
    pub fn shrink_if_idle(&mut self) {
        if self.spare_count == self.chunks.len() && self.spare_count > SPARE_CHUNKS_MIN {
            *self = Self::new();
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let keys: usize = self.chunks.iter().map(|chunk| chunk.keys.capacity()).sum();
        keys * size_of::<K>() + self.chunks.capacity() * size_of::<Chunk<K>>()
    }

    /// Asserts the invariant over all lists there are: each chunk is in one of them or in the
    /// stock, and full unless it is the first. Returns the number of keys.
    pub fn check<'a>(&self, chains: impl Iterator<Item = &'a Chain>) -> usize {
        let (mut key_count, mut chunk_count) = (0, 0);
        for chain in chains {
            for (position, chunk) in self.chunks_of(chain).enumerate() {
                let len = chunk.keys.len();
                assert!(len > 0, "a chunk in a list holds keys");
                assert!(position == 0 || len == CHUNK_KEYS_MAX, "only the first chunk has room");
                key_count += len;
                chunk_count += 1;
            }
        }
        let mut spare = self.chunks_of(&self.spare);
        assert!(spare.all(|chunk| chunk.keys.is_empty()), "a spare chunk is empty");
        assert_eq!(self.chunks_of(&self.spare).count(), self.spare_count, "the stock is counted");
        assert_eq!(chunk_count + self.spare_count, self.chunks.len(), "no chunk is lost");
        key_count
    }

    /// An empty chunk that links to `next`.
    fn take_chunk(&mut self, next: u32) -> u32 {
        if self.spare.is_empty() {
            let index = u32::try_from(self.chunks.len()).ok().filter(|&index| index != NONE);
            self.chunks.push(Chunk { keys: Vec::new(), next });
            return index.expect("there are fewer than 2^32 - 1 chunks");
        }
        let index = self.spare.first;
        self.spare.first = std::mem::replace(&mut self.chunks[index as usize].next, next);
        self.spare_count -= 1;
        index
    }

    /// Puts an empty chunk into the stock, without its memory if the stock has plenty.
    fn return_chunk(&mut self, index: u32) {
        let used_count = self.chunks.len() - self.spare_count;
        let chunk = &mut self.chunks[index as usize];
        debug_assert!(chunk.keys.is_empty(), "a spare chunk is empty");
        if self.spare_count >= used_count / 4 + SPARE_CHUNKS_MIN {
            chunk.keys = Vec::new();
        }
        chunk.next = std::mem::replace(&mut self.spare.first, index);
        self.spare_count += 1;
    }

    fn chunks_of(&self, chain: &Chain) -> impl Iterator<Item = &Chunk<K>> {
        let chunk = |index: u32| self.chunks.get(index as usize);
        std::iter::successors(chunk(chain.first), move |previous| chunk(previous.next))
    }
}

impl<K: Copy> Default for Chains<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn lists_behave_like_stacks_and_share_their_memory() {
        for seed in 0..4 {
            let mut random = Random::from_seed(seed);
            let mut chains = Chains::new();
            let mut lists = vec![Chain::EMPTY; 5];
            let mut stacks = vec![Vec::new(); 5];
            for step in 0..50_000_u32 {
                let (list, pushes) = (random.index(5), random.chance(1, 2));
                // Long runs of one kind, so that lists grow over several chunks and run empty.
                for _ in 0..random.below(150) {
                    if pushes {
                        chains.push(&mut lists[list], step);
                        stacks[list].push(step);
                    } else {
                        assert_eq!(chains.pop(&mut lists[list]), stacks[list].pop());
                    }
                    assert_eq!(lists[list].is_empty(), stacks[list].is_empty());
                }
                chains.shrink_if_idle();
                if step % 64 == 0 {
                    let key_count: usize = stacks.iter().map(Vec::len).sum();
                    assert_eq!(chains.check(lists.iter()), key_count);
                }
            }
        }
    }

    #[test]
    fn an_emptied_list_feeds_the_others() {
        let mut chains = Chains::new();
        let (mut full, mut other) = (Chain::EMPTY, Chain::EMPTY);
        (0..1_000_u64).for_each(|key| chains.push(&mut full, key));
        let before = chains.heap_bytes();
        while let Some(key) = chains.pop(&mut full) {
            chains.push(&mut other, key);
        }
        assert!(chains.heap_bytes() <= before + 2 * CHUNK_KEYS_MAX * size_of::<u64>());
        assert_eq!(chains.check([&full, &other].into_iter()), 1_000);
    }

    #[test]
    fn memory_goes_when_the_keys_go() {
        let mut chains = Chains::new();
        let mut list = Chain::EMPTY;
        (0..10_000_u64).for_each(|key| chains.push(&mut list, key));
        let full = chains.heap_bytes();
        (0..9_000).for_each(|_| assert!(chains.pop(&mut list).is_some()));
        assert!(chains.heap_bytes() < full / 2, "{} of {full}", chains.heap_bytes());
        while chains.pop(&mut list).is_some() {}
        chains.shrink_if_idle();
        assert_eq!(chains.heap_bytes(), 0);
    }
}
