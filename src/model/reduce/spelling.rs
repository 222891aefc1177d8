//! How reductions are spelled in job files and stores.

use crate::model::reduce::accumulator::NumberFold;
use crate::model::reduce::best_rule::BestRule;
use crate::model::reduce::fold_list::{FoldList, NamedFold};
use crate::model::reduce::{FileFunction, Reduce};
use crate::model::value::Value;

/// The keys of a function in a job file.
const PYTHON: &str = "python";
const R: &str = "r";

impl FileFunction {
    /// Reads `file.py:function`, or `file.R:function`.
    #[cfg(any(feature = "cli", feature = "jobs"))]
    pub(crate) fn parse(text: &str) -> Option<FileFunction> {
        let (file, function) = text.rsplit_once(':')?;
        let own = FileFunction { file: file.to_string(), function: function.to_string() };
        Some(own).filter(|own| !own.file.is_empty() && !own.function.is_empty())
    }

    /// The reverse of [`FileFunction::parse`].
    fn in_words(&self) -> String {
        format!("{}:{}", self.file, self.function)
    }
}

impl Reduce {
    /// The names that stand for a reduction by themselves.
    pub(crate) fn names() -> Vec<&'static str> {
        NumberFold::names().chain(["all", "join"]).collect()
    }

    /// The reduction of that name.
    pub(crate) fn named(name: &str) -> Option<Reduce> {
        Some(match name {
            "max" => Reduce::max(),
            "min" => Reduce::min(),
            "count" => Reduce::Count,
            "all" => Reduce::All,
            "join" => Reduce::Join,
            _ => Reduce::numbers(NumberFold::named(name)?),
        })
    }

    /// As a job file has it. Of the user's Rust it is the kind only.
    pub(crate) fn spelled(&self) -> Value {
        let text = |text: &str| Value::Text(text.to_string());
        match self {
            Reduce::Best(rule) => spelled_best(rule),
            Reduce::Fields(list) => spelled_list(list),
            Reduce::Count => text("count"),
            Reduce::All => text("all"),
            Reduce::Join => text("join"),
            Reduce::Python(own) if own.function.is_empty() => text(PYTHON),
            Reduce::Python(own) => {
                Value::Record(vec![(PYTHON.to_string(), Value::Text(own.in_words()))])
            }
            Reduce::R(own) => Value::Record(vec![(R.to_string(), Value::Text(own.in_words()))]),
            Reduce::Native => text("summarize"),
        }
    }

    /// The same for people: of a Python or R function its place.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn in_words(&self) -> String {
        match self {
            Reduce::Python(own) | Reduce::R(own) => own.in_words(),
            other => other.text(),
        }
    }

    /// The same on one line: a name, or JSON.
    pub(crate) fn text(&self) -> String {
        match self.spelled() {
            Value::Text(name) => name,
            other => other.to_json().to_string(),
        }
    }

    /// The reverse of [`Reduce::text`].
    pub(crate) fn of_text(text: &str) -> Option<Reduce> {
        match text {
            // Of an older store, which does not say which function.
            PYTHON => Some(Reduce::Python(FileFunction::default())),
            "summarize" => Some(Reduce::Native),
            #[cfg(any(feature = "cli", feature = "jobs"))]
            text if text.starts_with(['[', '{']) => {
                let value = Value::parse(text).ok()?;
                match (value.field(PYTHON), value.field(R)) {
                    (Some(Value::Text(own)), _) => FileFunction::parse(own).map(Reduce::Python),
                    (_, Some(Value::Text(own))) => FileFunction::parse(own).map(Reduce::R),
                    _ => Reduce::parse(&value).ok(),
                }
            }
            name => Reduce::named(name),
        }
    }
}

fn spelled_best(rule: &BestRule) -> Value {
    let text = |text: &str| Value::Text(text.to_string());
    let Some(by) = &rule.by else { return text(rule.name()) };
    let mut fields = vec![(rule.name().to_string(), text(by))];
    if let Some(tolerance) = &rule.tolerance {
        let name = tolerance.spread.map_or("value".to_string(), NumberFold::name);
        let within = Value::Record(vec![(name, Value::Float(tolerance.times))]);
        let which = if tolerance.prefers_greatest { "max" } else { "min" };
        let prefer = Value::Record(vec![(which.to_string(), text(&tolerance.prefer))]);
        fields.extend([("within".to_string(), within), ("prefer".to_string(), prefer)]);
    }
    Value::Record(fields)
}

fn spelled_list(list: &FoldList) -> Value {
    let text = |text: &str| Value::Text(text.to_string());
    let plain = |fold: &NamedFold| match fold.fold {
        NumberFold::Quantile(at) => Value::Record(vec![("quantile".to_string(), Value::Float(at))]),
        named => Value::Text(named.name()),
    };
    let first = match &list.by {
        None => plain(list.first()),
        Some(by) => {
            let mut fields = vec![(list.first().fold.name(), text(by))];
            fields.extend(list.weight.iter().map(|weight| ("weight".to_string(), text(weight))));
            Value::Record(fields)
        }
    };
    match list.more() {
        [] => first,
        more => Value::List(std::iter::once(first).chain(more.iter().map(plain)).collect()),
    }
}

#[cfg(all(test, any(feature = "cli", feature = "jobs")))]
mod tests {
    use super::*;

    #[test]
    fn reductions_are_read_as_they_are_spelled() {
        for text in [
            "max",
            "sem",
            "count",
            r#"["mean","std","count"]"#,
            r#"["median",{"quantile":0.9}]"#,
            r#"{"max":"r2"}"#,
            r#"{"mean":"r2","weight":"n"}"#,
            r#"[{"mean":"r2"},"sem","max"]"#,
            r#"{"min":"rmse","within":{"sem":1.0},"prefer":{"max":"alpha"}}"#,
            r#"{"max":"r2","within":{"value":0.01},"prefer":{"min":"model.depth"}}"#,
            r#"{"max":"python"}"#,
            r#"{"python":"a:b/stats.py:trimmed"}"#,
            r#"{"r":"stats.R:trimmed"}"#,
        ] {
            assert_eq!(Reduce::of_text(text).unwrap().text(), text);
        }
    }
}
