//! A part of an object that most objects never use: eight bytes until somebody writes to it.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Reads as an empty `T` until it is first written to, which allocates.
///
/// Writing is every use by `&mut`: who only wants to change what is there asks [`Rare::used`].
pub struct Rare<T>(Option<Box<T>>);

/// What has an empty value that can be lent to everybody.
pub trait Empty: Default + 'static {
    /// The value.
    const EMPTY: &'static Self;
}

impl<T: 'static> Empty for Vec<T> {
    const EMPTY: &'static Self = &Self::new();
}

impl<T: 'static> Empty for std::collections::VecDeque<T> {
    const EMPTY: &'static Self = &Self::new();
}

impl<T> Rare<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(None)
    }

    /// What has been written to, to be changed; nothing otherwise, and nothing is allocated.
    pub fn used(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Gives the memory back if what is there `is_empty`.
    pub fn free_if(&mut self, is_empty: impl FnOnce(&T) -> bool) {
        self.0.take_if(|value| is_empty(value));
    }
}

impl<T: Empty> Rare<T> {
    /// Moves the value out and leaves nothing.
    pub fn take(&mut self) -> T {
        self.0.take().map_or_else(T::default, |value| *value)
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Empty> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::EMPTY,
        }
    }
}

impl<T: Empty> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Empty + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_eight_bytes_and_empty_until_it_is_written_to() {
        assert_eq!(size_of::<Rare<Vec<u64>>>(), 8);
        let mut rare = Rare::<Vec<u64>>::new();
        assert!(rare.is_empty() && rare.used().is_none());
        rare.push(7);
        assert_eq!(rare.as_slice(), [7]);
        assert_eq!(rare.used().map(|list| list.len()), Some(1));
    }

    #[test]
    fn it_gives_its_memory_back_only_when_it_is_empty() {
        let mut rare = Rare::<Vec<u64>>::new();
        rare.push(7);
        rare.free_if(Vec::is_empty);
        assert_eq!(rare.len(), 1);
        assert_eq!(rare.pop(), Some(7));
        rare.free_if(Vec::is_empty);
        assert!(rare.used().is_none());
        rare.push(8);
        assert_eq!((rare.take(), rare.used()), (vec![8], None));
    }
}
