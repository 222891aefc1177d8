//! What calls of Python functions have imported, on any host: it must be the same for all.

use std::collections::BTreeMap;

use crate::wire::requests::Reply;

/// Names of files and their digests, and facts such as the version of a package.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) known: BTreeMap<String, String>,
    /// Whether files may have changed, and whether hosts may have other packages.
    pub(crate) keep: bool,
    pub(crate) allow_mixed: bool,
}

impl Imported {
    /// Compares the digests of files with those that other calls have reported.
    pub(crate) fn files(&mut self, files: &[(String, String)]) -> Reply {
        let files = files.iter().map(|(name, digest)| (name, digest));
        match self.first_difference(files).filter(|_| !self.keep) {
            Some((name, ..)) => {
                Reply::Refused(format!("{name} is not what it was for other calls"))
            }
            None => Reply::Ready(true),
        }
    }

    /// Compares the versions of packages with those that other calls have reported.
    pub(crate) fn versions(&mut self, versions: &BTreeMap<String, String>) -> Reply {
        match self.first_difference(versions.iter()).filter(|_| !self.allow_mixed) {
            Some((what, known, here)) => {
                Reply::Refused(format!("{what} is {known} for other calls and {here} for this one"))
            }
            None => Reply::Ready(true),
        }
    }

    /// The first that is known otherwise, with both values. What is not known yet is known from now on.
    fn first_difference<'a>(
        &mut self,
        facts: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> Option<(String, String, String)> {
        let mut different = None;
        for (what, here) in facts {
            let known = self.known.entry(what.clone()).or_insert_with(|| here.clone());
            if known != here && different.is_none() {
                different = Some((what.clone(), known.clone(), here.clone()));
            }
        }
        different
    }
}
