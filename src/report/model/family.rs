//! Families of parameters: points at which the same parameters apply. Each has axes of its own, so that no
//! chart has a place for what does not apply.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Key, LoopNest, Reduce, Value};
use crate::report::in_words;
use crate::report::model::axis::Axis;
use crate::report::model::landscape_plan::LandscapePlan;
use crate::store::StoppedPoints;

/// So many stopped points of a data set are shown.
const STOPPED: usize = 5000;

/// Points of the parameters at which the same of them apply.
pub(crate) struct Family {
    /// What its points have in common; empty if there is one family.
    pub(crate) name: String,
    /// What varies among its points: loops, or fields of their points.
    pub(crate) axes: Vec<Axis>,
    /// The number of its points.
    pub(crate) points: usize,
    /// The data sets that have any of them.
    pub(crate) panels: Vec<Panel>,
}

/// One data set's scores in a family.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Panel {
    pub(crate) name: String,
    /// The points of the family that the data set has, in its order.
    pub(crate) points: Vec<u32>,
    /// The score at each of them; NaN if missing.
    pub(crate) scores: Vec<f64>,
    /// The standard deviation of what each of them folds; NaN if there is none. Empty if they are no means.
    pub(crate) deviations: Vec<f64>,
    /// The points that were stopped early and have no score, and why; the first of them.
    pub(crate) stopped: Vec<(usize, String)>,
    /// The place in `points` of the data set's best point by the loops' max and min, if it is in this family.
    pub(crate) best: Option<usize>,
}

impl Panel {
    /// Each of its points, with the score.
    pub(crate) fn each(&self) -> impl Iterator<Item = (usize, f64)> {
        self.points.iter().map(|point| *point as usize).zip(self.scores.iter().copied())
    }

    /// The best point, with the score.
    pub(crate) fn winner(&self) -> Option<(usize, f64)> {
        self.best.map(|best| (self.points[best] as usize, self.scores[best]))
    }

    /// The score at each point of the family; NaN if it is missing, or the data set does not have the point.
    pub(crate) fn by_point(&self, family: &Family) -> Vec<f64> {
        self.placed(family, &self.scores)
    }

    /// The same of the standard deviations.
    pub(crate) fn deviations_by_point(&self, family: &Family) -> Vec<f64> {
        self.placed(family, &self.deviations)
    }

    fn placed(&self, family: &Family, values: &[f64]) -> Vec<f64> {
        let mut placed = vec![f64::NAN; family.points];
        let points = self.points.iter().map(|point| *point as usize);
        points.zip(values).for_each(|(point, value)| placed[point] = *value);
        placed
    }

    /// Whether it has all points of the family.
    pub(crate) fn is_whole(&self, family: &Family) -> bool {
        self.points.len() == family.points
    }
}

/// A loop, or a field of its points.
struct ParameterColumn {
    level: usize,
    name: String,
    /// With its usual place in the record.
    field: Option<(String, usize)>,
}

impl ParameterColumn {
    fn all(nest: &LoopNest, levels: &[usize]) -> Vec<ParameterColumn> {
        let of_loop = |level: &usize| {
            let l = &nest.loops()[*level];
            let column = |field: Option<(String, usize)>| {
                let name = match &field {
                    Some((field, _)) => format!("{}.{field}", l.name),
                    None => l.name.clone(),
                };
                ParameterColumn { level: *level, name, field }
            };
            match l.points.fields() {
                fields if fields.is_empty() || l.has_labels() => vec![column(None)],
                fields => fields.into_iter().zip(0..).map(|field| column(Some(field))).collect(),
            }
        };
        levels.iter().flat_map(of_loop).collect()
    }

    /// The value at a point of its loop; `None` if it does not apply there.
    fn value(&self, nest: &LoopNest, point: u64) -> Option<Value> {
        let l = &nest.loops()[self.level];
        if l.none == Some(point) {
            return None;
        }
        match &self.field {
            Some((field, place)) => l.points.field(point, field, *place),
            None => Some(l.shown(point)),
        }
    }
}

