//! What placeholders may name: the loops of the job or, in `[final]`, those of a row and its winning points, and what a
//! final call has besides.

use std::borrow::Cow;

use crate::job::placeholders::{Template, TemplatePart, Within, check};
use crate::job::{RESERVED, RunFacts};
use crate::model::{Loop, LoopNest, Points, Value};
use crate::util::text::did_you_mean;

/// The names of what a final call has besides points.
pub(crate) const SUMMARY: &str = "summary";
pub(crate) const FOLDER: &str = "folder";

/// What is not known before anything runs may be any text.
const ANY_TEXT: &str = "any text, such as `$(command)`";

#[derive(Clone, Copy)]
pub(crate) struct Scope<'n> {
    pub(crate) nest: &'n LoopNest,
    /// How many of the outermost loops may be named.
    pub(crate) levels: usize,
    /// Those of any run; nothing for a final call, which is none.
    facts: Option<&'n RunFacts>,
}

impl<'n> Scope<'n> {
    pub(crate) fn of_crunch(nest: &'n LoopNest, facts: &'n RunFacts) -> Scope<'n> {
        Scope { nest, levels: nest.depth(), facts: Some(facts) }
    }

    /// For a final call, which knows these loops.
    pub(crate) fn of_final(nest: &'n LoopNest, levels: usize) -> Scope<'n> {
        Scope { nest, levels, facts: None }
    }

    /// What is told of any run; nothing for a final call.
    pub(crate) fn facts(&self) -> Option<&'n RunFacts> {
        self.facts
    }

    /// What may be named besides loops. A loop takes the name of the folder, as it does that of the seed in Python.
    fn others(&self) -> impl Iterator<Item = &'static str> + use<'n> {
        let is_loop = |name: &str| self.nest.loops()[..self.levels].iter().any(|l| l.name == name);
        let others: &[&str] = if self.facts.is_none() { &[SUMMARY, FOLDER] } else { &[] };
        let free: Vec<&'static str> =
            others.iter().copied().filter(|name| !is_loop(name)).collect();
        free.into_iter()
    }

    /// Checks a text with placeholders; see [`check`](super::check).
    pub(crate) fn check(&self, text: &str, within: Within) -> Result<(), String> {
        if self.facts.is_some() {
            return check(text, self.nest, self.facts, within);
        }
        let others: Vec<&str> = self.others().collect();
        let mut of_loops = Vec::new();
        for part in Template::parse(text)?.0 {
            let name = match &part {
                TemplatePart::Place(place) => place.name.as_str(),
                TemplatePart::Text(_) => {
                    of_loops.push(part);
                    continue;
                }
            };
            if others.contains(&name) {
                continue;
            }
            self.refuse_stranger(name)?;
            of_loops.push(part);
        }
        check(&Template(of_loops).to_string(), self.nest, None, within)
    }

    /// Fails if a final call has nothing of this name.
    fn refuse_stranger(&self, name: &str) -> Result<(), String> {
        let loops = self.nest.loops();
        let names = loops[..self.levels].iter().map(|l| l.name.as_str());
        let others = self.others().map(|name| -> &str { name });
        let known: Vec<&str> = names.chain(others).collect();
        match loops.iter().position(|l| l.name == name) {
            Some(level) if level < self.levels => Ok(()),
            Some(_) => Err(format!("{{{name}}}: {}", averaged_over(name, &known))),
            None => Err(format!(
                "the placeholder {{{name}}} names nothing that a final call is given{} (known: {}; write {{{{ for a brace)",
                did_you_mean(name, &known, "'"),
                known.join(", ")
            )),
        }
    }

    /// Loops for the checks of what a shell is given by these texts: what is known only when a call is made may be any
    /// text.
    pub(crate) fn loops<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Cow<'n, [Loop]> {
        let own = &self.nest.loops()[..self.levels];
        let templates: Vec<Template> =
            texts.into_iter().filter_map(|text| Template::parse(text).ok()).collect();
        let is_told = templates.iter().flat_map(Template::loops).any(|name| name == RESERVED);
        let facts = self.facts.filter(|_| is_told);
        if facts.is_none() && self.others().next().is_none() {
            return Cow::Borrowed(own); // points may be many
        }
        let mut loops = own.to_vec();
        loops.extend(facts.map(RunFacts::as_loop));
        for name in self.others() {
            let places = templates.iter().flat_map(Template::places);
            let fields = places.filter(|place| place.name == name);
            let fields = fields.filter_map(|place| place.parts(|_| false).field);
            let fields: Vec<String> = fields.map(str::to_string).collect();
            // A number that has a format becomes `inf`.
            let any = [Value::Text(ANY_TEXT.to_string()), Value::Float(f64::INFINITY)];
            let point = |value: Value| match fields.is_empty() {
                true => value,
                false => Value::Record(fields.iter().map(|f| (f.clone(), value.clone())).collect()),
            };
            loops.push(Loop::new(name, Points::List(any.map(point).into()), None));
        }
        loops.into()
    }
}

/// Why a final call knows nothing of a loop.
pub(crate) fn averaged_over(name: &str, known: &[&str]) -> String {
    format!(
        "loop '{name}' has no point in a row, because its runs are folded into one value: a final call is given {}",
        known.join(", ")
    )
}
