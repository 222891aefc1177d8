//! A command as crunch: a program and its arguments, some of which stand there only where a condition holds.
//!
//! Conditions are evaluated on rank 0 when the job is parsed, once for each combination of the points that
//! they name, with the SQLite and the limit of `where` and `only_if`. Workers get the outcome as a table, so
//! that no rank evaluates anything, and every rank builds the same command line.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[cfg(feature = "jobs")]
use crate::job::placeholders::Template;
#[cfg(feature = "jobs")]
use crate::model::LoopNest;

/// The largest table with a bit for each combination of points, whether it is in the nest or not.
const MOST_BITS: u128 = 100_000_000;

/// A program and its arguments, as text or parsed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommandWords<T = String> {
    pub(crate) program: T,
    pub(crate) arguments: Vec<Argument<T>>,
}

/// An argument, or those that stand there where a condition holds and where it does not.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Argument<T = String> {
    Text(T),
    If { condition: String, holds: TruthTable, then: Vec<Argument<T>>, otherwise: Vec<Argument<T>> },
}

/// Where a condition over points of loops holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TruthTable {
    /// The levels of the loops that it names, and how many points each has.
    loops: Vec<(usize, u64)>,
    truths: Truths,
}

/// What is known by the number of a combination of points, which counts the last loop's fastest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Truths {
    /// A bit for each.
    Bits(Bytes),
    /// The combinations from which on it holds, does not, and so on. For few combinations of many points.
    Changes(Vec<u128>),
}

impl TruthTable {
    /// The table of a condition over the loops at these levels, which ascend.
    #[cfg(feature = "jobs")]
    pub(crate) fn of<E>(
        nest: &LoopNest,
        levels: &[usize],
        mut holds: impl FnMut(&[u64]) -> Result<bool, E>,
    ) -> Result<TruthTable, E> {
        let loops: Vec<(usize, u64)> =
            levels.iter().map(|level| (*level, nest.loops()[*level].points.len())).collect();
        let all = loops.iter().fold(1u128, |all, (_, size)| all.saturating_mul((*size).into()));
        let (mut bits, mut changes) = (Vec::new(), Vec::new());
        let is_small = all <= MOST_BITS;
        if is_small {
            bits.resize(all.div_ceil(8) as usize, 0u8);
        }
        nest.combinations(levels, &mut |points| {
            let sizes = loops.iter().map(|(_, size)| *size);
            let number = number(sizes.zip(points.iter().copied()));
            let truth = holds(points)?;
            match is_small {
                true => bits[(number / 8) as usize] |= u8::from(truth) << (number % 8),
                false if truth != (changes.len() % 2 == 1) => changes.push(number),
                false => {}
            }
            Ok(())
        })?;
        let truths = if is_small { Truths::Bits(bits.into()) } else { Truths::Changes(changes) };
        Ok(TruthTable { loops, truths })
    }

    /// The levels of the loops that the condition names.
    #[cfg(feature = "jobs")]
    pub(crate) fn levels(&self) -> impl Iterator<Item = usize> {
        self.loops.iter().map(|(level, _)| *level)
    }

    /// Whether the condition holds; `point` gives the point of the loop at a level. The error is the level
    /// whose point is not known.
    pub(crate) fn holds(&self, point: &impl Fn(usize) -> Option<u64>) -> Result<bool, usize> {
        let at = |(level, size): &(usize, u64)| Ok((*size, point(*level).ok_or(*level)?));
        let places = self.loops.iter().map(at).collect::<Result<Vec<_>, usize>>()?;
        let number = number(places.into_iter());
        Ok(match &self.truths {
            Truths::Bits(bits) => {
                bits.get((number / 8) as usize).is_some_and(|byte| byte >> (number % 8) & 1 == 1)
            }
            Truths::Changes(changes) => changes.partition_point(|at| *at <= number) % 2 == 1,
        })
    }
}

/// The number of a combination, from the number of points of each loop and its point.
fn number(places: impl Iterator<Item = (u64, u64)>) -> u128 {
    places.fold(0, |number: u128, (size, point)| {
        number.wrapping_mul(size.into()).wrapping_add(point.into())
    })
}