/// The best point of a data set whose group has closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SetBest {
    /// Its index at the level of the scores; nothing if too few points have a result.
    pub(super) winner: Option<u64>,
    /// Whether it is the best of less than all points.
    pub(super) is_partial: bool,
}

/// A data set: its points, and where its parameters' points went, in the order of the nest.
struct Set {
    /// The index of its first score.
    first: u64,
    points: Vec<u64>,
    /// By point: its family, and its place among the family's points.
    places: Vec<(u32, u32)>,
    /// The indices of its scores, if any points were stopped.
    indices: Vec<u64>,
    scores: Vec<f64>,
    deviations: Vec<f64>,
}

/// Numbers things in the order in which they come.
#[derive(Default)]
struct Numbers {
    known: HashMap<Vec<u64>, u32>,
    all: Vec<Vec<u64>>,
}

impl Numbers {
    fn of(&mut self, points: &[u64]) -> (u32, bool) {
        if let Some(number) = self.known.get(points) {
            return (*number, false);
        }
        let number = self.all.len() as u32;
        self.known.insert(points.to_vec(), number);
        self.all.push(points.to_vec());
        (number, true)
    }
}

/// The families of the scores, and of their standard deviations if there are any, of the first keys at the plan's level.
/// `known` has the best of data sets, by the index of their first score.
pub(super) fn families(
    nest: &LoopNest,
    plan: &LandscapePlan,
    (scores, deviations, stopped): (&[f64], &[f64], Option<&StoppedPoints>),
    decided: bool,
    known: &BTreeMap<u64, SetBest>,
) -> Vec<Family> {
    let columns = ParameterColumn::all(nest, &plan.params);
    let (mut set_numbers, mut point_numbers) = (Numbers::default(), Numbers::default());
    let mut patterns: HashMap<Vec<bool>, u32> = HashMap::new();
    let mut members: Vec<Vec<u32>> = Vec::new(); // by family: the numbers of its points
    let mut places: Vec<(u32, u32)> = Vec::new(); // by number
    let mut sets: Vec<Set> = Vec::new();
    let (mut of_set, mut of_point) = (Vec::new(), Vec::new());
    for (index, score) in scores.iter().enumerate() {
        let indices = nest.indices(Key { level: plan.level, index: index as u64 });
        of_set.clear();
        of_set.extend(plan.sets.iter().map(|level| indices[*level]));
        of_point.clear();
        of_point.extend(plan.params.iter().map(|level| indices[*level]));
        let (set, is_new) = set_numbers.of(&of_set);
        if is_new {
            sets.push(Set {
                first: index as u64,
                points: of_set.clone(),
                places: Vec::new(),
                indices: Vec::new(),
                scores: Vec::new(),
                deviations: Vec::new(),
            });
        }
        let (point, is_new) = point_numbers.of(&of_point);
        if is_new {
            let applies =
                |column: &ParameterColumn| column.value(nest, indices[column.level]).is_some();
            let next = members.len() as u32;
            let family =
                *patterns.entry(columns.iter().map(applies).collect()).or_insert_with(|| {
                    members.push(Vec::new());
                    next
                });
            let own = &mut members[family as usize];
            places.push((family, own.len() as u32));
            own.push(point);
        }
        let set = &mut sets[set as usize];
        set.places.push(places[point as usize]);
        set.scores.push(*score);
        set.indices.extend(stopped.map(|_| index as u64));
        set.deviations.extend(deviations.get(index));
    }
    let points = |(family, place): (u32, u32)| {
        &point_numbers.all[members[family as usize][place as usize] as usize]
    };
    let reduces: Vec<&Option<Reduce>> =
        plan.params.iter().map(|level| &nest.loops()[*level].reduce).collect();
    let mut panels: Vec<Vec<(usize, Panel)>> = members.iter().map(|_| Vec::new()).collect();
    for (number, set) in sets.iter().enumerate() {
        let mut name = set_name(nest, &plan.sets, &set.points);
        // Of an open group, the scores do not tell where another point may be chosen, or by another field.
        let by_score = |reduce: &Reduce| !reduce.has_tolerance() && reduce.by().is_none();
        let winner = match known.get(&set.first) {
            Some(SetBest { winner, is_partial }) => {
                if *is_partial && !name.is_empty() {
                    name.push('*');
                }
                winner.and_then(|winner| usize::try_from(winner.checked_sub(set.first)?).ok())
            }
            None if decided && reduces.iter().copied().flatten().all(by_score) => {
                best(&set.scores, &reduces, |at| points(set.places[at]))
            }
            None => None,
        };
        for (at, (family, place)) in set.places.iter().enumerate() {
            let panels = &mut panels[*family as usize];
            if panels.last().is_none_or(|(last, _)| *last != number) {
                panels.push((number, Panel { name: name.clone(), ..Panel::default() }));
            }
            let Some((_, panel)) = panels.last_mut() else { continue };
            if winner == Some(at) && !set.scores[at].is_nan() {
                panel.best = Some(panel.points.len());
            }
            if set.scores[at].is_nan()
                && panel.stopped.len() < STOPPED
                && let (Some(stopped), Some(index)) = (stopped, set.indices.get(at))
                && let Some(point) = stopped.around(Key { level: plan.level, index: *index })
            {
                panel.stopped.push((*place as usize, point.words(nest)));
            }
            panel.points.push(*place);
            panel.scores.push(set.scores[at]);
            panel.deviations.extend(set.deviations.get(at));
        }
    }
    let values = |column: &ParameterColumn, members: &[u32]| -> Option<Vec<Value>> {
        let slot = plan.params.iter().position(|level| *level == column.level)?;
        let point = |number: &u32| point_numbers.all[*number as usize][slot];
        let mut known: HashMap<u64, Option<Value>> = HashMap::new();
        let value = |number| {
            let point = point(number);
            known.entry(point).or_insert_with(|| column.value(nest, point)).clone()
        };
        members.iter().map(value).collect()
    };
    let set_columns = ParameterColumn::all(nest, &plan.sets);
    let mut found = Vec::new();
    let mut descriptions = Vec::new();
    for (members, panels) in members.iter().zip(panels) {
        let mut own: Vec<(String, Vec<Value>)> = columns
            .iter()
            .filter_map(|column| Some((column.name.clone(), values(column, members)?)))
            .collect();
        let applying: Vec<String> = own.iter().map(|(name, _)| name.clone()).collect();
        let mut constants = Vec::new();
        for column in &set_columns {
            let slot = plan.sets.iter().position(|level| *level == column.level);
            let point = |(set, _): &(usize, Panel)| Some(sets[*set].points[slot?]);
            let values = panels.iter().map(|set| column.value(nest, point(set)?));
            if let Some(values) = values.collect::<Option<Vec<Value>>>() {
                constants.extend(constant(&column.name, &values));
            }
        }
        constants.extend(own.iter().filter_map(|(name, values)| constant(name, values)));
        descriptions.push(Description { applying, constants });
        if own.is_empty() {
            // No parameter applies: the one point of this family still has a place.
            let place = Value::from("no parameter applies");
            own.push(("parameters".to_string(), vec![place; members.len()]));
        }
        found.push(Family {
            name: String::new(),
            axes: Axis::all(own),
            points: members.len(),
            panels: panels.into_iter().map(|(_, panel)| panel).collect(),
        });
    }
    for (family, name) in found.iter_mut().zip(names(&descriptions)) {
        family.name = name;
    }
    found
}

