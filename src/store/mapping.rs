//! Matches a store and a layout: which point, and which task, of the one is which of the other.

use std::collections::BTreeMap;

use crate::job::{CombinedDigests, PointDigests, without_new_files};
use crate::model::{Key, Loop, LoopNest, Points, Value};
use crate::store::Layout;
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::store::layout::LoopLayout;
use crate::store::matching::{self, matches};
use crate::store::point_map::PointMap;
use crate::store::store_points::StorePoints;
use crate::store::union::{Moves, union};
use crate::util::error::{Error, Result};

impl Layout {
    /// This layout without the files that were not there when `before` was made: a run may have written
    /// them, so they do not count.
    pub(crate) fn without_new_files(mut self, before: &Layout) -> Layout {
        if self.loops().any(|here| before.named(&here.l.name).is_none()) {
            return self; // their runs cannot be matched
        }
        let mut places = Vec::new();
        for (level, here) in self.loops().enumerate() {
            let there = before.named(&here.l.name).expect("checked above");
            let has_files = here.named().is_some()
                || self.combined.iter().any(|combined| combined.loops.contains(&here.l.name));
            let matched = has_files.then(|| matches(&there, &here, true));
            places.push((level, matched.unwrap_or_default()));
        }
        let places: BTreeMap<usize, PointMap> = places.into_iter().collect();
        for (level, digests) in &mut self.digests {
            let (name, matched) = (&self.nest.loops()[*level].name, &places[level]);
            let there = before.named(name).expect("checked above");
            digests.retain(|point, digest| {
                let Some(old) = matched.old_of(*point) else { return true };
                match without_new_files(digest, there.digest(old).map(String::as_str)) {
                    Some(left) => *digest = left,
                    None => return false,
                }
                true
            });
        }
        let nest = &self.nest;
        let level = |name: &String| nest.loops().iter().position(|l| l.name == *name);
        for combined in &mut self.combined {
            let there = before.combined.iter().find(|there| there.word == combined.word);
            let Some(there) = there else { continue }; // an older store recorded none
            let levels: Vec<_> = combined.loops.iter().filter_map(level).collect();
            combined.digests.retain(|points, _| {
                let olds = levels.iter().zip(points).map(|(level, new)| places[level].old_of(*new));
                let olds: Option<Vec<u64>> = olds.collect();
                olds.is_none_or(|olds| there.digests.contains_key(&olds))
            });
        }
        self
    }

    /// How another layout of the same job differs from this one, if it does.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(super) fn difference(&self, now: &Layout) -> Option<String> {
        if self.names() != now.names() {
            let (was, is) = (self.names().join(", "), now.names().join(", "));
            return Some(format!("its loops were {was} and are {is}"));
        }
        for (was, is) in self.loops().zip(now.loops()) {
            let (name, points) = (&was.l.name, (was.l.points.len(), is.l.points.len()));
            if points.0 != points.1 {
                return Some(format!("loop '{name}' had {} points and has {}", points.0, points.1));
            }
            if was.is(&is) {
                continue;
            }
            let value = |here: &LoopLayout, point| here.l.points.get(point).to_json().to_string();
            let moved = (0..points.0).find(|point| was.identity(*point) != is.identity(*point));
            let point = moved.unwrap_or_default();
            return Some(match (value(&was, point), value(&is, point)) {
                (was, is) if was == is => format!("what {is} of loop '{name}' names has changed"),
                (was, is) => format!("point {point} of loop '{name}' was {was} and is {is}"),
            });
        }
        let is_same = self.is(now);
        (!is_same).then(|| "a file that points of its loops name together has changed".to_string())
    }

    /// The union of both layouts: each loop with the points of both, this one's first.
    pub(crate) fn union(&self, other: &Layout) -> Result<Layout> {
        let (mut loops, mut digests, mut moves) = (Vec::new(), PointDigests::new(), Moves::new());
        for (level, here) in self.loops().enumerate() {
            let there =
                other.named(&here.l.name).ok_or_else(|| changed_loops(&other.names(), self))?;
            let mut of_level = here.digests.cloned().unwrap_or_default();
            let mut l = here.l.clone();
            let mut moved = None;
            if !here.is(&there) {
                let points = &here.l.points;
                let mut values: Vec<Value> = (0..points.len()).map(|i| points.get(i)).collect();
                let match_of = matches(&there, &here, false);
                let points = &there.l.points;
                let mut now = Vec::new();
                for i in 0..points.len() {
                    let known = match_of.new_of(i);
                    now.push(known.unwrap_or(values.len() as u64));
                    if known.is_some() {
                        continue;
                    }
                    if let Some(digest) = there.digest(i) {
                        of_level.insert(values.len() as u64, digest.clone());
                    }
                    values.push(points.get(i));
                }
                l.none = l.none.or(there.l.none.map(|none| now[none as usize]));
                l.points = Points::List(values);
                moved = Some(now);
            }
            moves.push(moved);
            loops.push(l);
            digests.insert(level, of_level);
        }
        if other.nest.depth() != loops.len() {
            return Err(changed_loops(&other.names(), self));
        }
        let nest = union(&self.nest, (&other.nest, &moves), loops).map_err(Error::input)?;
        let mut both = Layout { nest, digests, combined: Vec::new(), was: BTreeMap::new() };
        both.combined = self.union_of_combined(other, &both)?;
        Ok(both)
    }

    /// The digests of what points name together, of this layout and then of the other, in the union of both.
    fn union_of_combined(&self, other: &Layout, union: &Layout) -> Result<Vec<CombinedDigests>> {
        let mut all: Vec<CombinedDigests> = Vec::new();
        for from in [self, other] {
            for of_word in &from.combined {
                let mut loops = of_word.loops.clone();
                let place = |name: &String| union.loops().position(|here| here.l.name == *name);
                loops.sort_by_key(place);
                let mut moves = Vec::new();
                for name in &loops {
                    let (Some(there), Some(here)) = (from.named(name), union.named(name)) else {
                        return Err(changed_loops(&from.names(), union));
                    };
                    let at = of_word.loops.iter().position(|known| known == name);
                    moves.push((at.unwrap_or_default(), matches(&there, &here, false)));
                }
                let moved = |(points, digest): (&Vec<u64>, &String)| {
                    let point = |(at, moved): &(usize, PointMap)| moved.new_of(*points.get(*at)?);
                    Some((moves.iter().map(point).collect::<Option<Vec<u64>>>()?, digest.clone()))
                };
                let digests = of_word.digests.iter().filter_map(moved);
                let word = &of_word.word;
                match all.iter_mut().find(|known| known.word == *word && known.loops == loops) {
                    Some(known) => {
                        for (points, digest) in digests {
                            known.digests.entry(points).or_insert(digest);
                        }
                    }
                    None => all.push(CombinedDigests {
                        word: word.clone(),
                        digests: digests.collect(),
                        loops,
                    }),
                }
            }
        }
        all.sort_by(|a, b| a.word.cmp(&b.word));
        Ok(all)
    }
}

