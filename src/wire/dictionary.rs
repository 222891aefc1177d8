//! A dictionary through which threads or ranks exchange values: put, take, fetch, wait, is_ready.
//!
//! [`Dictionary`] is shared by the threads of one process. [`SharedDictionary`] has the same operations;
//! its values are on rank 0, and other ranks reach them by messages.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::util::error::{Error, Result};
use crate::wire::codec;
use crate::wire::requests::MasterClient;
use crate::wire::requests::answered;
use crate::wire::requests::{DictionaryOp, Reply, Request};

/// A dictionary that threads share. Clones are handles to the same dictionary.
///
/// Its operations:
///
/// ```
/// use std::{thread, time::Duration};
/// use gridmpi::Dictionary;
///
/// let runs = Dictionary::new();
/// assert!(!runs.is_ready(&"a"));
///
/// // A value that is put under a key is ready. Putting again replaces it and returns the old value.
/// assert_eq!(runs.put("a", 1)?, None);
/// assert_eq!(runs.put("a", 2)?, Some(1));
/// assert!(runs.is_ready(&"a"));
///
/// // `fetch` copies the value, `take` removes it.
/// assert_eq!(runs.fetch(&"a")?, 2);
/// assert_eq!(runs.take(&"a")?, 2);
/// assert!(!runs.is_ready(&"a"));
/// assert_eq!(runs.try_take(&"a"), None);
///
/// // `take`, `fetch` and `wait` block until there is a value.
/// let producer = runs.clone();
/// let thread = thread::spawn(move || producer.put("b", 3).map(drop));
/// runs.wait(&"b")?;
/// assert_eq!(runs.take(&"b")?, 3);
/// thread.join().unwrap()?;
///
/// // A wait can have a time limit, and every wait ends when the dictionary is closed.
/// assert!(!runs.wait_for(&"c", Duration::from_millis(1))?);
/// let waiting = runs.clone();
/// let thread = thread::spawn(move || waiting.take(&"c"));
/// runs.close();
/// assert!(thread.join().unwrap().is_err());
/// assert!(runs.put("c", 4).is_err());
/// # Ok::<(), gridmpi::Error>(())
/// ```
pub struct Dictionary<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    state: Mutex<DictionaryState<K, V>>,
    changed: Condvar,
}

struct DictionaryState<K, V> {
    values: BTreeMap<K, V>,
    closed: bool,
    /// How many threads wait for a value.
    waiting: usize,
}

impl<K: Ord, V> Dictionary<K, V> {
    /// An empty dictionary.
    pub fn new() -> Dictionary<K, V> {
        let state =
            Mutex::new(DictionaryState { values: BTreeMap::new(), closed: false, waiting: 0 });
        Dictionary { shared: Arc::new(Shared { state, changed: Condvar::new() }) }
    }

    /// Puts a value under a key and returns the value it replaces. An error if the dictionary is closed.
    pub fn put(&self, key: K, value: V) -> Result<Option<V>> {
        let mut state = self.state();
        if state.closed {
            return Err(closed());
        }
        let old = state.values.insert(key, value);
        self.shared.changed.notify_all();
        Ok(old)
    }

    /// Waits until there is a value, and removes it. If several threads wait, one of them gets it. An
    /// error if there is no value and the dictionary is closed.
    pub fn take(&self, key: &K) -> Result<V> {
        self.until(None, |values| values.remove(key)).and_then(|value| value.ok_or_else(closed))
    }

    /// Waits until there is a value, and copies it. An error if there is no value and the dictionary is
    /// closed.
    pub fn fetch(&self, key: &K) -> Result<V>
    where
        V: Clone,
    {
        self.until(None, |values| values.get(key).cloned())
            .and_then(|value| value.ok_or_else(closed))
    }

    /// Waits until there is a value. An error if there is none and the dictionary is closed.
    pub fn wait(&self, key: &K) -> Result<()> {
        self.until(None, |values| values.contains_key(key).then_some(())).map(drop)
    }

