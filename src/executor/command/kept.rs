//! Reads results of programs again from the files that runs have left, without calling the programs.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::executor::RANK0;
use crate::executor::command::extract::{NO_RESULT, ResultReader};
use crate::executor::command::plan::CommandPlan;
use crate::job::placeholders::Template;
use crate::job::{Job, KeptResults, KeptRun, RESERVED, ReadResult, RunIds};
use crate::model::{RunError, score};

pub(crate) struct KeptReader<'a> {
    job: &'a Job,
    /// Why nothing can be read again.
    refusal: Option<String>,
    /// Made when it is needed: that looks at all points.
    plan: OnceCell<Option<CommandPlan>>,
}

impl<'a> KeptReader<'a> {
    /// Nothing if the job does not say where results are.
    pub(crate) fn of(job: &'a Job) -> Option<KeptReader<'a>> {
        let result = job.result.as_ref()?;
        let printed = result.sources().find(|(_, source)| source.file.is_none());
        let refusal = printed.map(|(name, _)| {
            let name = name.map_or("result".to_string(), |name| format!("result.{name}"));
            format!("{name} is read from stdout, which is not kept: let the program write it to a file, and name that as file")
        });
        let nowhere = "runs have no folders of their own (workdir), in which files are kept";
        let refusal = refusal.or(job.workdir.is_none().then(|| nowhere.to_string()));
        Some(KeptReader { job, refusal, plan: OnceCell::new() })
    }

    fn plan(&self) -> Result<(&CommandPlan, &ResultReader), String> {
        let plan = || CommandPlan::of(self.job, Some(&Arc::new(RunIds::of(self.job))));
        let plan = self.plan.get_or_init(plan).as_ref();
        let plan = plan.and_then(|plan| Some((plan, plan.result.as_ref()?)));
        plan.ok_or_else(|| "crunch is no program".to_string())
    }
}

impl KeptResults for KeptReader<'_> {
    fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    fn of_run(&self, run: &KeptRun) -> Result<ReadResult<'_>, String> {
        let (job, (plan, reader)) = (self.job, self.plan()?);
        let files = match run.task {
            Some(task) => {
                let points = job.nest.indices(job.nest.task(task));
                let of = (task, job.task_seed(task), run.attempt);
                let facts = plan.facts(job, of, Some(run.folder), RANK0);
                let mut named = job.passed_points(task);
                named.push((RESERVED, facts.record()));
                let cells = job.passed_cells(|level: usize| points.get(level).copied());
                let fill = |template: &Template| template.fill(&named, &cells);
                reader.kept_files(run.folder, fill)?
            }
            None => reader.kept_files(run.folder, |template| {
                let name = template.is_plain().then(|| template.fill(&[], |_: &str, _: &str| None));
                name.unwrap_or_else(|| {
                    Err("its points are not in the job any more, which the name of the file needs"
                        .to_string())
                })
            })?,
        };
        for file in files.iter().flatten() {
            let (name, path) = (&file.name, run.folder.join(&file.name));
            let inside = path.strip_prefix(run.folder).map_err(|_| {
                format!("{name} is outside, and whether it has changed since is not known")
            })?;
            if let Some(key) = job.workdir.as_ref().and_then(|spec| spec.puts(inside)) {
                return Err(format!(
                    "{name} was put there before the run, as {key} in [crunch.workdir] says, and whether the program has written it was not noted"
                ));
            }
        }
        Ok(Box::new(move || {
            let value = reader.read(&files, None).map_err(|why| format!("{NO_RESULT}{why}"))?;
            score(value, &job.score, job.needs_score())
        }))
    }

    fn lacks_result(&self, error: &RunError) -> bool {
        match error {
            RunError::NoScore { .. } => true,
            RunError::Failed(why) => why.starts_with(NO_RESULT),
            RunError::FileChanged(_) | RunError::Unfit(_) => false,
        }
    }
}
