//! Points that have a result and take no part, because too few of their own group have one.

use std::collections::VecDeque;

use crate::cli::ask::best::ranking::Ranking;
use crate::model::Key;
use crate::store::StoreReader;
use crate::util::error::Result;

/// How many groups are read at a time.
const TOGETHER: usize = 1000;

/// The groups without a value between the rows and the points that are ranked, read in grid order.
pub(super) struct LeftOutPoints<'a> {
    reader: &'a StoreReader,
    levels: Vec<IncompleteGroups>,
}

/// Those at one level, the next ones first.
struct IncompleteGroups {
    level: usize,
    numbers: VecDeque<u64>,
    /// From where on there may be more.
    from: Option<u64>,
}

impl<'a> LeftOutPoints<'a> {
    pub(super) fn new(reader: &'a StoreReader, ranking: &Ranking) -> LeftOutPoints<'a> {
        let between = ranking.group + 1..ranking.level;
        let levels = reader.nest().group_levels().filter(|level| between.contains(level));
        let groups = |level| IncompleteGroups { level, numbers: VecDeque::new(), from: Some(0) };
        LeftOutPoints { reader, levels: levels.map(groups).collect() }
    }

    /// Whether a point, which comes after those before, is in one of them.
    pub(super) fn has(&mut self, place: Key) -> Result<bool> {
        for groups in &mut self.levels {
            let around = self.reader.nest().ancestor(place, groups.level).index;
            if groups.next(self.reader, around)? == Some(around) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl IncompleteGroups {
    /// The first one from a number on.
    fn next(&mut self, reader: &StoreReader, number: u64) -> Result<Option<u64>> {
        loop {
            while self.numbers.front().is_some_and(|first| *first < number) {
                self.numbers.pop_front();
            }
            match (self.numbers.front(), self.from) {
                (Some(first), _) => return Ok(Some(*first)),
                (None, None) => return Ok(None),
                (None, Some(from)) => {
                    let found =
                        reader.results.incomplete_groups(self.level, from.max(number), TOGETHER)?;
                    let last = found.last().filter(|_| found.len() == TOGETHER);
                    self.from = last.map(|last| last + 1);
                    self.numbers = found.into();
                }
            }
        }
    }
}
