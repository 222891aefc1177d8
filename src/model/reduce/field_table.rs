//! The fields of the records of a group, each folded by itself.

use std::collections::BTreeSet;

use crate::model::reduce::accumulator::Accumulator;
use crate::model::reduce::fold_list::FoldList;
use crate::model::value::Value;

/// Longest string of a summary. (bytes)
const LONGEST_TEXT: usize = 1000;

/// The fields seen so far, in the order in which the first records have them.
#[derive(Debug, Default)]
pub(super) struct FieldTable {
    fields: Vec<FoldedField>,
}

#[derive(Debug)]
struct FoldedField {
    name: String,
    content: FieldContent,
    /// In how many records it was like this.
    count: u64,
}

#[derive(Debug)]
enum FieldContent {
    /// None, or NaN, in all records so far.
    Nothing,
    /// A number in at least one record.
    Number(Vec<Accumulator>),
    /// The same string or boolean in all records that had the field.
    Same(Value),
    /// Different strings.
    Different,
}

impl FieldTable {
    /// Takes a record. A field of a record in it is named by its path, and lists are left out.
    pub(super) fn push(&mut self, record: &Value, weight: f64, list: &FoldList) {
        let mut place = 0;
        record.each_field(&mut |name, value| {
            if !can_fold(value) {
                return;
            }
            let field = self.field(&name, place);
            place += 1;
            match (value, &mut field.content) {
                (Value::Int(_) | Value::Float(_), content) => {
                    let number = value.as_f64().unwrap_or(f64::NAN);
                    if number.is_nan() {
                        return;
                    }
                    if let FieldContent::Number(all) = content {
                        all.iter_mut().for_each(|one| one.push(number, weight));
                        field.count += 1;
                        return;
                    }
                    // It may have been text before, which then does not count as a number.
                    let mut all = vec![list.accumulator(Some(&name))];
                    all.extend(list.more().iter().map(|more| Accumulator::new(more.fold)));
                    all.iter_mut().for_each(|one| one.push(number, weight));
                    (*content, field.count) = (FieldContent::Number(all), 1);
                }
                (Value::Text(_) | Value::Bool(_), FieldContent::Nothing) => {
                    (field.content, field.count) = (FieldContent::Same(value.clone()), 1);
                }
                (Value::Text(_) | Value::Bool(_), FieldContent::Same(same)) => {
                    if same == value {
                        field.count += 1;
                    } else {
                        field.content = FieldContent::Different;
                    }
                }
                _ => {}
            }
        });
    }

    /// The field of this name, which is mostly at this place.
    fn field(&mut self, name: &str, place: usize) -> &mut FoldedField {
        let is_there = self.fields.get(place).is_some_and(|field| field.name == name);
        let at = match is_there {
            true => Some(place),
            false => self.fields.iter().position(|field| field.name == name),
        };
        let at = at.unwrap_or_else(|| {
            let content = FieldContent::Nothing;
            self.fields.push(FoldedField { name: name.to_string(), content, count: 0 });
            self.fields.len() - 1
        });
        &mut self.fields[at]
    }

    /// The summary of a group of `count` records. Fails if a name that a fold adds is one of crunch.
    pub(super) fn finish(self, count: u64, list: &FoldList) -> Result<Value, String> {
        let names: BTreeSet<String> = self.fields.iter().map(|field| field.name.clone()).collect();
        let mut summary: Vec<(String, Value)> = Vec::new();
        for field in self.fields {
            let FoldedField { name, content, count: had } = field;
            // Not a fold of the rest, where one of the runs has no such number.
            let value = |one: Accumulator| match had == count {
                true => number(one.finish(count)),
                false => Value::Null,
            };
            match content {
                FieldContent::Nothing => summary.push((name, Value::Null)),
                FieldContent::Same(same) if had == count => summary.push((name, same)),
                FieldContent::Same(_) | FieldContent::Different => {}
                FieldContent::Number(all) => {
                    let is_added = list.is_added(&name, |base| names.contains(base));
                    let mut all = all.into_iter();
                    summary.extend(all.next().map(|first| (name.clone(), value(first))));
                    for (one, more) in all.zip(list.more()).filter(|_| !is_added) {
                        if !more.is_count() {
                            add(
                                &mut summary,
                                &names,
                                FoldList::added(&name, more),
                                &name,
                                value(one),
                            )?;
                        }
                    }
                }
            }
        }
        for more in list.more().iter().filter(|more| more.is_count()) {
            let count = Value::Int(count as i64);
            add(&mut summary, &names, more.name.clone(), "the number of runs", count)?;
        }
        Ok(Value::Record(summary))
    }
}

/// Adds a field that crunch must not have.
fn add(
    summary: &mut Vec<(String, Value)>,
    names: &BTreeSet<String>,
    name: String,
    of: &str,
    value: Value,
) -> Result<(), String> {
    if names.contains(&name) {
        return Err(format!(
            "the summary would have two fields '{name}': the one that crunch gives and the one that the reduction adds for '{of}'; give crunch's another name"
        ));
    }
    summary.push((name, value));
    Ok(())
}

/// A number, or none if it is none.
pub(super) fn number(number: f64) -> Value {
    if number.is_nan() { Value::Null } else { Value::Float(number) }
}

/// Whether a summary may have a field with such a value. Long strings are data rather than names, and would have to be
/// kept until their turn.
fn can_fold(value: &Value) -> bool {
    match value {
        Value::List(_) => false,
        Value::Text(text) => text.len() <= LONGEST_TEXT,
        _ => true,
    }
}

/// What a fold needs of a record: the fields that can be folded, under their paths.
pub(super) fn foldable(record: &Value) -> Value {
    if !matches!(record, Value::Record(_)) {
        return Value::Null;
    }
    let mut fields = Vec::new();
    record.each_field(&mut |name, value| {
        if can_fold(value) {
            fields.push((name.into_owned(), value.clone()));
        }
    });
    Value::Record(fields)
}

/// The number at a path of a record; a plain number is its own `score`.
pub(crate) fn number_at(value: &Value, path: &str) -> Option<f64> {
    let number = match value {
        Value::Record(_) => value.at_path(path)?.as_f64(),
        plain => plain.as_f64().filter(|_| path == super::fold_list::SCORE),
    };
    number.filter(|number| !number.is_nan())
}
