//! What calls have printed: gathered by task, as far as the marks in the output tell.

use std::sync::Arc;

use crate::executor::Task;
use crate::executor::process::marks::CallMark;
use crate::executor::python::crunch::PythonExecutor;
use crate::model::RunOutput;

impl PythonExecutor {
    /// Takes what calls of the current request have printed, once their answers are there.
    pub(super) fn take_output(&mut self) {
        let Some(child) = &self.child else { return };
        for (mark, output) in child.serve.printed.settle() {
            self.sort(mark, output);
        }
    }

    /// The same of a child that has died; the rest belongs to the call that it was at.
    pub(super) fn take_last_output(&mut self, at: u64) {
        let Some(child) = &self.child else { return };
        let (ended, rest) = (child.serve.printed.settle(), child.serve.printed.current());
        for (mark, output) in ended {
            self.sort(mark, output);
        }
        self.add(at, rest);
    }

    fn sort(&mut self, mark: CallMark, output: Arc<RunOutput>) {
        let CallMark { request, first, last } = mark;
        if request != self.asked.id || output.is_empty() {
            return; // of no call, or of one whose answer is not wanted any more
        }
        let begin = self.asked.tasks.start;
        if first < last {
            let note = RunOutput::default();
            note.push(
                format!(
                    "[gridmpi: this is of tasks {} to {}, which are too short to tell whose it is]\n",
                    begin + first,
                    begin + last
                )
                .as_bytes(),
            );
            output.prepend(&note);
        }
        self.add(begin + last, output);
    }

    fn add(&mut self, task: u64, output: Arc<RunOutput>) {
        // A call that is made again belongs to the same task.
        if let Some(before) = self.outputs.insert(task, output.clone()) {
            output.prepend(&before);
        }
    }

    /// While a call takes long, whoever follows the task sees what it prints.
    pub(super) fn show_output(&mut self, task: &Task) {
        if let Some(child) = &self.child {
            self.caller.gather((task.index, task.attempt), &child.serve.printed.current());
            self.is_shown = true;
        }
    }

    /// The output of a task whose answer is there goes with it.
    pub(super) fn give_output(&mut self, task: &Task) {
        let output = if self.outputs.is_empty() { None } else { self.outputs.remove(&task.index) };
        let was_shown = std::mem::take(&mut self.is_shown);
        if output.is_some() || was_shown {
            self.caller.gather((task.index, task.attempt), &output.unwrap_or_default());
        }
    }
}
