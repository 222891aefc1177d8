//! The environment variables with a task's points: GRIDMPI_LOOP_alpha, and GRIDMPI_LOOP_model__depth for a field.

use std::collections::BTreeMap;

use crate::model::{Loop, Value};

const BEGINNING: &str = "GRIDMPI_LOOP_";

/// Where not all points fit into one variable, a longer value has none either: all variables together, and the
/// arguments, have to fit into what a program is given. (bytes)
const LONGEST_AMONG_LONG: usize = 1024;

/// The variable of a loop's point, or of a field of it.
pub(crate) struct LoopVariable {
    pub(crate) name: String,
    loop_name: String,
    field: Option<String>,
}

impl LoopVariable {
    fn words(&self) -> String {
        match &self.field {
            Some(field) => format!("field '{field}' of loop '{}'", self.loop_name),
            None => format!("loop '{}'", self.loop_name),
        }
    }

    /// Its value in a task, as a placeholder has it; nothing if that is none, or cannot be a variable's. `cells`
    /// gives a table's own text.
    pub(crate) fn value<'c>(
        &self,
        coordinates: &[(&str, Value)],
        cells: impl Fn(&str, &str) -> Option<&'c str>,
        is_long: bool,
    ) -> Option<String> {
        let (_, point) = coordinates.iter().find(|(name, _)| *name == self.loop_name)?;
        let value = match &self.field {
            Some(field) => point.field(field)?,
            None => point,
        };
        if *value == Value::Null {
            return None;
        }
        let cell = self.field.as_ref().and_then(|field| cells(&self.loop_name, field));
        let text = cell.map_or_else(|| value.to_string(), str::to_string);
        let fits = !is_long || text.len() <= LONGEST_AMONG_LONG;
        (fits && !text.contains('\0')).then_some(text)
    }
}

/// The variables of loops. Where two things would have one name, neither has a variable; the second part says so.
pub(crate) fn loop_variables(loops: &[Loop]) -> (Vec<LoopVariable>, Vec<String>) {
    let mut by_name: BTreeMap<String, Vec<LoopVariable>> = BTreeMap::new();
    let mut add = |loop_name: &str, field: Option<String>| {
        let mut name = format!("{BEGINNING}{loop_name}");
        if let Some(field) = &field {
            let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            name += "__";
            name.extend(field.chars().map(safe));
        }
        let variable = LoopVariable { name: name.clone(), loop_name: loop_name.to_string(), field };
        by_name.entry(name).or_default().push(variable);
    };
    for l in loops {
        add(&l.name, None);
        l.points.fields().into_iter().for_each(|field| add(&l.name, Some(field)));
    }
    let (mut variables, mut refused) = (Vec::new(), Vec::new());
    for (name, same) in by_name {
        if same.len() == 1 {
            variables.extend(same);
            continue;
        }
        let all: Vec<String> = same.iter().map(LoopVariable::words).collect();
        refused.push(format!(
            "{name} would be the variable of {}, so that there is none: use GRIDMPI_POINT or a placeholder, or rename one",
            all.join(" and of ")
        ));
    }
    (variables, refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Points;

    #[test]
    fn names_are_safe_and_those_that_collide_are_told() {
        let record = |fields: &[&str]| {
            let field = |name: &&str| (name.to_string(), Value::Int(1));
            Points::List(vec![Value::Record(fields.iter().map(field).collect())])
        };
        let loops = [
            Loop::new("case", record(&["a b", "a_b", "größe", "x"]), None),
            Loop::new("case__x", Points::List(vec![Value::Null]), None),
        ];
        let (variables, refused) = loop_variables(&loops);
        let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
        assert_eq!(names, ["GRIDMPI_LOOP_case", "GRIDMPI_LOOP_case__gr__e"]);
        assert_eq!(refused.len(), 2);
        assert!(
            refused[0].contains("field 'a b' of loop 'case' and of field 'a_b'"),
            "{refused:?}"
        );
        assert!(
            refused[1].contains("field 'x' of loop 'case' and of loop 'case__x'"),
            "{refused:?}"
        );
    }

    #[test]
    fn what_is_none_or_does_not_fit_has_no_variable() {
        let (variables, _) = loop_variables(&[Loop::new("x", Points::List(vec![]), None)]);
        let value =
            |value: Value, is_long| variables[0].value(&[("x", value)], |_, _| None, is_long);
        assert_eq!(value(Value::Null, false), None);
        assert_eq!(value(Value::Float(1e-7), true).as_deref(), Some("1e-7"));
        assert_eq!(value("a".repeat(2000).as_str().into(), true), None);
        assert_eq!(
            value("a".repeat(2000).as_str().into(), false).map(|text| text.len()),
            Some(2000)
        );
        assert_eq!(value("a\0".into(), false), None);
    }
}