/// The error for different loops: their runs cannot be matched.
pub(super) fn changed_loops(old: &[&str], new: &Layout) -> Error {
    let added = new.loops().find(|here| !old.contains(&here.l.name.as_str()));
    let way = added.map_or(String::new(), |added| {
        format!(
            "; if the runs that are there are those at one value of {}, say which in its loop: was = VALUE",
            added.l.name
        )
    });
    Error::input(format!(
        "its runs are of the loops {}, this job's loops are {}: they cannot be matched{way}; give another folder with --out, or --fresh to move them aside",
        old.join(", "),
        new.names().join(", ")
    ))
}

/// Maps the rows of a store, by the numbers of their points, to the tasks of a layout.
pub(super) struct Mapping {
    new: LoopNest,
    /// For each loop of the layout, where its points are in the store.
    loops: Vec<LoopMapping>,
    /// Loops that the layout lacks: the level in the store, and the point where it did not apply.
    gone: Vec<(usize, u64)>,
    combined: Vec<CombinedMapping>,
    /// Whether points have other values now, in fields that are new.
    has_new_fields: bool,
}

enum LoopMapping {
    /// The level in the store, and the position of each of its points.
    Old(usize, PointMap),
    /// The loop is new: the runs of the store are those at this point. Nothing if it is not among the loop's
    /// points.
    New(Option<u64>),
}

/// The digests of files that points name together, in both layouts.
pub(super) struct CombinedMapping {
    /// The levels of its loops in the store.
    old: Vec<usize>,
    before: BTreeMap<Vec<u64>, String>,
    /// The same for the new layout.
    new: Vec<usize>,
    now: BTreeMap<Vec<u64>, String>,
}

impl CombinedMapping {
    fn all(old: &StorePoints, new: &Layout) -> Vec<CombinedMapping> {
        let levels = |loops: &[Loop], combined: &CombinedDigests| -> Vec<usize> {
            let level = |name: &String| loops.iter().position(|l| l.name == *name);
            combined.loops.iter().filter_map(level).collect()
        };
        let of_word = |before: &CombinedDigests| {
            let now = new.combined.iter().find(|now| now.word == before.word)?;
            // In the order of the new layout's loops on both sides.
            let old_levels = levels(&old.loops, now);
            let sorted = levels(&old.loops, before);
            let of_old = |(points, digest): (&Vec<u64>, &String)| {
                let point = |level: &usize| {
                    sorted.iter().position(|known| known == level).map(|at| points[at])
                };
                Some((old_levels.iter().map(point).collect::<Option<_>>()?, digest.clone()))
            };
            Some(CombinedMapping {
                before: before.digests.iter().filter_map(of_old).collect(),
                new: levels(new.nest.loops(), now),
                now: now.digests.clone(),
                old: old_levels,
            })
        };
        old.combined.iter().filter_map(of_word).collect()
    }

