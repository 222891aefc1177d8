//! Fields of records within records, by their path: `time.fit`.

use std::borrow::Cow;
use std::slice;

use crate::model::value::Value;

impl Value {
    /// The value at a path: a field of this name, or a field of a record within.
    pub(crate) fn at_path(&self, path: &str) -> Option<&Value> {
        if let Some(field) = self.field(path) {
            return Some(field);
        }
        let mut dots = path.match_indices('.');
        dots.find_map(|(dot, _)| self.field(&path[..dot])?.at_path(&path[dot + 1..]))
    }

    /// Calls `each` with the path and the value of each field that is no record; of nothing else than a record.
    pub(crate) fn each_field<'a>(&'a self, each: &mut impl FnMut(Cow<'a, str>, &'a Value)) {
        let Value::Record(fields) = self else { return };
        // A stack of the records around, so that no depth is too much.
        let mut open: Vec<(String, slice::Iter<(String, Value)>)> =
            vec![(String::new(), fields.iter())];
        while let Some((path, fields)) = open.last_mut() {
            let Some((name, value)) = fields.next() else {
                open.pop();
                continue;
            };
            let name = match path.is_empty() {
                true => Cow::Borrowed(name.as_str()),
                false => Cow::Owned(format!("{path}.{name}")),
            };
            match value {
                Value::Record(inner) => open.push((name.into_owned(), inner.iter())),
                value => each(name, value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_the_paths_that_they_are_given_with() {
        let value =
            Value::parse(r#"{"a": {"b": 1, "c": {"d": [2]}}, "e.f": 3, "e": {"g": 4}}"#).unwrap();
        let mut paths = Vec::new();
        value.each_field(&mut |path, field| {
            assert_eq!(value.at_path(&path), Some(field));
            paths.push(path.into_owned());
        });
        assert_eq!(paths, ["a.b", "a.c.d", "e.f", "e.g"]);
        assert_eq!(value.at_path("a.x"), None);
        assert_eq!(Value::Int(1).at_path("a"), None);
    }
}