impl CommandWords {
    /// The program and all arguments, whatever they stand in.
    pub(crate) fn all(&self) -> Vec<&str> {
        fn collect<'a>(arguments: &'a [Argument], all: &mut Vec<&'a str>) {
            for argument in arguments {
                match argument {
                    Argument::Text(text) => all.push(text),
                    Argument::If { then, otherwise, .. } => {
                        collect(then, all);
                        collect(otherwise, all);
                    }
                }
            }
        }
        let mut all = vec![self.program.as_str()];
        collect(&self.arguments, &mut all);
        all
    }

    /// The words of a command without placeholders and conditions, as they are given to a program.
    #[cfg(feature = "jobs")]
    pub(crate) fn plain(&self) -> Vec<String> {
        let plain = |word: &str| Template::parse(word).ok().and_then(|word| word.plain());
        self.all().into_iter().filter_map(plain).collect()
    }

    /// The program and arguments, one list for each way to choose the branches; `None` if there are more
    /// than `most`.
    #[cfg(feature = "jobs")]
    pub(crate) fn variants(&self, most: usize) -> Option<Vec<Vec<&str>>> {
        fn longer<'a>(
            before: Vec<Vec<&'a str>>,
            arguments: &'a [Argument],
            most: usize,
        ) -> Option<Vec<Vec<&'a str>>> {
            let mut all = before;
            for argument in arguments {
                match argument {
                    Argument::Text(text) => all.iter_mut().for_each(|words| words.push(text)),
                    Argument::If { then, otherwise, .. } => {
                        let mut both = longer(all.clone(), then, most)?;
                        both.extend(longer(all, otherwise, most)?);
                        all = both;
                    }
                }
                if all.len() > most {
                    return None;
                }
            }
            Some(all)
        }
        longer(vec![vec![self.program.as_str()]], &self.arguments, most)
    }
}

impl<T> CommandWords<T> {
    /// The arguments of the task at these points; for `point` and the error see [`TruthTable::holds`].
    pub(crate) fn arguments(
        &self,
        point: &impl Fn(usize) -> Option<u64>,
    ) -> Result<Vec<&T>, usize> {
        fn collect<'a, T>(
            arguments: &'a [Argument<T>],
            point: &impl Fn(usize) -> Option<u64>,
            found: &mut Vec<&'a T>,
        ) -> Result<(), usize> {
            for argument in arguments {
                match argument {
                    Argument::Text(text) => found.push(text),
                    Argument::If { holds, then, otherwise, .. } => {
                        let branch = if holds.holds(point)? { then } else { otherwise };
                        collect(branch, point, found)?;
                    }
                }
            }
            Ok(())
        }
        let mut found = Vec::new();
        collect(&self.arguments, point, &mut found)?;
        Ok(found)
    }

    /// The same words, each parsed.
    #[cfg(feature = "jobs")]
    pub(crate) fn parsed<U>(&self, parse: &impl Fn(&T) -> U) -> CommandWords<U> {
        fn each<T, U>(arguments: &[Argument<T>], parse: &impl Fn(&T) -> U) -> Vec<Argument<U>> {
            let of_one = |argument: &Argument<T>| match argument {
                Argument::Text(text) => Argument::Text(parse(text)),
                Argument::If { condition, holds, then, otherwise } => Argument::If {
                    condition: condition.clone(),
                    holds: holds.clone(),
                    then: each(then, parse),
                    otherwise: each(otherwise, parse),
                },
            };
            arguments.iter().map(of_one).collect()
        }
        CommandWords { program: parse(&self.program), arguments: each(&self.arguments, parse) }
    }
}

/// As the job file has them: this is a part of crunch's identity.
impl fmt::Debug for CommandWords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program: [&dyn fmt::Debug; 1] = [&self.program];
        let arguments = self.arguments.iter().map(|argument| argument as &dyn fmt::Debug);
        out.debug_list().entries(program).entries(arguments).finish()
    }
}

impl fmt::Debug for Argument {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Text(text) => text.fmt(out),
            Argument::If { condition, then, otherwise, .. } => {
                write!(out, "{{ if = {condition}, then = {then:?}, else = {otherwise:?} }}")
            }
        }
    }
}

