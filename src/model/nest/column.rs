//! A column of whole numbers: four bytes each, or eight once one of them needs it.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Column {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Column {
    pub(super) fn new() -> Column {
        Column::Narrow(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Column::Narrow(numbers) => numbers.len(),
            Column::Wide(numbers) => numbers.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> u64 {
        match self {
            Column::Narrow(numbers) => numbers[at].into(),
            Column::Wide(numbers) => numbers[at],
        }
    }

    pub(super) fn push(&mut self, number: u64) {
        match self {
            Column::Wide(numbers) => numbers.push(number),
            Column::Narrow(numbers) => match u32::try_from(number) {
                Ok(narrow) => numbers.push(narrow),
                Err(_) => {
                    let mut wide: Vec<u64> = numbers.iter().map(|n| u64::from(*n)).collect();
                    wide.push(number);
                    *self = Column::Wide(wide);
                }
            },
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Column::Narrow(numbers) => numbers.truncate(len),
            Column::Wide(numbers) => numbers.truncate(len),
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        match self {
            Column::Narrow(numbers) => numbers.shrink_to_fit(),
            Column::Wide(numbers) => numbers.shrink_to_fit(),
        }
    }
}