    /// Whether the file of a run is the same in both layouts, or was not there before.
    fn is_same(&self, old: &[u64], new: &[u64]) -> bool {
        let at = |levels: &[usize], points: &[u64]| -> Vec<u64> {
            levels.iter().map(|level| points[*level]).collect()
        };
        let before = self.before.get(&at(&self.old, old));
        before.is_none_or(|before| self.now.get(&at(&self.new, new)) == Some(before))
    }

    /// Whether the file of a run has changed, where the points that name it are there. Its other points may be
    /// gone: what is known of the file is of today from now on.
    pub(super) fn has_changed(&self, points: &[u64], positions: &[PointMap]) -> bool {
        let old: Vec<u64> = self.old.iter().map(|level| points[*level]).collect();
        let moved = self.new.iter().zip(&old);
        let now: Option<Vec<u64>> =
            moved.map(|(level, point)| positions[*level].new_of(*point)).collect();
        match (self.before.get(&old), now) {
            (Some(before), Some(now)) => self.now.get(&now) != Some(before),
            _ => false,
        }
    }
}

impl Mapping {
    /// Fails if the loops differ; their order may differ, and one side may have loops that do not apply to the
    /// runs of the other.
    pub(super) fn new(old: &StorePoints, new: &Layout) -> Result<Mapping> {
        let (mut loops, mut has_new_fields) = (Vec::new(), false);
        for here in new.loops() {
            let mut all = old.loops().enumerate();
            let there = all.find(|(_, there)| there.l.name == here.l.name);
            loops.push(match (there, here.l.none) {
                (Some((level, there)), _) => {
                    let moved = matches(&there, &here, false);
                    has_new_fields |= matching::has_new_fields(&there, &here, &moved);
                    LoopMapping::Old(level, moved)
                }
                (None, none) => match new.was.get(&here.l.name) {
                    Some(was) => LoopMapping::New(here.point_of(was)),
                    None if none.is_some() => LoopMapping::New(none),
                    None => return Err(changed_loops(&old.names(), new)),
                },
            });
        }
        let gone = old.loops().enumerate().filter(|(_, l)| new.named(&l.l.name).is_none());
        let gone = gone.map(|(level, l)| Some((level, l.l.none?))).collect::<Option<_>>();
        let gone = gone.ok_or_else(|| changed_loops(&old.names(), new))?;
        let combined = CombinedMapping::all(old, new);
        Ok(Mapping { new: new.nest.clone(), loops, gone, combined, has_new_fields })
    }

    /// The task of the run at these points of the store, if the layout has it.
    pub(super) fn task(&self, points: &[u64]) -> Option<u64> {
        if self.gone.iter().any(|(level, none)| points[*level] != *none) {
            return None;
        }
        let (mut key, mut now) = (Key::ROOT, Vec::with_capacity(self.loops.len()));
        for l in &self.loops {
            let place = match l {
                LoopMapping::New(point) => (*point)?,
                LoopMapping::Old(level, moved) => moved.new_of(points[*level])?,
            };
            key = self.new.child_at(key, place)?;
            now.push(place);
        }
        self.combined.iter().all(|files| files.is_same(points, &now)).then_some(key.index)
    }

