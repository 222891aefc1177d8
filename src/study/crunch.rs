//! The two loops of most studies: data sets and parameters.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::context::Context;
use crate::study::loops::Over;
use crate::study::nest::Nest;
use crate::study::{Runs, Study};

/// The user's expensive function, and the function that summarises its runs, for the two loops of most
/// studies: data sets and parameters. For deeper nests see [`Nest`].
///
/// Values of these types are sent between ranks with serde, within these
/// [limits](crate#limits-of-serde-types). If `Run` or `Summary` is a number or has a field `score`, this
/// is its score in the store and the tables.
pub trait Crunch: Send + Sync + 'static {
    /// A data set.
    type Data: Send + Sync + 'static;
    /// One combination of parameters.
    type Param: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The result of one call; every result is stored.
    type Run: Serialize + DeserializeOwned + 'static;
    /// The summary of the runs of one data set.
    type Summary: Serialize + DeserializeOwned + 'static;

    /// The expensive call, for one data set and one combination of parameters. An error, a panic, or a
    /// result that is NaN (or whose `score` is) fails this run only.
    fn crunch(
        &self,
        data: &Self::Data,
        param: &Self::Param,
        context: &Context,
    ) -> crate::Result<Self::Run>;

    /// Summarises the runs of a data set, which are in the order of the parameters. After a panic, or
    /// with a summary that is NaN (or whose `score` is), the data set has no summary.
    fn summarize(&self, runs: &Runs<Self::Run>) -> Self::Summary;
}

/// Begins a study of this crunch. Add data sets next, then parameters.
pub fn study<C: Crunch>(crunch: C) -> Begun<C> {
    Begun { crunch }
}

/// A crunch without data sets and parameters; see [`study`].
pub struct Begun<C> {
    crunch: C,
}

impl<C: Crunch> Begun<C> {
    /// Adds data sets that are made on rank 0, where `make` is called once; see [`Nest::data`].
    pub fn data_sets(
        self,
        make: impl FnOnce() -> crate::Result<Vec<C::Data>> + Send + 'static,
    ) -> WithData<C>
    where
        C::Data: Serialize + DeserializeOwned,
    {
        WithData { crunch: self.crunch, nest: Nest::new().data("dataset", make) }
    }

    /// Adds data sets from rank 0, each with a name; see [`Nest::named_data`].
    pub fn named_data_sets(
        self,
        make: impl FnOnce() -> crate::Result<Vec<(String, C::Data)>> + Send + 'static,
    ) -> WithData<C>
    where
        C::Data: Serialize + DeserializeOwned,
    {
        WithData { crunch: self.crunch, nest: Nest::new().named_data("dataset", make) }
    }

    /// Adds data sets that each process loads itself when it first has a task with one; see
    /// [`Nest::load`].
    pub fn load<K>(
        self,
        keys: impl IntoIterator<Item = K>,
        load: impl Fn(&K) -> crate::Result<C::Data> + Send + Sync + 'static,
    ) -> WithData<C, K>
    where
        K: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        WithData { crunch: self.crunch, nest: Nest::new().load("dataset", keys, load) }
    }
}

/// A crunch with data sets and without parameters; see [`study`]. `K` is what rank 0 has of a data set: the
/// key of one that each process loads itself.
pub struct WithData<C: Crunch, K = <C as Crunch>::Data> {
    crunch: C,
    nest: Nest<(Over<C::Data, K>,)>,
}

impl<C: Crunch, K: 'static> WithData<C, K> {
    /// Adds the parameters to try on every data set. Rank 0 sends its own to all other ranks.
    pub fn params(self, params: impl IntoIterator<Item = C::Param>) -> Study<C::Run, C::Summary> {
        let crunch = Arc::new(self.crunch);
        let summarizer = crunch.clone();
        self.nest
            .each("param", params)
            .crunch(move |(data, param), context| crunch.crunch(data, param, context))
            .reduce(move |runs| summarizer.summarize(runs))
    }
}
