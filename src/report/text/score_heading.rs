//! What scores are called where people read them: how they were folded, and the field of crunch that they are.

use crate::job::{FieldNames, SCORE};
use crate::model::{Loop, LoopNest};

/// The heading of the scores of keys at a level: `mean r2`. `score` is what the scores of runs are called.
pub(crate) fn score_heading(nest: &LoopNest, level: usize, score: &str) -> String {
    let loops = &nest.loops()[level.min(nest.depth())..];
    folded(loops, score_column(nest, score_field(loops, score), score))
}

/// The name of the column of a field that is the score: the one that every run has, or one of its own.
pub(crate) fn score_column(nest: &LoopNest, field: &str, score: &str) -> String {
    match (field, score) {
        (SCORE, SCORE) => SCORE.to_string(),
        _ => FieldNames::beside(nest).of(field),
    }
}

/// The name of what these loops fold, outermost first, with the folds in front: `median of mean r2`. Choosing the
/// best is no fold.
pub(crate) fn folded(loops: &[Loop], name: String) -> String {
    let mut folds = Vec::new();
    for reduce in loops.iter().filter_map(|l| l.reduce.as_ref()) {
        let fold = reduce.score_fold();
        if fold.is_none() && reduce.is_outside() {
            break; // how it came from what is inside is not known
        }
        folds.extend(fold);
    }
    folds.dedup();
    match folds.join(" of ") {
        folds if folds.is_empty() => name,
        folds => format!("{folds} {name}"),
    }
}

/// The field that the score of groups over these loops is: the score of runs, unless a reduction takes another one.
pub(crate) fn score_field<'a>(loops: &'a [Loop], score: &'a str) -> &'a str {
    for reduce in loops.iter().filter_map(|l| l.reduce.as_ref()) {
        match reduce {
            _ if reduce.by().is_some() => return reduce.by().unwrap_or(score),
            // What it returns has its score under the same name as what crunch returns.
            _ if reduce.is_outside() => return score,
            _ => {}
        }
    }
    score
}

#[cfg(all(test, any(feature = "cli", feature = "jobs")))]
mod tests {
    use super::*;
    use crate::model::{FileFunction, NumberFold, Reduce};

    #[test]
    fn a_score_is_called_by_its_field_and_how_it_was_folded() {
        let mean = || Reduce::numbers(NumberFold::Mean);
        let std = Reduce::numbers(NumberFold::Std);
        let by = |text: &str| Reduce::of_text(text);
        let trimmed = Reduce::Python(FileFunction {
            file: "stats.py".to_string(),
            function: "trimmed".to_string(),
        });
        for (reduces, called) in [
            (vec![Some(Reduce::max()), Some(mean()), Some(mean())], "mean r2"),
            (vec![None, Some(std), Some(mean()), Some(Reduce::Join)], "std of mean r2"),
            (vec![Some(Reduce::max()), Some(Reduce::min())], "r2"),
            (vec![Some(trimmed), Some(mean())], "trimmed of mean r2"),
            (vec![Some(mean()), by("python"), Some(mean())], "mean r2"),
            (vec![by("python"), Some(mean())], "r2"),
            (vec![by(r#"{"min":"rmse"}"#), Some(mean())], "mean rmse"),
            (vec![Some(mean()), by(r#"{"max":"error"}"#)], "mean value.error"),
        ] {
            let sizes = vec![2; reduces.len()];
            let nest = LoopNest::of_sizes(&sizes, reduces).unwrap();
            assert_eq!(score_heading(&nest, 0, "r2"), called);
            let of_runs = |score| score_heading(&nest, nest.depth(), score);
            assert_eq!(["Seconds", "score"].map(of_runs), ["value.Seconds", "score"]);
        }
    }
}
