//! The sources of a Rust loop's points: values that every rank holds, data sets made on rank 0, data sets
//! that each rank loads itself.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::context::Context;
use crate::executor::rust::{AnyPoint, LoopSource, PreparedLoop};
use crate::job::{digest, digest_of};
use crate::model::{Points, Value};
use crate::util::cache::Cache;
use crate::util::error::{Error, Result};
use crate::wire::codec;

/// A loop with points of type `T`, of which rank 0 knows a `K` before anything is crunched.
pub(super) trait Source<T, K = T>: LoopSource {
    /// Gets one point: held, fetched or loaded.
    fn point<'a>(
        &'a self,
        level: usize,
        index: u64,
        context: &Context,
    ) -> Result<PointRef<'a, T>, String>;

    /// On rank 0: what is known of one point.
    fn known(&self, index: u64) -> Result<PointRef<'_, K>, String>;
}

/// A point, borrowed or shared while a task needs it.
pub(super) enum PointRef<'a, T> {
    /// Owned by the loop.
    Here(&'a T),
    /// Shared with the cache, which may drop it meanwhile.
    Kept(Arc<T>),
}

impl<'a, T: Send + Sync + 'static> PointRef<'a, T> {
    pub(super) fn erased(self) -> AnyPoint<'a> {
        match self {
            PointRef::Here(point) => AnyPoint::Here(point),
            PointRef::Kept(point) => AnyPoint::Kept(point),
        }
    }
}

impl<T> Deref for PointRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            PointRef::Here(point) => point,
            PointRef::Kept(point) => point,
        }
    }
}

/// Values longer than this may be shortened in the store, so a digest identifies them. (bytes)
const SHOWN: usize = 4096;

/// The user's value, until rank 0 takes it.
type SharedValue<T> = Mutex<Option<T>>;

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of the user's function leaves no inconsistent data under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Values that all ranks hold; rank 0 sends its own.
pub(super) struct Values<T> {
    name: String,
    given: SharedValue<Vec<T>>,
    known: OnceLock<Vec<T>>,
}

impl<T> Values<T> {
    pub(super) fn new(name: &str, values: impl IntoIterator<Item = T>) -> Values<T> {
        let given = Mutex::new(Some(values.into_iter().collect()));
        Values { name: name.to_string(), given, known: OnceLock::new() }
    }

