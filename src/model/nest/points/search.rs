//! Looks for values among points: what may name a file, be none, or be too long for a program.

use crate::model::nest::points::Points;
use crate::model::nest::points::distribution::Distribution;
use crate::model::value::Value;

impl Points {
    /// Whether a point can be a string, and so a file name.
    pub(crate) fn may_name_files(&self) -> bool {
        match self {
            Points::Rows { .. } => true,
            Points::List(values) => {
                values.iter().any(|value| !matches!(value, Value::Int(_) | Value::Float(_)))
            }
            Points::Range { .. }
            | Points::Linspace { .. }
            | Points::Logspace { .. }
            | Points::Rounded { .. } => false,
            Points::Grid(named) | Points::Zip(named) => {
                named.iter().any(|n| n.points.may_name_files())
            }
            Points::Union(parts) => parts.iter().any(Points::may_name_files),
            Points::Random { draws, .. } => {
                draws.iter().any(|(_, draw)| matches!(draw, Distribution::Choice(_)))
            }
        }
    }

    /// A value that a point, or this field of it, can have, and that is wanted; of records that combine
    /// several sources, a part. Only what the user wrote is looked at: the numbers of a range and of random
    /// draws are never wanted.
    #[cfg(feature = "jobs")]
    pub(crate) fn find(
        &self,
        field: Option<&str>,
        wanted: &dyn Fn(&Value) -> bool,
    ) -> Option<&Value> {
        let is_meant = |name: &str| field.is_none_or(|field| field == name);
        match self {
            Points::List(values) | Points::Rows { records: values, .. } => {
                let mut meant = values.iter().filter_map(|value| match field {
                    Some(field) => value.field(field),
                    None => Some(value),
                });
                meant.find(|value| wanted(value))
            }
            Points::Range { .. }
            | Points::Linspace { .. }
            | Points::Logspace { .. }
            | Points::Rounded { .. } => None,
            Points::Grid(named) | Points::Zip(named) => {
                named.iter().filter(|n| is_meant(&n.name)).find_map(|n| n.points.find(None, wanted))
            }
            Points::Union(parts) => parts.iter().find_map(|part| part.find(field, wanted)),
            Points::Random { draws, .. } => {
                let meant = draws.iter().filter(|(name, _)| is_meant(name));
                meant.into_iter().find_map(|(_, draw)| match draw {
                    Distribution::Choice(values) => values.iter().find(|value| wanted(value)),
                    _ => None,
                })
            }
        }
    }

    /// Calls `see` with the values of the points, or of this field of them, until it says true; whether it
    /// did. Values are seen once where they combine, and the longest and shortest ones of a range. Whole
    /// records that are made of several sources have one type: one of them is seen.
    #[cfg(feature = "jobs")]
    pub(crate) fn any(&self, field: Option<&str>, see: &mut dyn FnMut(&Value) -> bool) -> bool {
        let is_record = !matches!(self, Points::Random { bare: true, .. });
        match (self, field) {
            (Points::List(values) | Points::Rows { records: values, .. }, Some(field)) => {
                values.iter().filter_map(|value| value.field(field)).any(see)
            }
            (Points::List(values), None) => values.iter().any(see),
            (Points::Union(parts), _) => parts.iter().any(|part| part.any(field, see)),
            (Points::Grid(named) | Points::Zip(named), Some(field)) => {
                named.iter().filter(|n| n.name == field).any(|n| n.points.any(None, see))
            }
            (Points::Random { count, design, seed, draws, .. }, Some(field)) if is_record => {
                let Some(at) = draws.iter().position(|(name, _)| name == field) else {
                    return false;
                };
                (0..*count).any(|i| see(&design.value(&draws[at], at, *seed, i, *count)))
            }
            (_, Some(_)) => false,
            (Points::Range { from, step, count }, None) => {
                let past_zero = (i128::from(*from) / -i128::from(*step)).max(0);
                let past_zero = u64::try_from(past_zero).unwrap_or(u64::MAX);
                let places = [0, past_zero, past_zero.saturating_add(1), *count - 1];
                places.into_iter().filter(|place| place < count).any(|i| see(&self.get(i)))
            }
            (Points::Linspace { .. } | Points::Logspace { .. } | Points::Rounded { .. }, None) => {
                (0..self.len()).any(|i| see(&self.get(i)))
            }
            (Points::Random { .. }, None) if !is_record => {
                (0..self.len()).any(|i| see(&self.get(i)))
            }
            (_, None) => (0..self.len().min(1)).any(|i| see(&self.get(i))),
        }
    }

    /// Whether a point, or this field of it, can be none, or lacks the field. Only what the user wrote is
    /// looked at.
    #[cfg(feature = "jobs")]
    pub(crate) fn may_be_none(&self, field: Option<&str>) -> bool {
        let is_none = |value: &Value| match field {
            Some(field) => value.field(field).is_none_or(|value| *value == Value::Null),
            None => *value == Value::Null,
        };
        match (self, field) {
            (Points::List(values) | Points::Rows { records: values, .. }, _) => {
                values.iter().any(is_none)
            }
            (Points::Union(parts), _) => parts.iter().any(|part| part.may_be_none(field)),
            (Points::Grid(named) | Points::Zip(named), Some(field)) => {
                let meant = named.iter().find(|n| n.name == field);
                meant.is_none_or(|n| n.points.may_be_none(None))
            }
            (Points::Random { draws, bare, .. }, _) if field.is_some() || *bare => {
                let meant = draws.iter().find(|(name, _)| field.is_none_or(|field| field == name));
                meant.is_none_or(|(_, draw)| {
                    matches!(draw, Distribution::Choice(values) if values.contains(&Value::Null))
                })
            }
            (_, field) => field.is_some(),
        }
    }
}
