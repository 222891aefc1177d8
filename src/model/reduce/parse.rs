//! Reads reductions, and says what is wrong with one.

use std::sync::Arc;

use crate::model::reduce::Reduce;
use crate::model::reduce::accumulator::NumberFold;
use crate::model::reduce::best_rule::{BestRule, Tolerance};
use crate::model::reduce::fold_list::FoldList;
use crate::model::value::Value;
use crate::util::text::did_you_mean;

/// The fields of a record that is a reduction.
type ReduceFields = [(String, Value)];

impl Reduce {
    /// Reads a reduction that is no function: a name, a list of folds, or a record.
    pub(crate) fn parse(value: &Value) -> Result<Reduce, String> {
        match value {
            Value::Text(name) => Reduce::named(name).ok_or_else(|| unknown(name)),
            Value::List(folds) => list(folds).map(|list| Reduce::Fields(Arc::new(list))),
            Value::Record(fields) => match fields.first() {
                Some((name, _)) if name == "max" || name == "min" => {
                    best(fields).map(|rule| Reduce::Best(Arc::new(rule)))
                }
                _ => by_field(fields).map(|list| Reduce::Fields(Arc::new(list))),
            },
            other => {
                Err(format!("expected the name of a reduction, a list or a table, found {other}"))
            }
        }
    }
}

fn unknown(name: &str) -> String {
    let near = did_you_mean(name, &Reduce::names(), "\"");
    let known = Reduce::names().join(", ");
    format!(
        "\"{name}\" is no reduction{near} (known: {known}, a list of these, {{ max = \"FIELD\" }}, {{ quantile = 0.9 }}, or {{ python = \"file.py:function\" }})"
    )
}

fn list(folds: &[Value]) -> Result<FoldList, String> {
    let mut all: Option<FoldList> = None;
    for fold in folds {
        let one = match fold {
            Value::Text(name) => {
                FoldList::new(NumberFold::named(name).ok_or_else(|| in_list(name))?)
            }
            Value::Record(fields) => by_field(fields)?,
            other => return Err(format!("a list of folds has names, found {other}")),
        };
        let Some(list) = &mut all else {
            if folds.len() > 1 && one.first().fold == NumberFold::Count {
                return Err("\"count\" cannot be the first of several folds, which gives the fields under their own names".to_string());
            }
            all = Some(one);
            continue;
        };
        let fold = one.first().clone();
        if one.by.is_some() {
            return Err(format!(
                "the first fold of a list gives the score: of {} the others are written without a field, as \"{}\"",
                Reduce::Fields(Arc::new(one.clone())).text(),
                fold.name
            ));
        }
        if let Some(weight) = list.weight.as_ref().filter(|_| fold.fold.is_spread()) {
            return Err(format!(
                "\"{}\" would spread around the mean that \"{weight}\" does not weigh: leave one of them out",
                fold.name
            ));
        }
        if list.folds.contains(&fold) {
            return Err(format!("\"{}\" is there twice", fold.name));
        }
        list.folds.push(fold);
    }
    all.ok_or_else(|| "an empty list of folds reduces nothing".to_string())
}

fn in_list(name: &str) -> String {
    let known = NumberFold::names().collect::<Vec<_>>();
    let near = did_you_mean(name, &known, "\"");
    format!(
        "\"{name}\" cannot stand in a list of folds{near} (known there: {}, {{ quantile = 0.9 }})",
        known.join(", ")
    )
}

/// `{ mean = "r2", weight = "n" }`, `{ quantile = 0.9 }`.
fn by_field(fields: &ReduceFields) -> Result<FoldList, String> {
    let mut list: Option<FoldList> = None;
    let mut weight = None;
    for (key, value) in fields {
        match key.as_str() {
            "weight" => weight = Some(field_name(key, value)?),
            "quantile" if list.is_none() => {
                let at = value.as_f64().filter(|at| (0.0..=1.0).contains(at));
                let at = at.ok_or_else(|| format!("quantile: expected 0 to 1, found {value}"))?;
                list = Some(FoldList::new(NumberFold::Quantile(at)));
            }
            name => {
                let fold = NumberFold::named(name).filter(|fold| *fold != NumberFold::Count);
                let (Some(fold), true) = (fold, list.is_none()) else {
                    let known: Vec<&str> = NumberFold::names()
                        .filter(|name| *name != "count")
                        .chain(["quantile", "weight", "python"])
                        .collect();
                    let near = did_you_mean(name, &known, "'");
                    return Err(format!(
                        "'{name}' is not known here{near} (known: {})",
                        known.join(", ")
                    ));
                };
                let by = Some(field_name(name, value)?);
                list = Some(FoldList { by, ..FoldList::new(fold) });
            }
        }
    }
    let mut list = list.ok_or("no fold is named: expected { mean = \"FIELD\" }, say")?;
    if weight.is_some() && list.first().fold != NumberFold::Mean {
        return Err(
            "only a mean has a weight: { mean = \"FIELD\", weight = \"FIELD\" }".to_string()
        );
    }
    list.weight = weight;
    Ok(list)
}

