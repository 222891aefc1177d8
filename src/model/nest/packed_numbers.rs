//! A column of whole numbers: four bytes each, or eight once one of them needs it.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum PackedNumbers {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl PackedNumbers {
    pub(super) fn new() -> PackedNumbers {
        PackedNumbers::Narrow(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            PackedNumbers::Narrow(numbers) => numbers.len(),
            PackedNumbers::Wide(numbers) => numbers.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> u64 {
        match self {
            PackedNumbers::Narrow(numbers) => numbers[at].into(),
            PackedNumbers::Wide(numbers) => numbers[at],
        }
    }

    pub(super) fn push(&mut self, number: u64) {
        match self {
            PackedNumbers::Wide(numbers) => numbers.push(number),
            PackedNumbers::Narrow(numbers) => match u32::try_from(number) {
                Ok(narrow) => numbers.push(narrow),
                Err(_) => {
                    let mut wide: Vec<u64> = numbers.iter().map(|n| u64::from(*n)).collect();
                    wide.push(number);
                    *self = PackedNumbers::Wide(wide);
                }
            },
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            PackedNumbers::Narrow(numbers) => numbers.truncate(len),
            PackedNumbers::Wide(numbers) => numbers.truncate(len),
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        match self {
            PackedNumbers::Narrow(numbers) => numbers.shrink_to_fit(),
            PackedNumbers::Wide(numbers) => numbers.shrink_to_fit(),
        }
    }
}
