//! Parses strategy names of the command line.

use crate::master::Strategy;
use crate::model::Order;
use crate::util::text::did_you_mean;

/// A strategy, and the order of tasks if the name implies one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Chosen {
    pub(super) strategy: Strategy,
    pub(super) order: Option<Order>,
}

const NAMES: [&str; 6] = ["flattened", "longest-first", "serial", "outer", "inner", "split:A+B"];

pub(super) fn parse(name: &str) -> Result<Chosen, String> {
    let strategy = match name {
        "flattened" => Strategy::Flattened,
        "longest-first" => {
            let order = Some(Order::LongestFirst);
            return Ok(Chosen { strategy: Strategy::Flattened, order });
        }
        "serial" => Strategy::Serial,
        "outer" => Strategy::Outer,
        "inner" => Strategy::Inner,
        _ => match name.strip_prefix("split:") {
            Some(sizes) => split(sizes)?,
            None => {
                let (meant, known) = (did_you_mean(name, &NAMES, ""), NAMES.join(", "));
                return Err(format!("no such strategy{meant}; there are {known}"));
            }
        },
    };
    Ok(Chosen { strategy, order: None })
}

/// Parses the sizes of split pools: `4+3`.
pub(super) fn split(sizes: &str) -> Result<Strategy, String> {
    let size = |text: &str| text.parse::<u64>().ok().filter(|size| (1..=1_000_000).contains(size));
    let sizes = sizes.split_once('+').and_then(|(a, b)| Some((size(a)?, size(b)?)));
    let (outer, inner) = sizes.ok_or(
        "expected A+B: how many workers hold a point of the outer loop, and how many crunch, such as 4+3",
    )?;
    Ok(Strategy::Split { outer, inner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_called_what_it_calls_itself() {
        for name in ["flattened", "serial", "outer", "inner", "split:4+3"] {
            assert_eq!(parse(name).unwrap().strategy.to_string(), name);
        }
        assert_eq!(parse("longest-first").unwrap().order, Some(Order::LongestFirst));
        for wrong in ["split:4", "split:0+3", "split:4+", "split:-1+2", "split"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("oter").unwrap_err().contains("did you mean outer?"));
    }
}
