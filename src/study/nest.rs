//! Loops of the user's around a Rust closure, of any depth and each of its own type.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::context::Context;
use crate::executor::rust::{CrunchFunction, LoopSource};
use crate::executor::score;
use crate::model::{Scored, Value};
use crate::study::Study;
use crate::study::loops::{Loops, Over, Push};
use crate::study::runs::Runs;
use crate::study::sources::{DataSets, Loaded, Source, Values};
use crate::wire::codec;

/// Nested loops of the user's, outermost first, before it is said what happens inside.
///
/// Each method that adds a loop puts it inside those that are there; up to eight. Then
/// [`crunch`](Nest::crunch) says what to call in the innermost one, and as many
/// [`reduce`](Crunched::reduce)s as there are loops to fold say how, from the innermost outwards. The
/// loops that are left are the rows of the result.
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
    /// No loop yet.
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
    /// A loop over values that are small enough for every rank to hold: parameters, folds, repeats.
    /// Those of rank 0 count; other ranks are told them.
    pub fn each<T>(self, name: &str, values: impl IntoIterator<Item = T>) -> Nest<L::Inside>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        L: Push<T>,
    {
        self.push(Values::new(name, values))
    }

    /// A loop over data sets that live on rank 0, where `make` is called once, before anything is
    /// crunched. A worker gets a data set when it first has a task of it, and keeps the last few (see
    /// [`Study::keep`]); threads of one process share them. The store calls them 0, 1, 2, ...
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

    /// The same, each with a name for the store and the tables.
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

    /// A loop over data sets that each process loads for itself, when it first has a task of one:
    /// files on a shared disk, say. Only the keys cross between ranks. A process keeps the last few
    /// (see [`Study::keep`]). A `load` that fails costs the run that needed it; the next one tries
    /// again. A key that is the path of a file, from where rank 0 was started, or a key with such a path
    /// in it, counts with the file's content: another start redoes the runs of a file that has
    /// changed.
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

    /// What to call at each point of the innermost loop, with a reference to the point of every
    /// loop. An error, a panic or a result that is NaN (or whose field `score` is) fails that run
    /// alone.
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

/// Loops and what is called inside of them, before it is said how they fold.
pub struct Crunched<R> {
    levels: Vec<Arc<dyn LoopSource>>,
    call: CrunchFunction,
    of: std::marker::PhantomData<fn() -> R>,
}

impl<R: Serialize + DeserializeOwned + 'static> Crunched<R> {
    /// Folds the innermost loop: `summarize` is called once for each group of runs that closes.
    pub fn reduce<S, F>(self, summarize: F) -> Study<R, S>
    where
        S: Serialize + DeserializeOwned + 'static,
        F: Fn(&Runs<R>) -> S + Send + Sync + 'static,
    {
        Study::begin(self.levels, self.call).fold(summarize)
    }
}

/// Longer ones are not read back as a trial: that takes a while. (bytes)
const READ_BACK: usize = 16 << 20;

/// The field of a run or a summary that is its score.
const SCORE: &str = "score";

/// A run or a summary as it travels and is stored: its bincode form, how the store shows it, and the
/// score found there.
pub(super) fn typed<T: Serialize + DeserializeOwned>(value: &T) -> Result<Scored, String> {
    let shown = Value::of(value)?;
    let bytes = codec::encode_theirs(value).map_err(|error| error.to_string())?;
    // What nobody will be able to read back is found here, where it costs this run alone.
    if bytes.len() <= READ_BACK {
        codec::decode_theirs::<T>(&bytes).map_err(|error| error.to_string())?;
    }
    let is_number = shown.field(SCORE).is_some_and(|score| score.as_f64().is_some());
    let scored = match shown {
        // A field of that name that is none is the user's own affair.
        Value::Record(_) if !is_number => Scored { value: shown, ..Scored::default() },
        shown => score(shown, SCORE, false)?,
    };
    Ok(Scored { typed: bytes.into(), ..scored })
}

/// An error and what caused it, in one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors say their cause themselves.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
