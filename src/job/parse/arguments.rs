//! Parses the program and the arguments of a command. The conditions in it are evaluated here.

use std::rc::Rc;

use crate::condition::{Evaluator, LoopColumn};
use crate::job::command::{Argument, CommandWords, TruthTable};
use crate::job::parse::conditions::{Condition, columns};
use crate::job::parse::keys::TomlEntry;
use crate::job::parse::progress::NestProgress;
use crate::job::placeholders::scope::Scope;
use crate::job::placeholders::{Branch, Within};
use crate::model::MOST_EVALUATED;
use crate::util::error::{Error, Result};
use crate::util::text::count;

pub(super) fn command_words(entry: &TomlEntry, scope: Scope) -> Result<CommandWords> {
    let words = entry.array()?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(entry.error("expected a program and its arguments, found nothing"));
    };
    if program.is_table() {
        return Err(program.error("an if gives arguments; the program itself stands in front"));
    }
    let mut parser = ArgumentParser { scope, conditions: None, branches: Vec::new() };
    let program = parser.text(program)?;
    Ok(CommandWords { program, arguments: parser.list(arguments)? })
}

struct ArgumentParser<'n> {
    scope: Scope<'n>,
    /// What conditions are made with, once there is one: they can name all loops that placeholders can.
    conditions: Option<(Evaluator, Vec<LoopColumn>)>,
    /// The branches around what is being parsed.
    branches: Vec<Branch>,
}

impl ArgumentParser<'_> {
    fn list(&mut self, entries: &[TomlEntry]) -> Result<Vec<Argument>> {
        let argument = |entry: &TomlEntry| match entry.is_table() {
            true => self.conditional(entry),
            false => self.text(entry).map(Argument::Text),
        };
        entries.iter().map(argument).collect()
    }

    fn text(&self, entry: &TomlEntry) -> Result<String> {
        let text = entry.text()?;
        let within = Within::Command(&self.branches);
        self.scope.check(&text, within).map_err(|why| entry.error(why))?;
        Ok(text)
    }

    fn conditional(&mut self, entry: &TomlEntry) -> Result<Argument> {
        let mut table = entry.table()?;
        let test = table.need("if")?;
        let (then, otherwise) = (table.need("then")?, table.take("else"));
        table.finish()?;
        let condition = match test.text() {
            Ok(text) => format!("{text:?}"),
            Err(_) => test.value()?.to_string(),
        };
        let holds = Rc::new(self.evaluate(test)?);
        let then = self.branch(&holds, true, &then)?;
        let otherwise = otherwise.map(|entry| self.branch(&holds, false, &entry)).transpose()?;
        let (holds, otherwise) = (Rc::unwrap_or_clone(holds), otherwise.unwrap_or_default());
        Ok(Argument::If { condition, holds, then, otherwise })
    }

    /// The arguments of a branch; a string, or an `if`, need not stand in a list.
    fn branch(
        &mut self,
        holds: &Rc<TruthTable>,
        is_then: bool,
        entry: &TomlEntry,
    ) -> Result<Vec<Argument>> {
        self.branches.push(Branch { condition: holds.clone(), is_then });
        let entries =
            if entry.is_table() { Ok(vec![entry.clone()]) } else { entry.one_or_several() };
        let arguments = entries.and_then(|entries| self.list(&entries));
        self.branches.pop();
        arguments
    }

    /// Where a condition is true. One that is true nowhere is refused, one that is true everywhere is said, as
    /// for `only_if`.
    fn evaluate(&mut self, entry: TomlEntry) -> Result<TruthTable> {
        if self.conditions.is_none() {
            let loops = self.scope.nest.loops().iter().take(self.scope.levels).enumerate();
            let columns = loops.flat_map(|(level, l)| columns(level, &l.name, &l.points));
            let evaluator = Evaluator::new().map_err(Error::unexpected)?;
            self.conditions = Some((evaluator, columns.collect()));
        }
        let Some((evaluator, columns)) = &self.conditions else { unreachable!("made above") };
        let condition = Condition::parse(entry, evaluator, columns)?;
        let levels: Vec<usize> = condition.levels().into_iter().collect();
        let nest = self.scope.nest;
        let combinations = nest.count_combinations(&levels);
        if combinations > MOST_EVALUATED {
            let (many, most) = (count(combinations), count(MOST_EVALUATED));
            return Err(condition.entry.error(format!(
                "it would be evaluated for {many} combinations of points; {most} are possible"
            )));
        }
        let (loops, mut asked) = (nest.loops(), [0u64; 2]);
        let progress = NestProgress::default();
        let _reports = progress.report()?;
        let table = TruthTable::of(nest, &levels, |points| {
            let value = |level: usize| {
                let at = levels.iter().position(|known| *known == level);
                at.map(|at| loops[level].points.get(points[at])).unwrap_or_default()
            };
            let holds = condition.holds(evaluator, value)?;
            asked[usize::from(holds)] += 1;
            progress.evaluated();
            Ok::<_, Error>(holds)
        })?;
        match asked {
            [_, 0] => Err(condition.entry.error("it is true nowhere, for no task of the job")),
            [0, _] => {
                log::warn!("{}", condition.entry.error("it is true everywhere"));
                Ok(table)
            }
            _ => Ok(table),
        }
    }
}
