//! Checks, before anything runs, that programs can be given what placeholders stand for.
//!
//! What no program can be given, such as none, is refused where some task would give it: an argument inside an
//! `if` is given only where that branch is taken, which is looked up for each combination of points.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::job::command::TruthTable;
use crate::job::placeholders::{
    LONGEST_ARGUMENT, PlaceParts, Placeholder, Template, TemplatePart, shown_as,
};
use crate::job::{RESERVED, RunFacts, named_words};
use crate::model::{Loop, LoopNest, MOST_EVALUATED, Points, Value};
use crate::util::text::count;

/// Where a text with placeholders stands.
#[derive(Clone, Copy)]
pub(crate) enum Within<'a> {
    Shell,
    /// In a command, in these branches.
    Command(&'a [Branch]),
}

/// A branch of an `if`, taken where the condition is true, or where it is not.
pub(crate) struct Branch {
    pub(crate) condition: Rc<TruthTable>,
    pub(crate) is_then: bool,
}

/// Why a program cannot be given a value.
enum Problem {
    None,
    Other(String),
}

/// Checks that each placeholder names a loop, or a field of its points, and that programs can be given its
/// values. `facts` are those of any run, if there is one.
pub(crate) fn check(
    text: &str,
    nest: &LoopNest,
    facts: Option<&RunFacts>,
    within: Within,
) -> Result<(), String> {
    if text.contains('\0') {
        return Err(format!("{text:?} has a zero byte, which no program can be given"));
    }
    let loops = nest.loops();
    refuse_doubled(text, &|name: &str| name == RESERVED || loops.iter().any(|l| l.name == name))?;
    for piece in Template::parse(text)?.0 {
        let TemplatePart::Place(place) = piece else { continue };
        let name = &place.name;
        if let (RESERVED, Some(facts)) = (name.as_str(), facts) {
            place.check_fact(facts)?;
            continue;
        }
        let Some(level) = loops.iter().position(|l| l.name == *name) else {
            let names: Vec<&str> = loops.iter().map(|l| l.name.as_str()).collect();
            let names = names.join(", ");
            return Err(format!(
                "the placeholder {{{name}}} names no loop (loops: {names}; write {{{{ for a brace)"
            ));
        };
        place.check_field(&loops[level].points)?;
        if place.is_doubtful(&loops[level]) {
            place.check_values(level, nest, within)?;
        }
    }
    Ok(())
}

/// Refuses `{{ name }}` where that names something: templates have it so, and here it would be text with a brace.
fn refuse_doubled(text: &str, is_known: &dyn Fn(&str) -> bool) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let braces = rest[at..].bytes().take_while(|byte| *byte == b'{').count();
        rest = &rest[at + braces..];
        let Some(end) = rest.find("}}") else { break };
        let inside = rest[..end].trim();
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = inside.find(|c: char| !is_of_name(c)).unwrap_or(inside.len());
        let (name, behind) = inside.split_at(length);
        let is_place = behind.is_empty() || behind.trim_start().starts_with(['.', ':', '|']);
        if braces == 2 && is_place && is_known(name) {
            return Err(format!(
                "{{{{{}}}}}: placeholders have one brace here: {{{name}}}",
                &rest[..end]
            ));
        }
    }
    Ok(())
}

