//! Numbers that arrived before their turn, by slot: 8 bytes each where they are many.

use std::collections::BTreeMap;

/// Slots per page.
const PAGE: u64 = 512;

/// Up to so many numbers, a page is a list of them.
const FEW: usize = 48;

/// Stands for a slot that is not filled, and for one that counts for nothing. Scores are never NaN.
const EMPTY: u64 = 0x7ff8_0000_0000_0001;
const NOTHING: u64 = 0x7ff8_0000_0000_0002;

#[derive(Debug, Default)]
pub(super) struct EarlyNumbers {
    pages: BTreeMap<u64, NumberPage>,
}

/// The bits of numbers, by slot.
#[derive(Debug)]
enum NumberPage {
    /// Sorted.
    Few(Vec<(u16, u64)>),
    All(Box<[u64; PAGE as usize]>),
}

impl EarlyNumbers {
    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Keeps the number of a slot; `None` if it counts for nothing.
    pub(super) fn put(&mut self, slot: u64, number: Option<f64>) {
        let bits = number.map_or(NOTHING, f64::to_bits);
        self.pages.entry(slot / PAGE).or_insert_with(NumberPage::new).put(slot % PAGE, bits);
    }

    /// Keeps the numbers of consecutive slots.
    pub(super) fn put_all(&mut self, first: u64, numbers: impl Iterator<Item = f64>) {
        let (mut slot, mut numbers) = (first, numbers.peekable());
        while numbers.peek().is_some() {
            let page = self.pages.entry(slot / PAGE).or_insert_with(NumberPage::new);
            for number in numbers.by_ref().take((PAGE - slot % PAGE) as usize) {
                page.put(slot % PAGE, number.to_bits());
                slot += 1;
            }
        }
    }

    /// Gives the numbers from slot `next` on, up to the first slot that is not filled, and returns that one.
    pub(super) fn take(&mut self, mut next: u64, mut each: impl FnMut(u64, Option<f64>)) -> u64 {
        while let Some(mut entry) = self.pages.first_entry() {
            let page = *entry.key();
            if page > next / PAGE {
                break;
            }
            if page == next / PAGE {
                next = entry.get_mut().take(page * PAGE, next, &mut each);
            }
            if page >= next / PAGE {
                break;
            }
            entry.remove();
        }
        next
    }
}

impl NumberPage {
    fn new() -> NumberPage {
        NumberPage::Few(Vec::new())
    }

    fn put(&mut self, at: u64, bits: u64) {
        match self {
            NumberPage::All(all) => all[at as usize] = bits,
            NumberPage::Few(few) if few.len() < FEW => {
                let place = few.partition_point(|(before, _)| u64::from(*before) < at);
                few.insert(place, (at as u16, bits));
            }
            NumberPage::Few(few) => {
                let mut all = Box::new([EMPTY; PAGE as usize]);
                few.iter().for_each(|(at, bits)| all[usize::from(*at)] = *bits);
                all[at as usize] = bits;
                *self = NumberPage::All(all);
            }
        }
    }

    /// As [`EarlyNumbers::take`], within this page, whose first slot this is.
    fn take(&self, first: u64, next: u64, each: &mut impl FnMut(u64, Option<f64>)) -> u64 {
        let mut at = next - first;
        let mut give = |at: u64, bits: u64| {
            each(first + at, (bits != NOTHING).then(|| f64::from_bits(bits)));
        };
        match self {
            NumberPage::All(all) => {
                for bits in all[at as usize..].iter().take_while(|bits| **bits != EMPTY) {
                    give(at, *bits);
                    at += 1;
                }
            }
            NumberPage::Few(few) => {
                let from = few.partition_point(|(before, _)| u64::from(*before) < at);
                for (there, bits) in &few[from..] {
                    if u64::from(*there) != at {
                        break;
                    }
                    give(at, *bits);
                    at += 1;
                }
            }
        }
        first + at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_in_the_order_of_their_slots(
            count in 1..2000u64,
            places in prop::collection::vec(any::<u64>(), 0..40),
            piece in 1..700u64,
        ) {
            // Consecutive pieces of the slots after the first, in some order, and the first one last.
            let mut pieces: Vec<u64> = (0..count).step_by(piece as usize).collect();
            for (i, place) in places.iter().enumerate() {
                let (a, b) = (i % pieces.len(), *place as usize % pieces.len());
                pieces.swap(a, b);
            }
            let number = |slot: u64| (slot % 7 != 3).then_some(slot as f64 * 0.5 - 3.0);
            let (mut early, mut next, mut seen) = (EarlyNumbers::default(), 0, Vec::new());
            for first in pieces {
                let slots = first..(first + piece).min(count);
                match slots.clone().all(|slot| number(slot).is_some()) {
                    true => early.put_all(first, slots.map(|slot| number(slot).unwrap())),
                    false => slots.for_each(|slot| early.put(slot, number(slot))),
                }
                next = early.take(next, |slot, number| seen.push((slot, number)));
                prop_assert_eq!(next as usize, seen.len());
            }
            let expected: Vec<_> = (0..count).map(|slot| (slot, number(slot))).collect();
            prop_assert_eq!(seen, expected);
            prop_assert!(count % PAGE != 0 || early.is_empty());
        }
    }
}
