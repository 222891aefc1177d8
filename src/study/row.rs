//! A row of the result as the final function gets it.

use std::marker::PhantomData;
use std::ops::Deref;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::GivenFinal;
use crate::executor::context::Context;
use crate::executor::rust::{AnyPoint, ErasedStudy, FinalClosure};
use crate::model::{RunError, Value};
use crate::study::nest::{in_full, typed};
use crate::study::reductions::ValueReader;
use crate::util::error::{Error, Result};

/// A row of the result, for [`Study::finally`](crate::Study::finally): a point of each loop that is not reduced, the best
/// points inside ([`Study::max`](crate::Study::max), [`min`](crate::Study::min)), and the summary.
pub struct Row<'a, S> {
    summary: S,
    given: &'a GivenFinal<'a>,
    study: &'a ErasedStudy,
    context: &'a Context,
}

/// A point of a loop, while a final function needs it.
pub struct RowPoint<'a, T> {
    point: AnyPoint<'a>,
    of: PhantomData<fn() -> T>,
}

impl<T: 'static> Deref for RowPoint<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.point.get().expect("checked when it was made")
    }
}

impl<S> Row<'_, S> {
    /// The summary of the row.
    pub fn summary(&self) -> &S {
        &self.summary
    }

    /// Each loop of the row with its point, outermost first, as the store shows it.
    pub fn coordinates(&self) -> &[(&str, Value)] {
        self.given.coordinates
    }

    /// The point of a loop of the row: a data set, for instance. An error if it cannot be loaded, if the row has
    /// no such loop, or if its points are of another type.
    pub fn point<T: 'static>(&self, name: &str) -> Result<RowPoint<'_, T>> {
        let level = self.given.coordinates.iter().position(|(known, _)| *known == name);
        let level = level.ok_or_else(|| {
            let known: Vec<&str> = self.given.coordinates.iter().map(|(name, _)| *name).collect();
            Error::input(format!("a row has no point of '{name}' (loops: {})", known.join(", ")))
        })?;
        let point =
            self.study.levels[level].any_point(level, self.given.points[level], self.context);
        let point = point.map_err(Error::unexpected)?;
        if point.get::<T>().is_none() {
            let wanted = std::any::type_name::<T>();
            return Err(Error::input(format!("the points of loop '{name}' are no {wanted}")));
        }
        Ok(RowPoint { point, of: PhantomData })
    }

    /// An empty folder for files. When the call has ended well, it is `final/NAME=POINT` in the results folder, in
    /// place of the one of an earlier start.
    pub fn folder(&self) -> &Path {
        self.given.folder
    }

    /// The seed of the row, from 0 to 2^31 - 1: a hash of the study's seed and the row's points.
    pub fn seed(&self) -> u32 {
        self.given.seed
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.given.attempt
    }

    /// Whether the result is no longer needed, because the study has been stopped.
    pub fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}

/// A final function with its types erased.
pub(super) fn erased<S, T, F>(finish: F, read: ValueReader<S>) -> FinalClosure
where
    S: 'static,
    T: Serialize + DeserializeOwned,
    F: Fn(&Row<S>) -> crate::Result<T> + Send + Sync + 'static,
{
    Box::new(move |given, study, context| {
        let summary = read(context.nest(), given.row, given.summary);
        let summary = summary.map_err(|error| RunError::Failed(error.to_string()))?;
        let row = Row { summary, given, study, context };
        let value = finish(&row).map_err(|error| RunError::Failed(in_full(&*error)))?;
        let result = typed(&value).map_err(RunError::Failed)?;
        Ok(crate::model::Scored { score: None, ..result })
    })
}
