//! Children that have said hello for the check at the start. Whoever works in this process takes one over.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::executor::serve::child::{ServeChild, ServeSetup};
use crate::executor::{ReadyChildren, Slot};
use crate::job::Job;

/// By place and role.
pub(crate) type ServingChildren = Arc<Mutex<Vec<(Slot, &'static str, ServeChild)>>>;

impl ReadyChildren {
    pub(crate) fn add_serving(&self, setup: &ServeSetup, child: ServeChild) {
        self.serving.lock().push((setup.place, setup.role, child));
    }

    /// A child that is as one that this setup would start now.
    pub(crate) fn take_serving(&self, setup: &ServeSetup, job: &Job) -> Option<ServeChild> {
        let mut children = self.serving.lock();
        let serves = |(place, role, child): &(Slot, &'static str, ServeChild)| {
            (*place, *role) == (setup.place, setup.role)
                && child.is_alive()
                && has_read_what_counts(child, job)
        };
        let at = children.iter().position(serves)?;
        Some(children.swap_remove(at).2)
    }
}

/// Whether the files whose digests were taken were last changed before the child was started.
fn has_read_what_counts(child: &ServeChild, job: &Job) -> bool {
    let mut files = job.watched.always.iter();
    files.all(|file| file.state.modified.max(file.state.changed) < child.started)
}
