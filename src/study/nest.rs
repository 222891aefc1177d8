//! Nested loops around a Rust closure, of any depth, each with its own type.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::context::Context;
use crate::executor::rust::{CrunchFunction, LoopSource};
use crate::model::score;
use crate::model::{Scored, Value};
use crate::study::Study;
use crate::study::loops::{Loops, Over, Push};
use crate::study::runs::Runs;
use crate::study::sources::{DataSets, Loaded, Source, Values};
use crate::wire::codec;

/// Nested loops, from the outermost inwards, without crunch.
///
/// Each method adds a loop inside those that are there, up to eight. Then [`crunch`](Nest::crunch) sets the
/// function to call in the innermost loop, and each [`reduce`](Crunched::reduce) reduces one loop, from the
/// innermost outwards. The result has one row per point of the loops that are not reduced.
///
/// ```
/// use gridmpi::{Nest, Runs, Settings};
///
/// let mean = |scores: &Runs<f64>| scores.iter().map(|(_, s)| s).sum::<f64>() / scores.len() as f64;
/// let best = |means: &Runs<f64>| means.max_by(|mean| *mean).map(|(alpha, mean)| (alpha, *mean));
///
/// let outcome = Nest::new()
///     .data("dataset", || Ok(vec![vec![1.0, 2.0], vec![3.0]])) // made on rank 0 only
///     .each("alpha", [0.5, 1.0, 0.25])
///     .each("fold", 0..4)
///     .crunch(|(data, alpha, fold), _| Ok(data.iter().sum::<f64>() * alpha + f64::from(*fold)))
///     .reduce(mean) // over folds
///     .reduce(best) // over alphas
///     .run(&Settings::default())?
///     .expect("this is rank 0");
/// let rows: Vec<_> = outcome.summaries.into_iter().map(|row| row.value).collect();
/// assert_eq!(rows, [Ok(Some((1, 4.5))), Ok(Some((1, 4.5)))]);
/// # Ok::<(), gridmpi::Error>(())
/// ```
pub struct Nest<L> {
    loops: L,
    levels: Vec<Arc<dyn LoopSource>>,
}

impl Nest<()> {
    /// A nest without loops.
    pub fn new() -> Nest<()> {
        Nest { loops: (), levels: Vec::new() }
    }
}

impl Default for Nest<()> {
    fn default() -> Self {
        Nest::new()
    }
}

impl<L: Loops> Nest<L> {
    /// Adds a loop over values that every rank holds, such as parameters, folds or repeats. Rank 0 sends
    /// its own to all other ranks.
    pub fn each<T>(self, name: &str, values: impl IntoIterator<Item = T>) -> Nest<L::Inside>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        L: Push<T>,
    {
        self.push(Values::new(name, values))
    }

    /// Adds a loop over data sets that are made on rank 0, where `make` is called once, before anything is
    /// crunched. A process gets a data set when it first has a task with it, and keeps the last few (see
    /// [`Study::keep`]), which its threads share. In the store the data sets are called 0, 1, 2, ...
    pub fn data<T>(
        self,
        name: &str,
        make: impl FnOnce() -> crate::Result<Vec<T>> + Send + 'static,
    ) -> Nest<L::Inside>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        L: Push<T>,
    {
        self.push(DataSets::new(name, Box::new(|| Ok((None, make()?)))))
    }

    /// Adds a loop over data sets as [`data`](Nest::data) does, each with a name for the store and the tables.
    pub fn named_data<T>(
        self,
        name: &str,
        make: impl FnOnce() -> crate::Result<Vec<(String, T)>> + Send + 'static,
    ) -> Nest<L::Inside>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        L: Push<T>,
    {
        let make = || {
            let (names, made) = make()?.into_iter().unzip();
            Ok((Some(names), made))
        };
        self.push(DataSets::new(name, Box::new(make)))
    }