impl Placeholder {
    /// Fails if gridmpi tells no run this, or not in this format.
    fn check_fact(&self, facts: &RunFacts) -> Result<(), String> {
        let record = facts.record();
        let PlaceParts { field, spec } = self.parts(|name| record.field(name).is_some());
        facts.check_field(field)?;
        let value = field.and_then(|field| record.field(field));
        match (value, spec) {
            (Some(value), Some(spec)) => {
                shown_as(value, spec).map(drop).map_err(|why| format!("{self}: {why}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether there may be a point of its loop that no program can be given. Says yes too often.
    fn is_doubtful(&self, l: &Loop) -> bool {
        let PlaceParts { field, spec } = self.parts_in(&l.points);
        // A table's cell stands for what is none in it.
        let has_cell = matches!(l.points, Points::Rows { .. }) && field.is_some() && spec.is_none();
        if l.none.is_some() || !has_cell && l.points.may_be_none(field) {
            return true;
        }
        match spec {
            None => {
                let is_wrong = |value: &Value| self.refuse_text(&value.to_string()).is_some();
                l.points.find(field, &is_wrong).is_some()
            }
            Some(spec) => l.points.any(field, &mut |value| {
                shown_as(value, spec).map_or(true, |text| self.refuse_text(&text).is_some())
            }),
        }
    }

    fn refuse_text(&self, text: &str) -> Option<String> {
        match text.len() {
            _ if text.contains('\0') => {
                Some(format!("{self}: {text:?} has a zero byte, which no program can be given"))
            }
            long if long > LONGEST_ARGUMENT => Some(format!(
                "{self}: a value of {long} bytes is too long for a program's argument or variable, which has up to {LONGEST_ARGUMENT}: write it to a file, and give the file's name"
            )),
            _ => None,
        }
    }

    /// What is wrong with it, whose parts these are, at a point.
    fn problem(
        &self,
        PlaceParts { field, spec }: PlaceParts,
        l: &Loop,
        point: u64,
    ) -> Option<Problem> {
        if let (Some(field), None) = (field, spec)
            && let Some(cell) = l.points.cell(point, field)
        {
            return self.refuse_text(cell).map(Problem::Other);
        }
        let record = l.points.get(point);
        let value = match field {
            Some(field) => record.field(field),
            None => Some(&record),
        };
        let Some(value) = value.filter(|value| **value != Value::Null) else {
            return Some(Problem::None);
        };
        let text = match spec {
            Some(spec) => shown_as(value, spec),
            None => Ok(value.to_string()),
        };
        let refused = match text {
            Ok(text) => self.refuse_text(&text),
            Err(why) => Some(format!("{self}, of loop '{}': {why}", l.name)),
        };
        refused.map(Problem::Other)
    }

    /// Fails if some task would give a program a value of it that it cannot be given. It is the loop's at
    /// this level.
    fn check_values(&self, level: usize, nest: &LoopNest, within: Within) -> Result<(), String> {
        let (loops, own) = (nest.loops(), &nest.loops()[level]);
        let parts = self.parts_in(&own.points); // a look at every record
        let branches = match within {
            Within::Shell => &[],
            Within::Command(branches) => branches,
        };
        let named = branches.iter().flat_map(|branch| branch.condition.levels());
        let levels: BTreeSet<usize> = named.chain([level]).collect();
        let levels: Vec<usize> = levels.into_iter().collect();
        let combinations = nest.count_combinations(&levels);
        if !branches.is_empty() && combinations > MOST_EVALUATED {
            return Err(format!(
                "{self}: whether the if around it rules out what no program can be given would be looked up for {} combinations of points; {} are possible",
                count(combinations),
                count(MOST_EVALUATED)
            ));
        }
        nest.combinations(&levels, &mut |points| {
            let point = |level: usize| {
                let at = levels.iter().position(|known| *known == level)?;
                points.get(at).copied()
            };
            let is_taken = |branch: &Branch| branch.condition.holds(&point) == Ok(branch.is_then);
            if !branches.iter().all(is_taken) {
                return Ok(());
            }
            let problem = point(level).and_then(|point| self.problem(parts, own, point));
            let Some(problem) = problem else { return Ok(()) };
            let values = levels.iter().zip(points);
            let values = values.map(|(level, point)| {
                let l = &loops[*level];
                (l.name.as_str(), l.points.get(*point))
            });
            Err(match problem {
                Problem::Other(why) if branches.is_empty() => why,
                Problem::Other(why) => format!("{why}, at {}", named_words(values)),
                Problem::None => self.refuse_none(parts.field, own, within, &named_words(values)),
            })
        })
    }

    fn refuse_none(&self, field: Option<&str>, l: &Loop, within: Within, at: &str) -> String {
        let name = field.map_or(l.name.clone(), |field| format!("{}.{field}", l.name));
        let what = field.map_or(String::new(), |field| format!("field '{field}' of "));
        let why = format!(
            "{self}: {what}a point of loop '{}' is none, which no program can be given as text",
            l.name
        );
        let instead = "use Python, or write a word such as \"none\" in its place";
        let example = format!("{{ if = \"{name} is not null\", then = [\"{self}\"] }}");
        match within {
            Within::Command([]) => {
                format!("{why}: give it inside an if, as in {example}, {instead}")
            }
            Within::Command(_) => format!(
                "{why}, and its argument is given at {at}: let the if around it rule that out, as in {example}"
            ),
            Within::Shell => {
                format!("{why}: use command = [...], which can have {example}, {instead}")
            }
        }
    }
}