/// What can be said of a family.
struct Description {
    /// The columns that apply.
    applying: Vec<String>,
    /// The columns that have one value, with it.
    constants: Vec<(String, String)>,
}

fn constant(name: &str, values: &[Value]) -> Option<(String, String)> {
    let first = values.first()?;
    values.iter().all(|value| value == first).then(|| (name.to_string(), in_words(first)))
}

/// A name for each family: the value that each column has in it and not in all others, if these are enough to
/// tell them apart; else also which parameters apply.
fn names(families: &[Description]) -> Vec<String> {
    if families.len() < 2 {
        return vec![String::new(); families.len()];
    }
    let everywhere = |name: &String| families.iter().all(|other| other.applying.contains(name));
    let conditional = |name: &String| {
        families.iter().any(|other| other.applying.contains(name)) && !everywhere(name)
    };
    let of_values = |family: &Description| {
        let differs = |constant: &&(String, String)| {
            !conditional(&constant.0)
                && families.iter().any(|other| !other.constants.contains(constant))
        };
        let words = family.constants.iter().filter(differs).map(|(name, v)| format!("{name} {v}"));
        words.collect::<Vec<_>>().join(", ")
    };
    let names: Vec<String> = families.iter().map(of_values).collect();
    let is_told = |name: &String| {
        !name.is_empty() && names.iter().filter(|other| *other == name).count() == 1
    };
    if names.iter().all(is_told) {
        return names;
    }
    let applying = |(family, name): (&Description, String)| {
        let own: Vec<&str> =
            family.applying.iter().filter(|name| conditional(name)).map(String::as_str).collect();
        let which = match own.as_slice() {
            [] => "no other parameter".to_string(),
            own => format!("with {}", own.join(", ")),
        };
        if name.is_empty() { which } else { format!("{name}, {which}") }
    };
    families.iter().zip(names).map(applying).collect()
}