    /// Adds a loop over data sets that each process loads itself when it first has a task with one, such
    /// as files on a shared disk. Only the keys are sent between ranks. A process keeps the last few data
    /// sets (see [`Study::keep`]). If `load` fails, the run that needed it fails, and the next run calls
    /// `load` again.
    ///
    /// If a key is the path of a file, or contains one, the content of the file counts as well: another
    /// start repeats the runs of a file that has changed. Paths are relative to the folder in which rank 0
    /// was started.
    pub fn load<K, T>(
        self,
        name: &str,
        keys: impl IntoIterator<Item = K>,
        load: impl Fn(&K) -> crate::Result<T> + Send + Sync + 'static,
    ) -> Nest<L::Inside>
    where
        K: Serialize + DeserializeOwned + Send + Sync + 'static,
        T: Send + Sync + 'static,
        L: Push<T>,
    {
        self.push(Loaded::new(name, keys, Box::new(load)))
    }

    /// Sets the function to call at each point of the innermost loop. It gets a tuple with a reference to
    /// the point of every loop, outermost first. An error, a panic, or a result that is NaN (or whose
    /// field `score` is) fails this run only.
    pub fn crunch<R, F>(self, crunch: F) -> Crunched<R>
    where
        R: Serialize + DeserializeOwned + 'static,
        F: for<'a> Fn(L::Points<'a>, &Context) -> crate::Result<R> + Send + Sync + 'static,
    {
        let Nest { loops, levels } = self;
        let call: CrunchFunction = Box::new(move |indices, context| {
            let run = loops.call(indices, context, &crunch)?.map_err(|error| in_full(&*error))?;
            typed(&run)
        });
        Crunched { levels, call, of: std::marker::PhantomData }
    }

    fn push<T>(self, inside: impl Source<T> + 'static) -> Nest<L::Inside>
    where
        L: Push<T>,
    {
        let (mut levels, source) = (self.levels, Arc::new(inside));
        levels.push(source.clone());
        Nest { loops: self.loops.push(Over { source }), levels }
    }
}

/// Nested loops with crunch, of which none is reduced yet.
pub struct Crunched<R> {
    levels: Vec<Arc<dyn LoopSource>>,
    call: CrunchFunction,
    of: std::marker::PhantomData<fn() -> R>,
}

impl<R: Serialize + DeserializeOwned + 'static> Crunched<R> {
    /// Reduces the innermost loop: `summarize` is called once for each complete group of runs.
    pub fn reduce<S, F>(self, summarize: F) -> Study<R, S>
    where
        S: Serialize + DeserializeOwned + 'static,
        F: Fn(&Runs<R>) -> S + Send + Sync + 'static,
    {
        Study::begin(self.levels, self.call).fold(summarize)
    }
}

/// Longer values are not decoded as a check, because that takes too long. (bytes)
const READ_BACK: usize = 16 << 20;

/// The field of a run or a summary that is its score.
const SCORE: &str = "score";

/// Converts a run or a summary: its bincode form, the form that the store shows, and its score.
pub(super) fn typed<T: Serialize + DeserializeOwned>(value: &T) -> Result<Scored, String> {
    let shown = Value::of(value)?;
    let bytes = codec::encode_theirs(value).map_err(|error| error.to_string())?;
    // A value that cannot be decoded is found here, so that only this run fails.
    if bytes.len() <= READ_BACK {
        codec::decode_theirs::<T>(&bytes).map_err(|error| error.to_string())?;
    }
    let is_number = shown.field(SCORE).is_some_and(|score| score.as_f64().is_some());
    let scored = match shown {
        // A field of that name that is not a number is not a score.
        Value::Record(_) if !is_number => Scored { value: shown, ..Scored::default() },
        shown => score(shown, SCORE, false).map_err(|error| error.to_string())?,
    };
    Ok(Scored { typed: bytes.into(), ..scored })
}

/// An error and its causes, in one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors include their cause.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