    pub(super) fn get(&self, index: u64) -> Result<&T, String> {
        let known = self.known.get().and_then(|values| values.get(index as usize));
        known.ok_or_else(|| format!("a bug in gridmpi: loop '{}' has no point {index}", self.name))
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Values<T> {
    /// Takes these values as the loop's points. Returns the bytes sent to the other ranks.
    pub(super) fn know(&self, values: &Vec<T>) -> Result<Bytes> {
        let learned: Bytes = codec::encode_theirs(values)?.into();
        self.learn(&learned)?; // so that rank 0's threads have exactly the values of other ranks
        Ok(learned)
    }
}

/// A value that can be a point.
pub(super) struct CheckedPoint<T> {
    /// As the store shows it.
    pub(super) shown: Value,
    pub(super) bytes: Vec<u8>,
    /// As other ranks will have it.
    pub(super) decoded: T,
    /// If what the store shows does not tell it from others.
    pub(super) digest: Option<String>,
}

/// Whether different values may be shown so: `None` and `Some(None)` as null, whole numbers beyond 64 bits as
/// the nearest float. The same for all values that are shown alike.
fn is_ambiguous(shown: &Value) -> bool {
    match shown {
        Value::Null => true,
        Value::Float(number) => number.abs() >= i64::MAX as f64,
        Value::List(items) => items.iter().any(is_ambiguous),
        Value::Record(fields) => fields.iter().any(|(_, value)| is_ambiguous(value)),
        Value::Bool(_) | Value::Int(_) | Value::Text(_) => false,
    }
}

/// Fails if a value cannot be shown, or could not be decoded by other ranks.
pub(super) fn checked<T: Serialize + DeserializeOwned>(
    value: &T,
) -> Result<CheckedPoint<T>, String> {
    let shown = Value::of(value)?;
    let bytes = codec::encode_theirs(value).map_err(|error| error.to_string())?;
    let decoded = codec::decode_theirs(&bytes).map_err(|error| error.to_string())?;
    let digest = (bytes.len() > SHOWN || is_ambiguous(&shown)).then(|| digest(&bytes));
    Ok(CheckedPoint { shown, bytes, decoded, digest })
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> LoopSource for Values<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn prepare(&self) -> Result<PreparedLoop> {
        let given =
            locked(&self.given).take().ok_or_else(|| Error::input("a study can run only once"))?;
        let (mut shown, mut digests) = (Vec::with_capacity(given.len()), BTreeMap::new());
        for (i, value) in (0..).zip(&given) {
            let point = checked(value)
                .map_err(|why| Error::input(format!("loop '{}', point {i}: {why}", self.name)))?;
            shown.push(point.shown);
            digests.extend(point.digest.map(|digest| (i, digest)));
        }
        let learned = self.know(&given)?;
        Ok(PreparedLoop { points: Points::List(shown), learned, digests })
    }

    fn learn(&self, bytes: &Bytes) -> Result<()> {
        if self.known.get().is_none() {
            let _ = self.known.set(codec::decode_theirs(bytes)?);
        }
        Ok(())
    }

    fn data(&self, _: u64) -> Result<Bytes, String> {
        Err(format!("a bug in gridmpi: the points of loop '{}' are known to all", self.name))
    }

    fn any_point(
        &self,
        level: usize,
        index: u64,
        context: &Context,
    ) -> Result<AnyPoint<'_>, String> {
        self.point(level, index, context).map(PointRef::erased)
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Source<T> for Values<T> {
    fn point<'a>(&'a self, _: usize, index: u64, _: &Context) -> Result<PointRef<'a, T>, String> {
        self.get(index).map(PointRef::Here)
    }

    fn known(&self, index: u64) -> Result<PointRef<'_, T>, String> {
        self.get(index).map(PointRef::Here)
    }
}

/// Makes data sets on rank 0, with their names, if they have some.
type Make<T> = Box<dyn FnOnce() -> crate::Result<(Option<Vec<String>>, Vec<T>)> + Send>;

/// Data sets that are made on rank 0; a rank gets one when it first has a task with it.
pub(super) struct DataSets<T> {
    name: String,
    make: SharedValue<Make<T>>,
    /// On rank 0 only; shared by its threads.
    made: OnceLock<Vec<T>>,
    cache: Cache<u64, T>,
}

impl<T> DataSets<T> {
    pub(super) fn new(name: &str, make: Make<T>) -> DataSets<T> {
        let make = Mutex::new(Some(make));
        DataSets { name: name.to_string(), make, made: OnceLock::new(), cache: Cache::default() }
    }

