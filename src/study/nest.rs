//! Nested loops around a Rust closure, of any depth, each with its own type.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::context::Context;
use crate::executor::rust::{CrunchFunction, LoopSource};
use crate::model::score;
use crate::model::{Scored, Value};
use crate::study::Study;
use crate::study::dependent::{DependentValues, PointsClosure};
use crate::study::loops::{Loops, NotEmpty, Over, Push};
use crate::study::prepare::Selector;
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
    levels: Vec<ErasedLoop>,
}

/// A loop without its type.
pub(super) struct ErasedLoop {
    pub(super) source: Arc<dyn LoopSource>,
    pub(super) selector: Selector,
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

    /// Adds a loop whose points depend on the points of the loops around it: `points` gets a tuple with a
    /// reference to each, outermost first, as crunch does, and returns the points that the loop has there.
    ///
    /// ```
    /// use gridmpi::{Nest, Runs, Settings};
    ///
    /// let sessions = |subject: &str| match subject {
    ///     "ann" => vec![1, 2, 3],
    ///     "bob" => vec![2],
    ///     _ => Vec::new(),
    /// };
    /// let outcome = Nest::new()
    ///     .each("subject", ["ann", "bob", "eve"].map(String::from))
    ///     .each_of("session", move |(subject,)| Ok(sessions(subject)))
    ///     .each("fold", 0..10)
    ///     .filter(|(_, session, fold)| fold < session)
    ///     .crunch(|(subject, session, fold), _| Ok(format!("{subject} {session}.{fold}")))
    ///     .reduce(|runs: &Runs<String>| runs.len()) // over folds
    ///     .reduce(|folds: &Runs<usize>| folds.iter().map(|(_, folds)| *folds).collect::<Vec<_>>())
    ///     .run(&Settings::default())?
    ///     .expect("this is rank 0");
    /// let rows: Vec<_> = outcome.summaries.iter().map(|row| row.value.clone()).collect();
    /// assert_eq!(rows, [Ok(vec![1, 2, 3]), Ok(vec![2])]); // eve has no session: no row, and a warning
    /// assert_eq!(outcome.runs(&outcome.summaries[1])?[1], Ok("bob 2.1".to_string()));
    /// # Ok::<(), gridmpi::Error>(())
    /// ```
    ///
    /// `points` is called on rank 0 only, before anything is crunched, once for each combination of outer
    /// points in the order of the nested loops. It should always return the same for the same outer points:
    /// a later start finds its runs by the values of their points. Of data sets that each process loads
    /// itself ([`load`](Nest::load)) it gets the key, because rank 0 loads none. If it returns no point, the
    /// outer point is left out, and named in a warning. An error or a panic ends the study before it begins.
    /// Equal points that it returns for several outer points are one point of the loop, which is sent to the
    /// other ranks once.
    pub fn each_of<T, F>(self, name: &str, points: F) -> Nest<L::Inside>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        L: Push<T>,
        F: for<'a> Fn(L::Known<'a>) -> crate::Result<Vec<T>> + Send + 'static,
    {
        let source = Arc::new(DependentValues::new(name));
        let give = move |known: L::Known<'_>| points(known).map_err(|error| in_full(&*error));
        let given = PointsClosure { outer: self.loops.clone(), source: source.clone(), give };
        let selector = Selector { points_of: Some(Box::new(given)), ..Selector::default() };
        self.push_selected(source, selector)
    }

    /// Keeps only those points of the innermost loop so far for which `keep` is true. It gets the points of
    /// all loops so far, as the closure of [`each_of`](Nest::each_of) gets the outer ones, and is called at
    /// the same time, on rank 0 only. A nest can have several filters, also in one loop.
    ///
    /// ```
    /// # use gridmpi::{Nest, Runs, Settings};
    /// let pairs = Nest::new().each("a", 0..4).each("b", 0..4).filter(|(a, b)| a < b);
    /// # let outcome = pairs
    /// #     .crunch(|(a, b), _| Ok(10 * a + b))
    /// #     .reduce(|runs: &Runs<i32>| runs.iter().map(|(_, run)| *run).collect::<Vec<_>>())
    /// #     .run(&Settings::default())?
    /// #     .unwrap();
    /// # let rows: Vec<_> = outcome.summaries.into_iter().map(|row| row.value).collect();
    /// # assert_eq!(rows, [Ok(vec![1, 2, 3]), Ok(vec![12, 13]), Ok(vec![23])]);
    /// # Ok::<(), gridmpi::Error>(())
    /// ```
    ///
    /// Groups then have different sizes, and the indices in [`Runs`] count the points that the loop has in
    /// the group: [`Runs::point`] says which point has an index. If most points are dropped, `each_of` is
    /// faster, because it need not look at them; a filter can be called 100 million times at most.
    pub fn filter<F>(mut self, keep: F) -> Nest<L>
    where
        L: NotEmpty,
        F: for<'a> Fn(L::Known<'a>) -> bool + Send + 'static,
    {
        let loops = self.loops.clone();
        let keep = move |indices: &[u64]| loops.select(indices, &|known| keep(known));
        if let Some(innermost) = self.levels.last_mut() {
            innermost.selector.filters.push(Box::new(keep));
        }
        self
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
        L: Push<T, K>,
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

    fn push<T, K>(self, inside: impl Source<T, K> + 'static) -> Nest<L::Inside>
    where
        L: Push<T, K>,
    {
        self.push_selected(Arc::new(inside), Selector::default())
    }

    fn push_selected<T, K>(
        self,
        source: Arc<impl Source<T, K> + 'static>,
        selector: Selector,
    ) -> Nest<L::Inside>
    where
        L: Push<T, K>,
    {
        let mut levels = self.levels;
        levels.push(ErasedLoop { source: source.clone(), selector });
        Nest { loops: self.loops.push(Over { source }), levels }
    }
}

/// Nested loops with crunch, of which none is reduced yet.
pub struct Crunched<R> {
    levels: Vec<ErasedLoop>,
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
        self.begin().reduce(summarize)
    }

    pub(super) fn begin(self) -> Study<R, R> {
        Study::begin(self.levels, self.call)
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
    // The store keeps no negative zero beside the bincode form.
    let shown = match shown {
        Value::Float(number) => Value::Float(number + 0.0),
        shown => shown,
    };
    let is_number = shown.field(SCORE).is_some_and(|score| score.as_f64().is_some());
    let scored = match shown {
        // A field of that name that is not a number is not a score.
        Value::Record(_) if !is_number => Scored { value: shown.into(), ..Scored::default() },
        shown => score(shown, SCORE, false).map_err(|error| error.to_string())?,
    };
    Ok(Scored { typed: bytes.into(), ..scored })
}

/// An error and its causes, in one line.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
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
