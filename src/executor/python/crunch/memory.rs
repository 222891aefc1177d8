//! The memory of a child during a call that is a request of its own. Calls of one request cannot be told apart.

use crate::executor::process::peak_memory::PeakMemory;
use crate::executor::python::child::PythonChild;

#[derive(Default)]
pub(super) struct CallMemory {
    /// The task of the current request, if that is a single one.
    current: Option<(u64, PeakMemory)>,
    /// The peak of the last call in MiB, where it is known.
    pub(super) last: Option<u32>,
}

impl CallMemory {
    /// A request for these tasks is about to be sent.
    pub(super) fn begin(&mut self, child: &mut PythonChild, first: u64, end: u64) {
        let peak = (end - first == 1).then(|| child.begin_peak()).flatten();
        self.current = peak.map(|peak| (first, peak));
    }

    /// While it is waited for.
    pub(super) fn look(&mut self) {
        if let Some((_, peak)) = &mut self.current {
            peak.look();
        }
    }

    /// The call for a task has ended.
    pub(super) fn end(&mut self, task: u64) {
        let peak = self.current.take_if(|(of, _)| *of == task);
        self.last = peak.and_then(|(_, peak)| peak.after_call());
    }
}