    /// On rank 0: a data set.
    fn get(&self, point: u64) -> Result<&T, String> {
        let data = self.made.get().and_then(|made| made.get(point as usize));
        data.ok_or_else(|| format!("loop '{}' has no point {point}", self.name))
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> LoopSource for DataSets<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_data(&self) -> bool {
        true
    }

    fn prepare(&self) -> Result<PreparedLoop> {
        let make =
            locked(&self.make).take().ok_or_else(|| Error::input("a study can run only once"))?;
        let made = crate::util::panic::caught("the closure", || make().map_err(|e| e.to_string()));
        let (names, made) = made.map_err(|why| {
            Error::input(format!("the data sets of loop '{}' cannot be made: {why}", self.name))
        })?;
        let points = match names {
            Some(names) => Points::List(names.into_iter().map(Value::Text).collect()),
            None => Points::Range { from: 0, step: 1, count: made.len() as u64 },
        };
        let mut digests = BTreeMap::new();
        let mut shortest = None;
        let within =
            |i: u64, error: Error| error.within(&format!("loop '{}', point {i}", self.name));
        for (i, data) in (0..).zip(&made) {
            let mut length = 0;
            let write = |out: &mut dyn std::io::Write| {
                length = codec::write_theirs(data, out)?;
                Ok(())
            };
            digests.insert(i, digest_of(write).map_err(|error| within(i, error))?);
            shortest =
                [shortest, Some((length, i, data))].into_iter().flatten().min_by_key(|s| s.0);
        }
        // A type that other ranks could not decode is found here, before anything is crunched.
        if let Some((_, i, data)) = shortest {
            codec::encode_theirs(data)
                .and_then(|bytes| codec::decode_theirs::<T>(&bytes))
                .map_err(|error| within(i, error))?;
        }
        let _ = self.made.set(made);
        Ok(PreparedLoop { points, learned: Bytes::new(), digests })
    }

    fn learn(&self, _: &Bytes) -> Result<()> {
        Ok(())
    }

    fn data(&self, point: u64) -> Result<Bytes, String> {
        codec::encode_theirs(self.get(point)?).map(Bytes::from).map_err(|error| error.to_string())
    }

    fn any_point(
        &self,
        level: usize,
        index: u64,
        context: &Context,
    ) -> Result<AnyPoint<'_>, String> {
        self.point(level, index, context).map(PointRef::erased)
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Source<T> for DataSets<T> {
    fn point<'a>(
        &'a self,
        level: usize,
        index: u64,
        context: &Context,
    ) -> Result<PointRef<'a, T>, String> {
        if let Some(data) = self.made.get().and_then(|made| made.get(index as usize)) {
            return Ok(PointRef::Here(data));
        }
        let fetch = || {
            let bytes = context.data(level, index)?;
            codec::decode_theirs(&bytes)
        };
        let data = self.cache.get(index, context.keep(), || fetch().map_err(|e| e.to_string()));
        data.map(PointRef::Kept)
            .map_err(|why| format!("loop '{}', point {index}: {why}", self.name))
    }

    fn known(&self, index: u64) -> Result<PointRef<'_, T>, String> {
        self.get(index).map(PointRef::Here)
    }
}

/// The user's function that loads a data set.
type LoadFunction<K, T> = Box<dyn Fn(&K) -> crate::Result<T> + Send + Sync>;

/// Data sets that each rank loads itself, by keys that all ranks hold.
pub(super) struct Loaded<K, T> {
    keys: Values<K>,
    load: LoadFunction<K, T>,
    cache: Cache<u64, T>,
}

impl<K, T> Loaded<K, T> {
    pub(super) fn new(
        name: &str,
        keys: impl IntoIterator<Item = K>,
        load: LoadFunction<K, T>,
    ) -> Loaded<K, T> {
        Loaded { keys: Values::new(name, keys), load, cache: Cache::default() }
    }
}

impl<K, T> LoopSource for Loaded<K, T>
where
    K: Serialize + DeserializeOwned + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn name(&self) -> &str {
        self.keys.name()
    }

    fn is_data(&self) -> bool {
        true
    }

    fn prepare(&self) -> Result<PreparedLoop> {
        self.keys.prepare()
    }

    fn learn(&self, bytes: &Bytes) -> Result<()> {
        self.keys.learn(bytes)
    }

    fn data(&self, point: u64) -> Result<Bytes, String> {
        self.keys.data(point)
    }

    fn any_point(
        &self,
        level: usize,
        index: u64,
        context: &Context,
    ) -> Result<AnyPoint<'_>, String> {
        self.point(level, index, context).map(PointRef::erased)
    }
}

impl<K, T> Source<T, K> for Loaded<K, T>
where
    K: Serialize + DeserializeOwned + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn point<'a>(
        &'a self,
        _: usize,
        index: u64,
        context: &Context,
    ) -> Result<PointRef<'a, T>, String> {
        let key = self.keys.get(index)?;
        let load = || (self.load)(key).map_err(|error| format!("not loaded: {error}"));
        self.cache.get(index, context.keep(), load).map(PointRef::Kept)
    }

    fn known(&self, index: u64) -> Result<PointRef<'_, K>, String> {
        self.keys.get(index).map(PointRef::Here)
    }
}