    /// Waits until there is a value, but for `patience` at most. Returns whether there is one now. An
    /// error if there is none and the dictionary is closed.
    pub fn wait_for(&self, key: &K, patience: Duration) -> Result<bool> {
        let ready = self.until(Some(patience), |values| values.contains_key(key).then_some(()))?;
        Ok(ready.is_some())
    }

    /// Whether there is a value. Does not wait.
    pub fn is_ready(&self, key: &K) -> bool {
        self.state().values.contains_key(key)
    }

    /// Removes and returns the value, if there is one. Does not wait.
    pub fn try_take(&self, key: &K) -> Option<V> {
        self.state().values.remove(key)
    }

    /// Copies the value, if there is one. Does not wait.
    pub fn try_fetch(&self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        self.state().values.get(key).cloned()
    }

    /// Closes the dictionary. No value can be put any more, and every wait for a missing value returns an
    /// error. Values that are there can still be taken.
    pub fn close(&self) {
        self.state().closed = true;
        self.shared.changed.notify_all();
    }

    /// Waits until `find` finds something; `None` if that takes longer than `patience`.
    fn until<T>(
        &self,
        patience: Option<Duration>,
        mut find: impl FnMut(&mut BTreeMap<K, V>) -> Option<T>,
    ) -> Result<Option<T>> {
        let begin = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(found) = find(&mut state.values) {
                return Ok(Some(found));
            }
            if state.closed {
                return Err(closed());
            }
            let changed = &self.shared.changed;
            state.waiting += 1;
            state = match patience.map(|patience| patience.saturating_sub(begin.elapsed())) {
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    state.waiting -= 1;
                    return Ok(None);
                }
                Some(left) => {
                    changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.waiting -= 1;
        }
    }

    /// Whether a thread waits for a value.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.state().waiting > 0
    }

    /// Number of handles to this dictionary.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.shared)
    }

    fn state(&self) -> MutexGuard<'_, DictionaryState<K, V>> {
        // The only user code under this lock is Ord and Clone, and a panic in those changes nothing.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> Error {
    Error::unexpected("the dictionary is closed: nothing more will be put under this key")
}

impl<K, V> Clone for Dictionary<K, V> {
    fn clone(&self) -> Self {
        Dictionary { shared: self.shared.clone() }
    }
}

impl<K: Ord, V> Default for Dictionary<K, V> {
    fn default() -> Self {
        Dictionary::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Dictionary<K, V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        out.debug_map().entries(&state.values).finish()
    }
}

/// Rank 0's data of all shared dictionaries of a study; keys and values are encoded.
pub(crate) type DictionaryData = Dictionary<Bytes, Bytes>;

/// A dictionary on rank 0 that all ranks of a study share. crunch gets it from
/// [`Context::dictionary`](crate::Context::dictionary), and the program on rank 0 from
/// [`Study::dictionary`](crate::Study::dictionary). It behaves like a [`Dictionary`], and:
///
/// - Each call from a worker is a message to rank 0 and a reply. [`put`](SharedDictionary::put) does not
///   return the old value.
/// - A wait of a worker ends with an error if nobody is left to put the value: for a minute every worker has
///   been waiting or idle. If crunch has threads of its own, if crunch runs isolated, if `on_summary` still
///   runs, or if the program on rank 0 has a handle on a dictionary, they may put it yet: then the wait goes
///   on, and the log says after a minute who waits for what. A wait that goes on when its crunch has returned
///   ends soon after.
/// - The dictionary is closed when the study is over, which ends the waits on rank 0 too.
///
/// Keys are compared, and keys and values are sent, in their bincode form, within these
/// [limits](crate#limits-of-serde-types).
pub struct SharedDictionary<'a, K, V> {
    name: String,
    place: DictionaryPlace<'a>,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for SharedDictionary<'_, K, V> {
    fn clone(&self) -> Self {
        SharedDictionary { name: self.name.clone(), place: self.place.clone(), of: PhantomData }
    }
}

#[derive(Clone)]
enum DictionaryPlace<'a> {
    Here(DictionaryData),
    RankZero(&'a dyn MasterClient),
}

