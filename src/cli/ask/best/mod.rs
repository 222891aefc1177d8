//! `gridmpi best`: the best points per row of the result, and whether they are final.

mod by_values;
mod fields;
mod left_out;
mod places;
mod ranking;
mod rows;
mod show;
mod unranked;

use std::path::PathBuf;

use clap::Args;

use crate::cli::ask::{Array, ListFormat, stream};
use crate::util::error::{Exit, Result};
use by_values::ByValues;
use ranking::Ranking;
use rows::each;
use show::{as_json, table};
use unranked::UnrankedPoints;

#[derive(Args)]
#[command(after_help = "\
Shows, for each row of the result, the points of the loops that are reduced by max or min, best first: of \
all these loops together, as model and alpha. The first one is that of the run's own table. If there is \
no such loop, the rows themselves are sorted by score, highest first. Results that are not final yet, \
and those of which points have failed, are marked partial.

Nothing is computed: --max and --min take a field of the results, folded over the loops inside as the \
score is. A point where the field is none or no number is never the best.

Points that were stopped early (stop in the job) have no rank. The first place by the job's own measure is \
known all the same; where one of them could have a place that is asked for, the answer is refused: remove \
stop and run again.

Examples:
  gridmpi best results/NAME                      the best point of each row
  gridmpi best results/NAME --top 5              the best five
  gridmpi best results/NAME --by model.family    the best of each family
  gridmpi best results/NAME --min rmse           by another field
  gridmpi best results/NAME --format json")]
pub(in crate::cli) struct Arguments {
    /// Results folder
    folder: PathBuf,
    /// Points per row, or per value of what --by names
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    top: u64,
    /// The best for each point of a loop, or for each value of a field of its points; several with commas
    #[arg(long, value_name = "LOOP[.FIELD]", value_delimiter = ',')]
    by: Vec<String>,
    /// Rank by a field of the results, greatest first, in place of the job's own measure
    #[arg(long, value_name = "FIELD", conflicts_with_all = ["min", "lowest"])]
    max: Option<String>,
    /// Rank by a field of the results, lowest first
    #[arg(long, value_name = "FIELD", conflicts_with = "lowest")]
    min: Option<String>,
    /// Sort by lowest score first, if no loop reduces by max or min
    #[arg(long)]
    lowest: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

pub(super) fn best(arguments: &Arguments) -> Result<Exit> {
    let reader = crate::cli::ask::reader(&arguments.folder)?;
    let asked = match (&arguments.max, &arguments.min) {
        (Some(field), _) => Some((true, field.as_str())),
        (None, Some(field)) => Some((false, field.as_str())),
        (None, None) => None,
    };
    let mut ranking = Ranking::of(&reader, asked, arguments.lowest)?;
    let mut by = ByValues::of(reader.nest(), &ranking, &arguments.by)?;
    if by.is_some() {
        ranking.begins_with_own = false;
    }
    if let Some((_, field)) = asked {
        fields::check(&reader, &ranking, field)?;
    }
    let unranked = UnrankedPoints::of(&reader, &ranking, arguments.top, by.as_ref())?;
    ranking.tell(arguments.top);
    let ranked = (&ranking, &unranked);
    stream(|sink| match arguments.format {
        ListFormat::Table => table(&reader, ranked, arguments.top, by.as_mut(), sink),
        ListFormat::Json => {
            let mut array = Array::begin(sink)?;
            each(&reader, ranked, arguments.top, by.as_mut(), |row, by| {
                array.push(sink, &as_json(&reader, &ranking, by, &row)?)
            })?;
            array.end(sink)
        }
    })
}
