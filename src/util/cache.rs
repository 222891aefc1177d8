//! A cache of the values used last, each made once for all threads.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// Values by their keys, the least recently used first.
pub(crate) struct Cache<K, T>(Mutex<VecDeque<(K, CacheSlot<T>)>>);

/// Locked while the value is made, so that other threads wait for it instead of making it again.
type CacheSlot<T> = Arc<Mutex<Option<Arc<T>>>>;

impl<K, T> Default for Cache<K, T> {
    fn default() -> Self {
        Cache(Mutex::new(VecDeque::new()))
    }
}

impl<K: PartialEq, T> Cache<K, T> {
    /// The value of a key, made if it is missing. The `keep` values used last stay.
    pub(crate) fn get<E>(
        &self,
        key: K,
        keep: usize,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let slot = {
            let mut slots = self.0.lock();
            let held = slots.iter().position(|(held, _)| *held == key);
            let entry = held.and_then(|at| slots.remove(at)).unwrap_or((key, CacheSlot::default()));
            let slot = entry.1.clone();
            slots.push_back(entry);
            while slots.len() > keep {
                slots.pop_front();
            }
            slot
        };
        let mut value = slot.lock();
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        Ok(value.insert(Arc::new(make()?)).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_cache_keeps_the_last_ones_used_and_tries_again_what_failed() {
        let cache = Cache::default();
        let made = Cell::new(0);
        let get = |index: u64| {
            let make = || {
                made.set(made.get() + 1);
                if index == 9 { Err("no".to_string()) } else { Ok(index * 10) }
            };
            cache.get(index, 2, make).map(|data| *data)
        };
        assert_eq!((get(1), get(2), get(1), get(1)), (Ok(10), Ok(20), Ok(10), Ok(10)));
        assert_eq!(made.get(), 2);
        assert_eq!(get(3), Ok(30)); // evicts 2
        assert_eq!((get(1), made.get()), (Ok(10), 3));
        assert_eq!((get(2), made.get()), (Ok(20), 4));
        assert!(get(9).is_err() && get(9).is_err());
        assert_eq!(made.get(), 6);
    }
}