impl<'a, K: Serialize, V: Serialize + DeserializeOwned> SharedDictionary<'a, K, V> {
    pub(crate) fn remote(name: &str, caller: &'a dyn MasterClient) -> SharedDictionary<'a, K, V> {
        SharedDictionary {
            name: name.to_string(),
            place: DictionaryPlace::RankZero(caller),
            of: PhantomData,
        }
    }

    pub(crate) fn here(name: &str, dictionary: &DictionaryData) -> SharedDictionary<'static, K, V> {
        let place = DictionaryPlace::Here(dictionary.clone());
        SharedDictionary { name: name.to_string(), place, of: PhantomData }
    }

    /// Puts a value under a key, and replaces one that is there. An error if the study is over.
    pub fn put(&self, key: &K, value: &V) -> Result<()> {
        self.operation(key, DictionaryOp::Put(codec::encode_theirs(value)?.into())).map(drop)
    }

    /// Waits until there is a value, and removes it. An error if no worker is left to put it.
    pub fn take(&self, key: &K) -> Result<V> {
        self.value(key, DictionaryOp::Take { wait: true })?.ok_or_else(closed)
    }

    /// Waits until there is a value, and copies it. An error if no worker is left to put it.
    pub fn fetch(&self, key: &K) -> Result<V> {
        self.value(key, DictionaryOp::Fetch { wait: true })?.ok_or_else(closed)
    }

    /// Waits until there is a value. An error if no worker is left to put it.
    pub fn wait(&self, key: &K) -> Result<()> {
        self.operation(key, DictionaryOp::Wait(None)).map(drop)
    }

    /// Waits until there is a value, but for `patience` at most. Returns whether there is one now. An
    /// error if the study is over.
    pub fn wait_for(&self, key: &K, patience: Duration) -> Result<bool> {
        Ok(self.operation(key, DictionaryOp::Wait(Some(patience)))? == Reply::Ready(true))
    }

    /// Whether there is a value. Does not wait.
    pub fn is_ready(&self, key: &K) -> Result<bool> {
        self.wait_for(key, Duration::ZERO)
    }

    /// Removes and returns the value, if there is one. Does not wait.
    pub fn try_take(&self, key: &K) -> Result<Option<V>> {
        self.value(key, DictionaryOp::Take { wait: false })
    }

    /// Copies the value, if there is one. Does not wait.
    pub fn try_fetch(&self, key: &K) -> Result<Option<V>> {
        self.value(key, DictionaryOp::Fetch { wait: false })
    }

    fn value(&self, key: &K, operation: DictionaryOp) -> Result<Option<V>> {
        match self.operation(key, operation)? {
            Reply::Value(Some(bytes)) => codec::decode_theirs(&bytes).map(Some),
            _ => Ok(None),
        }
    }

    fn operation(&self, key: &K, operation: DictionaryOp) -> Result<Reply> {
        let key = Bytes::from(codec::encode_theirs(&(&self.name, key))?);
        match &self.place {
            DictionaryPlace::RankZero(caller) => {
                answered(caller.ask(Request::Dictionary(operation, key))?)
            }
            DictionaryPlace::Here(dictionary) => Ok(match operation {
                DictionaryOp::Put(value) => {
                    dictionary.put(key, value).map(|_| Reply::Ready(true))?
                }
                DictionaryOp::Take { wait: true } => Reply::Value(Some(dictionary.take(&key)?)),
                DictionaryOp::Take { wait: false } => Reply::Value(dictionary.try_take(&key)),
                DictionaryOp::Fetch { wait: true } => Reply::Value(Some(dictionary.fetch(&key)?)),
                DictionaryOp::Fetch { wait: false } => Reply::Value(dictionary.try_fetch(&key)),
                DictionaryOp::Wait(None) => dictionary.wait(&key).map(|()| Reply::Ready(true))?,
                DictionaryOp::Wait(Some(Duration::ZERO)) => Reply::Ready(dictionary.is_ready(&key)),
                DictionaryOp::Wait(Some(patience)) => {
                    Reply::Ready(dictionary.wait_for(&key, patience)?)
                }
            }),
        }
    }
}
