//! The runs of a group as a user's reduction gets them, in any language.

use std::borrow::Cow;
use std::time::Duration;

use crate::model::{Key, LoopNest, SlotResult, Value};

/// The beginning of a reduction's name in a child; its loop's level follows.
pub(super) const REDUCE: &str = "reduce ";

/// How long a reduction may take: a way out, not a limit for anyone's work.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Each run's points by name, and its status, value and score.
pub(super) fn described<'a>(
    nest: &'a LoopNest,
    group: Key,
    items: &'a [SlotResult],
) -> impl Iterator<Item = Vec<(&'a str, Cow<'a, Value>)>> {
    let level = nest.item_level(group.level);
    nest.items(group).zip(items).map(move |(index, item)| {
        let points = nest.coordinates(Key { level, index }).into_iter();
        let mut fields: Vec<_> = points.map(|(name, value)| (name, Cow::Owned(value))).collect();
        let result = item.result.as_ref();
        let status: Value = if result.is_some() { "ok" } else { "failed" }.into();
        let score = result.and_then(|scored| scored.score);
        fields.extend([
            ("status", Cow::Owned(status)),
            ("value", result.map_or(Cow::Owned(Value::Null), |scored| scored.value.get())),
            ("score", Cow::Owned(score.map_or(Value::Null, Value::Float))),
        ]);
        fields
    })
}
