//! What to do about a group without a value, as people read it.

use crate::model::{Loop, Uncounted};

/// Words for a group over a loop.
#[derive(Clone, Copy)]
pub(super) struct Advice<'a> {
    pub(super) of: &'a Loop,
    /// Whether a program has set the policy: methods are named then, and no keys of job files.
    pub(super) in_code: bool,
}

impl Advice<'_> {
    /// What lets a group count of whose points only a fraction has a result.
    pub(super) fn allowing(self, fraction: f64) -> String {
        let place = match (self.in_code, self.of.require) {
            (true, _) => return format!("Study::require({fraction}) would allow that"),
            (false, Some(_)) => "",
            (false, None) => " or in [crunch]",
        };
        format!("require = {fraction} in loop '{}'{place} would allow that", self.of.name)
    }

    /// What gives its results a score, as a text that follows what one of them lacks.
    pub(super) fn naming_a_score(self, uncounted: &Uncounted) -> &'static str {
        match (self.in_code, uncounted) {
            (true, Uncounted { lacks_score: true, .. }) => {
                "; a number is its own score, and a struct needs a number field 'score'"
            }
            (false, Uncounted { lacks_score: true, is_record: true, .. }) => {
                "; [crunch] score names the field, or reduce = { max = \"FIELD\" }"
            }
            _ => "",
        }
    }
}
