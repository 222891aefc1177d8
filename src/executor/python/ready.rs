//! Children that have imported the functions for the check at the start. Whoever works in this process takes one
//! over, so that it need not import them again.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::executor::ReadyChildren;
use crate::executor::python::child::PythonChild;
use crate::executor::python::facts::ChildFacts;
use crate::executor::python::setup::Setup;
use crate::job::Job;

pub(crate) type Children = Arc<Mutex<Vec<(Setup, PythonChild)>>>;

impl ReadyChildren {
    pub(super) fn add(&self, setup: Setup, child: PythonChild) {
        self.children.lock().push((setup, child));
    }

    /// A child that is as one that this setup would start now.
    pub(crate) fn take(&self, wanted: &Setup, job: &Job) -> Option<PythonChild> {
        let mut children = self.children.lock();
        let serves = |(setup, child): &(Setup, PythonChild)| {
            setup.serves(wanted) && child.serve.is_alive() && has_imported_what_counts(child, job)
        };
        let at = children.iter().position(serves)?;
        Some(children.swap_remove(at).1)
    }
}

/// Whether the files that a child has imported were then as they were when their digests were taken.
fn has_imported_what_counts(child: &PythonChild, job: &Job) -> bool {
    let facts = ChildFacts(&child.serve.hello);
    let states = facts.states();
    facts.modules().into_iter().all(|file| {
        let name = file.strip_prefix(&*job.folder.to_string_lossy());
        let name = name.map_or(file, |name| name.trim_start_matches('/'));
        let watched = job.watched.always.iter().find(|watched| watched.name == file);
        match watched {
            Some(watched) => {
                let state = &watched.state;
                let known =
                    format!("{} {} {} {}", state.size, state.modified, state.changed, state.inode);
                states.get(file) == Some(&known)
            }
            None => job.ignores(name),
        }
    })
}