/// `{ max = "r2", within = { sem = 1 }, prefer = { max = "alpha" } }`.
fn best(fields: &ReduceFields) -> Result<BestRule, String> {
    let mut rule = BestRule::new(false);
    let (mut within, mut prefer) = (None, None);
    for (key, value) in fields {
        match key.as_str() {
            "max" | "min" if rule.by.is_none() => {
                (rule.greatest, rule.by) = (key == "max", Some(field_name(key, value)?));
            }
            "within" => within = Some(parse_within(value)?),
            "prefer" => prefer = Some(parse_prefer(value)?),
            name => {
                let known = ["max", "min", "within", "prefer"];
                let near = did_you_mean(name, &known, "'");
                return Err(format!(
                    "'{name}' is not known here{near} (known: {})",
                    known.join(", ")
                ));
            }
        }
    }
    rule.tolerance = match (within, prefer) {
        (None, None) => None,
        (Some(within), Some(prefer)) => Some(Tolerance::new(within, prefer)),
        (Some(_), None) => {
            return Err(
                "within: say which of these points is chosen, as in prefer = { max = \"alpha\" }"
                    .to_string(),
            );
        }
        (None, Some(_)) => {
            return Err(
                "prefer: say how far from the best score, as in within = { sem = 1 }".to_string()
            );
        }
    };
    Ok(rule)
}

fn parse_within(value: &Value) -> Result<(Option<NumberFold>, f64), String> {
    let form = "within: expected { sem = 1 }, { std = 1 }, { sd = 1 } or { value = 0.01 }";
    let found = || format!("{form}, found {value}");
    let Value::Record(fields) = value else { return Err(found()) };
    let [(name, times)] = fields.as_slice() else { return Err(found()) };
    let spread = NumberFold::named(name).filter(|fold| fold.is_spread());
    let times = times.as_f64().filter(|times| *times >= 0.0 && times.is_finite());
    match (name.as_str(), spread, times) {
        ("value", _, Some(times)) => Ok((None, times)),
        (_, Some(spread), Some(times)) => Ok((Some(spread), times)),
        _ => Err(found()),
    }
}

fn parse_prefer(value: &Value) -> Result<(bool, String), String> {
    if let Value::Record(fields) = value
        && let [(name, Value::Text(of))] = fields.as_slice()
        && (name == "max" || name == "min")
        && !of.is_empty()
    {
        return Ok((name == "max", of.clone()));
    }
    Err(format!(
        "prefer: expected {{ max = \"LOOP\" }} or {{ min = \"LOOP.FIELD\" }}, found {value}"
    ))
}

fn field_name(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::Text(name) if !name.is_empty() => Ok(name.clone()),
        other => Err(format!("{key}: expected the name of a field in quotes, found {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_reduction_is_refused_in_words() {
        for (text, why) in [
            (r#""maen""#, "did you mean \"mean\"?"),
            (r#"["mean","all"]"#, "\"all\" cannot stand in a list"),
            (r#"["count","mean"]"#, "cannot be the first of several"),
            (r#"["mean","mean"]"#, "\"mean\" is there twice"),
            (r#"["mean",{"std":"r2"}]"#, "the first fold of a list gives the score"),
            ("[]", "an empty list"),
            (r#"{"quantile":1.5}"#, "expected 0 to 1, found 1.5"),
            (r#"{"median":"r2","weight":"n"}"#, "only a mean has a weight"),
            (r#"[{"mean":"r2","weight":"n"},"std"]"#, "does not weigh"),
            (r#"{"max":"r2","within":{"sem":1}}"#, "which of these points is chosen"),
            (r#"{"max":"r2","within":{"max":1},"prefer":{"max":"a"}}"#, "within: expected"),
            (r#"{"max":"r2","weight":"n"}"#, "'weight' is not known here"),
            (r#"{"max":3}"#, "the name of a field in quotes, found 3"),
            ("{}", "no fold is named"),
        ] {
            let error = Reduce::parse(&Value::parse(text).unwrap()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