/// Reduces a data set's points by the loops' max and min, innermost first; the first of equal ones wins.
/// `points` gives the points of the parameter loops at a place.
fn best<'p>(
    scores: &[f64],
    reduces: &[&Option<Reduce>],
    points: impl Fn(usize) -> &'p Vec<u64>,
) -> Option<usize> {
    // The first place of each group, and its winner.
    let there = |(i, score): (usize, &f64)| (i, (!score.is_nan()).then_some(i));
    let mut groups: Vec<(usize, Option<usize>)> = scores.iter().enumerate().map(there).collect();
    for level in (0..reduces.len()).rev() {
        // The points of a joined loop are compared as those of the loop around it.
        let around = reduces[..=level].iter().rev();
        let greatest = around.flat_map(|reduce| reduce.as_ref()).find_map(Reduce::takes_greatest);
        let low = greatest == Some(false);
        let better = |a: usize, b: usize| {
            if low { scores[b] < scores[a] } else { scores[b] > scores[a] }
        };
        let same = |a: &(usize, Option<usize>), b: &(usize, Option<usize>)| {
            points(a.0)[..level] == points(b.0)[..level]
        };
        let winner = |group: &[(usize, Option<usize>)]| {
            let own = group.iter().filter_map(|(_, winner)| *winner);
            (group[0].0, own.reduce(|a, b| if better(a, b) { b } else { a }))
        };
        groups = groups.chunk_by(same).map(winner).collect();
    }
    groups.first().and_then(|(_, winner)| *winner)
}

/// The label of a data set: its points, as far as the loops apply.
fn set_name(nest: &LoopNest, levels: &[usize], points: &[u64]) -> String {
    let loops = levels.iter().map(|level| &nest.loops()[*level]).zip(points);
    let applying: Vec<_> = loops.filter(|(l, point)| l.none != Some(**point)).collect();
    let names = applying.iter().map(|(l, point)| {
        let value = in_words(&l.shown(**point));
        if levels.len() > 1 { format!("{} {value}", l.name) } else { value }
    });
    names.collect::<Vec<_>>().join(", ")
}
