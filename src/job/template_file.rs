//! Files that are filled in for a task: text with the expressions and statements of Jinja, by minijinja.
//!
//! What an expression gives is written as `{x}` writes it in a command. An expression that is a loop or a field alone
//! is not left to the engine at all: it is a placeholder, with a table's own text.

mod names;
mod values;

use std::collections::BTreeSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value as Jinja};

use crate::job::placeholders::Placeholder;
use crate::job::run_facts::RunFacts;
use crate::job::template_file::names::{TemplateNames, template_names};
use crate::job::template_file::values::{format_value, fortran, to_template, write_value};
use crate::job::{Delimiters, RESERVED, named_words};
use crate::model::{LoopNest, Value};
use crate::util::text::{count, did_you_mean};

/// The name of the template in its environment.
const ROOT: &str = "template";

/// What a template may take before it is taken for endless, in minijinja's instructions.
const MOST_STEPS: u64 = 50_000_000;

/// Functions that minijinja has.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

/// At most so many combinations of points are tried before anything runs, and so much text is made of them. (bytes)
const MOST_TRIED: u64 = 20_000;
const MOST_TEXT: u64 = 256 << 20;

/// The text of a file, ready to be filled in.
pub(crate) struct FileTemplate {
    /// The file's name, for messages.
    name: String,
    length: u64,
    environment: Environment<'static>,
    names: TemplateNames,
    /// The expressions that are placeholders: the variable that stands for each, and its line.
    texts: Vec<(String, Placeholder, usize)>,
}

/// An error at a line of a file.
fn at_line(name: &str, line: Option<usize>, why: impl std::fmt::Display) -> String {
    match line {
        Some(line) => format!("{name}:{line}: {why}"),
        None => format!("{name}: {why}"),
    }
}