    /// Where the layout has each point of the store, by level, if both have the same loops in the same order
    /// and the points have their values. Also the files that points name together.
    pub(super) fn same_loops(self) -> Option<(Vec<PointMap>, Vec<CombinedMapping>)> {
        let moved = |(level, l): (usize, LoopMapping)| match l {
            LoopMapping::Old(old, moved) => Some(moved).filter(|_| old == level),
            LoopMapping::New(_) => None,
        };
        if !self.gone.is_empty() || self.has_new_fields {
            return None;
        }
        let maps = self.loops.into_iter().enumerate().map(moved).collect::<Option<_>>()?;
        Some((maps, self.combined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Loop;

    type Given<'a> = (&'a str, &'a [i64], &'a [(u64, &'a str)]);

    fn layout(loops: &[Given]) -> Layout {
        let list = |(name, values, _): &Given| {
            let points = Points::List(values.iter().map(|v| Value::Int(*v)).collect());
            Loop::new(*name, points, None)
        };
        let digests = |(_, _, digests): &Given| {
            digests.iter().map(|(i, digest)| (*i, digest.to_string())).collect()
        };
        Layout {
            nest: LoopNest::new(loops.iter().map(list).collect()).unwrap(),
            digests: loops.iter().map(digests).enumerate().collect(),
            combined: Vec::new(),
            was: BTreeMap::new(),
        }
    }

    fn known(layout: &Layout) -> StorePoints {
        let Layout { nest, digests, combined, .. } = layout.clone();
        StorePoints { loops: nest.loops().to_vec(), digests, combined }
    }

    fn moved(old: &Layout, new: &Layout) -> Vec<Option<u64>> {
        let mapping = Mapping::new(&known(old), new).unwrap();
        let points = |task| old.nest.indices(old.nest.task(task));
        (0..old.nest.tasks()).map(|task| mapping.task(&points(task))).collect()
    }

    #[test]
    fn points_are_found_where_they_went() {
        let old = layout(&[("a", &[1, 2], &[]), ("b", &[7, 8], &[])]);
        assert_eq!(moved(&old, &old), [Some(0), Some(1), Some(2), Some(3)]);
        let grown = layout(&[("a", &[1, 2], &[]), ("b", &[6, 8, 7], &[])]);
        assert_eq!(moved(&old, &grown), [Some(2), Some(1), Some(5), Some(4)]);
        let shrunk = layout(&[("a", &[2], &[]), ("b", &[7, 8], &[])]);
        assert_eq!(moved(&old, &shrunk), [None, None, Some(0), Some(1)]);
        let turned = layout(&[("b", &[7, 8], &[]), ("a", &[1, 2], &[])]);
        assert_eq!(moved(&old, &turned), [Some(0), Some(2), Some(1), Some(3)]);
    }

    #[test]
    fn equal_points_are_matched_one_to_one() {
        let old = layout(&[("a", &[5, 5], &[])]);
        let new = layout(&[("a", &[5, 4, 5, 5], &[])]);
        assert_eq!(moved(&old, &new), [Some(0), Some(2)]);
        assert_eq!(moved(&new, &old), [Some(0), None, Some(1), None]);
    }

    #[test]
    fn what_changed_its_content_is_another_point() {
        let old = layout(&[("file", &[1, 2], &[(0, "abc"), (1, "def")])]);
        let new = layout(&[("file", &[1, 2], &[(0, "abc"), (1, "xyz")])]);
        assert!(!old.is(&new));
        assert_eq!(moved(&old, &new), [Some(0), None]);
    }

    #[test]
    fn a_union_has_the_files_of_both() {
        let with_files = |mut layout: Layout, loops: &[&str], files: &[(&[u64], &str)]| {
            let digests = files.iter().map(|(at, digest)| (at.to_vec(), digest.to_string()));
            let loops = loops.iter().map(|name| name.to_string()).collect();
            let (word, digests) = ("{a}_{b}".to_string(), digests.collect());
            layout.combined.push(CombinedDigests { word, loops, digests });
            layout
        };
        let here = layout(&[("a", &[1], &[]), ("b", &[7, 8], &[])]);
        let here = with_files(here, &["a", "b"], &[(&[0, 0], "17"), (&[0, 1], "18")]);
        let there = layout(&[("b", &[8, 9], &[]), ("a", &[2, 1], &[])]);
        let files: [(&[u64], &str); 3] = [(&[0, 0], "28"), (&[1, 0], "29"), (&[0, 1], "other")];
        let there = with_files(there, &["b", "a"], &files);
        let both = here.union(&there).unwrap();
        let expected = [
            (vec![0, 0], "17".to_string()),
            (vec![0, 1], "18".to_string()),
            (vec![1, 1], "28".to_string()),
            (vec![1, 2], "29".to_string()),
        ];
        assert_eq!(both.combined[0].digests, BTreeMap::from(expected));
        assert_eq!(moved(&here, &both), [Some(0), Some(1)]);
        // A file with another content than in the first store belongs to another run.
        assert_eq!(moved(&there, &both), [Some(4), None, Some(5), Some(2)]);
    }

    #[test]
    fn a_union_has_the_points_of_both() {
        let here = layout(&[("a", &[1, 2], &[(1, "x")]), ("b", &[7], &[])]);
        let there = layout(&[("b", &[7], &[]), ("a", &[3, 2, 1], &[(0, "y"), (1, "z")])]);
        let both = here.union(&there).unwrap();
        let expected =
            layout(&[("a", &[1, 2, 3, 2], &[(1, "x"), (2, "y"), (3, "z")]), ("b", &[7], &[])]);
        assert!(both.is(&expected), "{both:?}");
        assert_eq!(moved(&there, &both), [Some(2), Some(3), Some(0)]);
        let other = layout(&[("a", &[1], &[])]);
        assert!(other.union(&here).is_err() && here.union(&other).is_err());
        assert!(
            Mapping::new(&known(&here), &other).is_err()
                && Mapping::new(&known(&other), &here).is_err()
        );
    }
}
