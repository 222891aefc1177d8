//! Who reads results again from the files that runs have left.

#[cfg(feature = "jobs")]
use crate::executor::command::KeptReader;
use crate::job::{Job, KeptResults};

/// Nothing if the job does not say where results are.
#[cfg(feature = "jobs")]
pub(crate) fn kept_results(job: &Job) -> Option<Box<dyn KeptResults + '_>> {
    KeptReader::of(job).map(|reader| Box::new(reader) as Box<dyn KeptResults>)
}

#[cfg(not(feature = "jobs"))]
pub(crate) fn kept_results(_: &Job) -> Option<Box<dyn KeptResults + '_>> {
    None
}
