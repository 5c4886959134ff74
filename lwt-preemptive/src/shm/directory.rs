//! The directory of a pool: names for places.
//!
//! A name is written before its place, and counts when that is stored; the place is cleared before its entry
//! is used again. So a process that dies in between leaves an entry that counts, or one that does not.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::error::ShmError;
use super::layout;
use super::lock::Held;
use super::object::Place;
use super::pool::{Inner, Pool};

impl Pool {
    /// Gives a place a name in the pool, by which other processes [find](Pool::find) it. There is room for
    /// 32.
    ///
    /// # Errors
    /// [`ShmError::BadName`], [`ShmError::DirectoryFull`].
    pub fn publish(&self, name: &str, place: Place) -> Result<(), ShmError> {
        let memory = &self.0.memory;
        let fits = !name.is_empty() && name.len() <= layout::NAME_ROOM;
        let _held = Held::short(&self.0, memory.half(layout::DIRECTORY_LOCK));
        if !fits || self.0.entry(name).is_some() {
            return Err(ShmError::BadName);
        }
        let free = (0..layout::NAMES).map(layout::entry).find(|at| memory.word(*at).load(Relaxed) == 0);
        let at = free.ok_or(ShmError::DirectoryFull)?;
        memory.store(at + layout::ENTRY_NAME, name.as_bytes());
        memory.word(at + layout::ENTRY_LENGTH).store(name.len() as u64, Relaxed);
        memory.word(at).store(place.0, Release);
        Ok(())
    }

    /// The place with this name.
    pub fn find(&self, name: &str) -> Option<Place> {
        let _held = Held::short(&self.0, self.0.memory.half(layout::DIRECTORY_LOCK));
        self.0.entry(name).map(|at| Place(self.0.memory.word(at).load(Acquire)))
    }

    /// Takes a name away, and gives its place. What is there stays.
    pub fn unpublish(&self, name: &str) -> Option<Place> {
        let _held = Held::short(&self.0, self.0.memory.half(layout::DIRECTORY_LOCK));
        self.0.entry(name).map(|at| Place(self.0.memory.word(at).swap(0, Release)))
    }

    /// All names and their places.
    pub fn names(&self) -> Vec<(String, Place)> {
        let _held = Held::short(&self.0, self.0.memory.half(layout::DIRECTORY_LOCK));
        (0..layout::NAMES)
            .map(layout::entry)
            .filter_map(|at| {
                let place = self.0.memory.word(at).load(Acquire);
                let name = self.0.entry_name(at);
                (place != 0).then(|| (String::from_utf8_lossy(&name).into_owned(), Place(place)))
            })
            .collect()
    }
}

impl Inner {
    fn entry_name(&self, at: u64) -> Vec<u8> {
        let length = self.memory.word(at + layout::ENTRY_LENGTH).load(Relaxed);
        let mut name = vec![0; length.min(layout::NAME_ROOM as u64) as usize];
        self.memory.load(at + layout::ENTRY_NAME, &mut name);
        name
    }

    /// The entry of a name.
    fn entry(&self, name: &str) -> Option<u64> {
        (0..layout::NAMES)
            .map(layout::entry)
            .find(|at| self.memory.word(*at).load(Acquire) != 0 && self.entry_name(*at) == name.as_bytes())
    }
}