/// The same for people, who need no quotes.
impl fmt::Display for CommandWords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| match argument {
            Argument::Text(text) => write!(out, " {text}"),
            conditional => write!(out, " {conditional:?}"),
        })
    }
}

#[cfg(all(test, feature = "jobs"))]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::model::Selection;
    use crate::model::by_hand::{counted, families, product};

    /// One point inside each of 30,000 points.
    struct OneInside;

    impl Selection for OneInside {
        fn size(&self, _: usize) -> u64 {
            30_000
        }

        fn select(&mut self, _: usize, around: &[u64]) -> Result<Vec<Range<u64>>, String> {
            let point = around[0] * 7 % 30_000;
            Ok(std::iter::once(point..point + 1).collect())
        }
    }

    fn text(text: &str) -> Argument {
        Argument::Text(text.to_string())
    }

    /// A table of the combinations of points that are wanted, checked at every task.
    fn table(nest: &LoopNest, levels: &[usize], wanted: impl Fn(&[u64]) -> bool) -> TruthTable {
        let table = TruthTable::of(nest, levels, |points| Ok::<_, ()>(wanted(points))).unwrap();
        for task in (0..nest.tasks()).step_by((nest.tasks() / 1000).max(1) as usize) {
            let points = nest.indices(nest.task(task));
            let own: Vec<u64> = levels.iter().map(|level| points[*level]).collect();
            let holds = table.holds(&|level| points.get(level).copied());
            assert_eq!(holds, Ok(wanted(&own)), "{own:?}");
        }
        table
    }

    #[test]
    fn a_table_has_the_truth_of_every_task() {
        let nest = families();
        table(&nest, &[], |_| true);
        table(&nest, &[1], |points| points[0] == 1);
        table(&nest, &[1, 3, 4], |points| points[0] + points[1] + points[2] == 2);
        // 10^12 combinations, of which few are there: they are no bits.
        let large = product(&[("a", 3, None), ("b", 5, None), ("c", 1 << 40, None)]);
        let bits = table(&large, &[0, 1], |points| points[0] == points[1]);
        assert!(matches!(bits.truths, Truths::Bits(_)), "{bits:?}");
        let rows = LoopNest::dependent(
            ["a", "b"].map(|name| counted(name, 30_000, None)).into(),
            vec![None, Some([0].into())],
            &mut OneInside,
        );
        let changes = table(&rows.unwrap(), &[0, 1], |points| points[0] * points[1] % 3 == 0);
        assert!(matches!(&changes.truths, Truths::Changes(all) if all.len() > 1000));
    }

    #[test]
    fn arguments_are_those_of_the_branches_taken() {
        let nest = families();
        let at = |wanted: u64| table(&nest, &[1], move |points| points[0] == wanted);
        let inner = Argument::If {
            condition: "\"b\"".to_string(),
            holds: at(0),
            then: vec![text("never")],
            otherwise: vec![text("2"), text("3")],
        };
        let words = CommandWords {
            program: "fit".to_string(),
            arguments: vec![
                text("1"),
                Argument::If {
                    condition: "\"a\"".to_string(),
                    holds: at(1),
                    then: vec![inner],
                    otherwise: vec![],
                },
                text("4"),
            ],
        };
        let of = |model: u64| words.arguments(&|level| (level == 1).then_some(model));
        assert_eq!(of(0).unwrap(), ["1", "4"]);
        assert_eq!(of(1).unwrap(), ["1", "2", "3", "4"]);
        let parsed = words.parsed(&|text| format!("<{text}>"));
        assert_eq!(parsed.program, "<fit>");
        assert_eq!(parsed.arguments(&|_| Some(1)).unwrap(), ["<1>", "<2>", "<3>", "<4>"]);
        assert_eq!(words.arguments(&|_| None), Err(1));
        assert_eq!(words.all(), ["fit", "1", "never", "2", "3", "4"]);
        assert_eq!(words.variants(3).unwrap().len(), 3);
        assert_eq!(words.variants(2), None);
        let debug = r#"["fit", "1", { if = "a", then = [{ if = "b", then = ["never"], else = ["2", "3"] }], else = [] }, "4"]"#;
        assert_eq!(format!("{words:?}"), debug);
    }
}