impl FileTemplate {
    /// Parses a file's text. `name` is how the job names the file; errors begin with it and the line.
    pub(crate) fn parse(
        name: &str,
        text: &str,
        delimiters: &Delimiters,
    ) -> Result<FileTemplate, String> {
        let failed = |error: Error| at_line(name, error.line(), in_words(&error));
        let [(block, block_end), (comment, comment_end)] = delimiters.others();
        let syntax = SyntaxConfig::builder()
            .variable_delimiters(delimiters.begin.clone(), delimiters.end.clone())
            .block_delimiters(block, block_end)
            .comment_delimiters(comment, comment_end)
            .keep_trailing_newline(true)
            .build()
            .map_err(failed)?;
        let names = template_names(text, &syntax).map_err(failed)?;
        let (source, texts) = with_variables(text, &names);
        let mut environment = Environment::new();
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(MOST_STEPS));
        environment.set_formatter(|out, _, value| write_value(out, value));
        environment.add_filter("fmt", format_value);
        environment.add_filter("fortran", fortran);
        environment.add_template_owned(ROOT, source).map_err(failed)?;
        let length = text.len() as u64;
        Ok(FileTemplate { name: name.to_string(), length, environment, names, texts })
    }

    /// Checks every name against the loops and what gridmpi tells, and fills the template in at the points that it
    /// names: at all combinations of them, or at as many as can be tried. `facts` are those of any run.
    pub(crate) fn check(&self, nest: &LoopNest, facts: &RunFacts) -> Result<(), String> {
        let loops: Vec<&str> = nest.loops().iter().map(|l| l.name.as_str()).collect();
        for (name, line) in &self.names.assigned {
            if loops.contains(&name.as_str()) || name == RESERVED {
                let what =
                    if name == RESERVED { "what gridmpi tells" } else { "a loop of the job" };
                let why = match name.as_str() {
                    "loop" => "inside a for of a template, 'loop' is its own: call the job's loop something else".to_string(),
                    _ => format!("'{name}' is {what}: call this variable something else"),
                };
                return Err(at_line(&self.name, Some(*line), why));
            }
        }
        for named in &self.names.named {
            self.check_name(&named.name, named.field.as_deref(), nest, facts)
                .map_err(|why| at_line(&self.name, Some(named.line), why))?;
        }
        for (function, line) in &self.names.functions {
            if !FUNCTIONS.contains(&function.as_str()) && !self.is_assigned(function) {
                let known = FUNCTIONS.join(", ");
                let why = format!("there is no function {function}() (known: {known})");
                return Err(at_line(&self.name, Some(*line), why));
            }
        }
        self.try_points(nest, facts)
    }

    /// The text for one task, whose points are these. For `cells` see [`Placeholder::value`].
    pub(crate) fn render<'c>(
        &self,
        coordinates: &[(&str, Value)],
        cells: impl Fn(&str, &str) -> Option<&'c str>,
        facts: &RunFacts,
    ) -> Result<String, String> {
        let is_named = |name: &str| self.names.named.iter().any(|named| named.name == name);
        let own = is_named(RESERVED).then(|| (RESERVED, facts.record()));
        let named = coordinates.iter().filter(|(name, _)| is_named(name)).cloned();
        let values: Vec<(&str, Value)> = named.chain(own).collect();
        let mut context: Vec<(&str, Jinja)> =
            values.iter().map(|(name, value)| (*name, to_template(value))).collect();
        // One that has no text is left undefined: it may stand where it is not asked for.
        let mut missing = Vec::new();
        for (variable, place, line) in &self.texts {
            match place.value(&values, &cells) {
                Ok(text) => context.push((variable.as_str(), Jinja::from(text))),
                Err(why) => missing.push((*line, why)),
            }
        }
        let context = Jinja::from_pairs(context);
        let template = self.environment.get_template(ROOT);
        template.and_then(|template| template.render(context)).map_err(|error| {
            let is_undefined = error.kind() == ErrorKind::UndefinedError;
            let at_it = missing.iter().find(|(line, _)| Some(*line) == error.line());
            let why = match at_it.filter(|_| is_undefined) {
                Some((_, why)) => format!("{why}: ask first, as in {{% if x is not none %}}"),
                None => in_words(&error),
            };
            at_line(&self.name, error.line(), why)
        })
    }

    fn is_assigned(&self, name: &str) -> bool {
        self.names.assigned.iter().any(|(assigned, _)| assigned == name)
    }

    fn check_name(
        &self,
        name: &str,
        field: Option<&str>,
        nest: &LoopNest,
        facts: &RunFacts,
    ) -> Result<(), String> {
        if self.is_assigned(name) {
            return Ok(()); // where it is not, filling in fails
        }
        if name == RESERVED {
            return facts.check_field(field);
        }
        let loops = nest.loops();
        if let Some(l) = loops.iter().find(|l| l.name == name) {
            return Placeholder::of(name, field).check_field(&l.points);
        }
        let mut known: Vec<&str> = loops.iter().map(|l| l.name.as_str()).collect();
        known.push(RESERVED);
        let near = did_you_mean(name, &known, "'");
        Err(format!("'{name}' names no loop{near} (known: {})", known.join(", ")))
    }

    /// Fills it in where it may differ.
    fn try_points(&self, nest: &LoopNest, facts: &RunFacts) -> Result<(), String> {
        let loops = nest.loops();
        let of_name = |name: &str| loops.iter().position(|l| l.name == name);
        let levels: BTreeSet<usize> =
            self.names.named.iter().filter_map(|named| of_name(&named.name)).collect();
        let levels: Vec<usize> = levels.into_iter().collect();
        let most = (MOST_TEXT / self.length.max(1)).clamp(100, MOST_TRIED);
        let try_at = |points: &[u64]| -> Result<(), String> {
            let at = |(level, point): (&usize, &u64)| {
                (loops[*level].name.as_str(), loops[*level].points.get(*point))
            };
            let values: Vec<(&str, Value)> = levels.iter().zip(points).map(at).collect();
            let cells = |name: &str, field: &str| {
                let at = levels.iter().position(|level| loops[*level].name == name)?;
                loops[levels[at]].points.cell(points[at], field)
            };
            match self.render(&values, cells, facts) {
                Ok(_) => Ok(()),
                Err(why) if values.is_empty() => Err(why),
                Err(why) => Err(format!("{why}, at {}", named_words(values))),
            }
        };
        let all = nest.count_combinations(&levels);
        if all <= most {
            return nest.combinations(&levels, &mut |points| try_at(points));
        }
        log::warn!(
            "{}: filled in for {} of {} combinations of points before anything runs; an error at another fails the run",
            self.name,
            count(most),
            count(all)
        );
        for i in 0..most {
            // Steps that no loop's length divides, so that each loop's points differ.
            let task = u128::from(i) * 0x9E37_79B9_7F4A_7C15 % u128::from(nest.tasks());
            let points = nest.indices(nest.task(task as u64));
            let own: Vec<u64> = levels.iter().map(|level| points[*level]).collect();
            try_at(&own)?;
        }
        Ok(())
    }
}

/// The template with a variable in place of each expression that is a placeholder.
fn with_variables(
    text: &str,
    names: &TemplateNames,
) -> (String, Vec<(String, Placeholder, usize)>) {
    let (mut source, mut texts, mut end) = (String::new(), Vec::new(), 0);
    for named in names.named.iter().filter(|named| named.is_text) {
        let is_own = names.assigned.iter().any(|(assigned, _)| *assigned == named.name);
        let range = named.range.clone();
        if is_own || range.start < end {
            continue;
        }
        let variable = format!("gridmpi_text_{}", texts.len());
        source += &text[end..range.start];
        source += &variable;
        // Lines keep their numbers.
        source.extend(text[range.clone()].matches('\n'));
        end = range.end;
        let place = Placeholder::of(&named.name, named.field.as_deref());
        texts.push((variable, place, named.line));
    }
    source += &text[end..];
    (source, texts)
}

/// What minijinja says, without the name that it gives the template.
fn in_words(error: &Error) -> String {
    let kind = error.kind().to_string();
    match error.detail() {
        Some(detail) => format!("{kind}: {detail}"),
        None => kind,
    }
}

#[cfg(test)]
mod tests;
