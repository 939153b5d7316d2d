//! Shares of what is limited: memory and places per caller. Each is a lease that
//! gives back what it took when it is dropped, however its request ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Bytes in memory, all requests together.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicUsize,
    max: usize,
}

/// A request's share of [`Memory`].
#[derive(Debug)]
pub(crate) struct MemoryLease {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max })
    }

    pub(crate) fn lease(self: &Arc<Self>) -> MemoryLease {
        MemoryLease { memory: Arc::clone(self), bytes: 0 }
    }
}

impl MemoryLease {
    /// Takes `bytes` more; `false` when there are not so many.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.memory.max);
        let took = self.memory.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.bytes += if took { bytes } else { 0 };
        took
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Requests and streams in progress, by caller.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Callers without a request in progress are not in here.
    by_caller: Mutex<HashMap<String, (usize, usize)>>,
}

/// One place of a caller.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    caller: String,
    stream: bool,
}

impl Places {
    /// A place for one more request, if the caller has fewer than `max`.
    pub(crate) fn take(self: &Arc<Self>, caller: &str, max: usize) -> Option<Place> {
        let mut by_caller = self.by_caller.lock();
        let (requests, _) = by_caller.entry(caller.to_owned()).or_default();
        if *requests >= max {
            return None;
        }
        *requests += 1;
        Some(Place { places: Arc::clone(self), caller: caller.to_owned(), stream: false })
    }
}

impl Place {
    /// Makes this a stream's place; `false` when the caller has `max` already.
    pub(crate) fn stream(&mut self, max: usize) -> bool {
        let mut by_caller = self.places.by_caller.lock();
        let Some((_, streams)) = by_caller.get_mut(&self.caller).filter(|(_, streams)| *streams < max) else {
            return false;
        };
        *streams += 1;
        self.stream = true;
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_caller = self.places.by_caller.lock();
        if let Some((requests, streams)) = by_caller.get_mut(&self.caller) {
            *requests -= 1;
            *streams -= usize::from(self.stream);
            if *requests == 0 {
                by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back() {
        let memory = Memory::new(10);
        let (mut a, mut b) = (memory.lease(), memory.lease());
        assert!(a.grow(6) && !b.grow(5) && b.grow(4));
        drop(a);
        assert!(b.grow(6) && !b.grow(usize::MAX));
    }

    #[test]
    fn places_are_counted_by_caller() {
        let places = Arc::new(Places::default());
        let mut first = places.take("a", 2).unwrap();
        let mut second = places.take("a", 2).unwrap();
        assert!(places.take("a", 2).is_none() && places.take("b", 2).is_some());
        assert!(first.stream(1) && !second.stream(1));
        drop(first);
        assert!(second.stream(1));
        drop(second);
        assert!(places.by_caller.lock().is_empty());
    }
}
