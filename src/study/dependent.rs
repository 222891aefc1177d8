//! Loops whose points depend on the points of the loops around them, as a closure on rank 0 gives them.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::context::Context;
use crate::executor::rust::{AnyPoint, LoopSource, PreparedLoop};
use crate::model::{PointNumbers, Points, Value};
use crate::study::loops::Loops;
use crate::study::sources::{CheckedPoint, PointRef, Source, Values, checked, locked};
use crate::util::error::Result;

/// Values that are listed on rank 0 while the nest is made; all ranks hold them then.
pub(super) struct DependentValues<T> {
    values: Values<T>,
    listed: Mutex<ListedValues<T>>,
}

struct ListedValues<T> {
    points: Vec<ListedValue<T>>,
    /// By their encoded form.
    numbers: PointNumbers<Vec<u8>>,
}

struct ListedValue<T> {
    given: T,
    decoded: Arc<T>,
    shown: Value,
    digest: Option<String>,
}

impl<T> DependentValues<T> {
    pub(super) fn new(name: &str) -> DependentValues<T> {
        let listed = ListedValues { points: Vec::new(), numbers: PointNumbers::default() };
        DependentValues { values: Values::new(name, []), listed: Mutex::new(listed) }
    }
}

impl<T: Serialize + DeserializeOwned> DependentValues<T> {
    /// Lists the points of one place. Returns them as runs of consecutive ones.
    fn take(&self, values: Vec<T>) -> Result<Vec<Range<u64>>, String> {
        let value = |(i, given): (usize, T)| {
            let checked = checked(&given).map_err(|why| format!("point {i}: {why}"))?;
            let CheckedPoint { shown, bytes, decoded, digest } = checked;
            Ok((bytes, ListedValue { given, decoded: Arc::new(decoded), shown, digest }))
        };
        let found = values.into_iter().enumerate().map(value);
        let found: Vec<_> = found.collect::<Result<_, String>>()?;
        let ListedValues { points, numbers } = &mut *locked(&self.listed);
        Ok(numbers.take(found, points))
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> LoopSource for DependentValues<T> {
    fn name(&self) -> &str {
        self.values.name()
    }

    /// What was listed; called when the nest is made.
    fn prepare(&self) -> Result<PreparedLoop> {
        let listed = std::mem::take(&mut locked(&self.listed).points);
        let mut prepared = PreparedLoop {
            points: Points::List(Vec::new()),
            learned: Bytes::new(),
            digests: Default::default(),
        };
        let (mut given, mut shown) = (Vec::new(), Vec::new());
        for (i, value) in (0..).zip(listed) {
            given.push(value.given);
            shown.push(value.shown);
            prepared.digests.extend(value.digest.map(|digest| (i, digest)));
        }
        prepared.points = Points::List(shown);
        prepared.learned = self.values.know(&given)?;
        Ok(prepared)
    }

    fn learn(&self, bytes: &Bytes) -> Result<()> {
        self.values.learn(bytes)
    }

    fn data(&self, point: u64) -> Result<Bytes, String> {
        self.values.data(point)
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

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Source<T> for DependentValues<T> {
    fn point<'a>(&'a self, _: usize, index: u64, _: &Context) -> Result<PointRef<'a, T>, String> {
        self.values.get(index).map(PointRef::Here)
    }

    fn known(&self, index: u64) -> Result<PointRef<'_, T>, String> {
        let listed = locked(&self.listed);
        let value = listed.points.get(index as usize);
        let value = value.ok_or_else(|| {
            format!("a bug in gridmpi: loop '{}' has no point {index} yet", self.name())
        })?;
        Ok(PointRef::Kept(value.decoded.clone()))
    }
}

/// What gives the points of a loop inside those of the loops around it. On rank 0 only.
pub(super) trait PointsOf: Send {
    /// The points at this place, as runs of consecutive ones.
    fn points(&self, around: &[u64]) -> Result<Vec<Range<u64>>, String>;

    /// A point that was given, as the store will show it.
    fn shown(&self, point: u64) -> Value;
}

/// The user's closure, with the loops around it.
pub(super) struct PointsClosure<L, T, F> {
    pub(super) outer: L,
    pub(super) source: Arc<DependentValues<T>>,
    pub(super) give: F,
}

impl<L, T, F> PointsOf for PointsClosure<L, T, F>
where
    L: Loops,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    F: for<'a> Fn(L::Known<'a>) -> Result<Vec<T>, String> + Send,
{
    fn points(&self, around: &[u64]) -> Result<Vec<Range<u64>>, String> {
        let values = self.outer.select(around, &|known| (self.give)(known))??;
        self.source.take(values)
    }

    fn shown(&self, point: u64) -> Value {
        let listed = locked(&self.source.listed);
        listed.points.get(point as usize).map_or(Value::Null, |value| value.shown.clone())
    }
}
