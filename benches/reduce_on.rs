//! From what cost of summarize on is it faster on the workers than on rank 0?
//!
//! `cargo bench --bench reduce_on` runs the same study both ways, in turns, for summarize costs from
//! nothing to several times the break-even that arithmetic predicts, and prints the ratios. Crunch
//! and summarize sleep, so that eight workers are eight workers on a machine of any size. `--quick`
//! makes it short, to see that it runs.

use std::time::Duration;

use gridmpi::{Nest, Runs, Settings};

const WORKERS: usize = 8;
/// Runs in a group, and how long each takes.
const RUNS: u32 = 10;
const CRUNCH: Duration = Duration::from_millis(2);

/// Seconds from the first task to the last summary.
fn seconds(groups: u32, summarize: Duration, on_workers: bool) -> f64 {
    let mut study = Nest::new()
        .each("group", 0..groups)
        .each("run", 0..RUNS)
        .crunch(|_, _| {
            std::thread::sleep(CRUNCH);
            Ok(1.0)
        })
        .reduce(move |runs: &Runs<f64>| {
            if !summarize.is_zero() {
                std::thread::sleep(summarize);
            }
            runs.iter().map(|(_, run)| run).sum::<f64>()
        });
    if on_workers {
        study = study.reduce_on_workers();
    }
    let outcome = study.run(&Settings::default().threads(WORKERS));
    let outcome = outcome.expect("the study runs").expect("there is one process");
    outcome.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (groups, rounds) = if quick { (8, 1) } else { (200, 5) };
    // On rank 0 one thread has G summaries to make, while the workers crunch G groups in
    // G x RUNS x CRUNCH / WORKERS. On the workers the summaries are shared, but crunching waits.
    let predicted = CRUNCH * RUNS / (WORKERS as u32 - 1);
    println!(
        "{groups} groups of {RUNS} runs of {CRUNCH:?}, {WORKERS} workers, medians of {rounds}"
    );
    let ms = |duration: Duration| format!("{:.2} ms", 1e3 * duration.as_secs_f64());
    println!("break-even by arithmetic: summarize takes {}", ms(predicted));
    println!("summarize   rank 0 (s)   workers (s)   rank 0 / workers");
    for percent in [0, 10, 50, 80, 100, 125, 200, 500] {
        let summarize = predicted * percent / 100;
        let (mut here, mut there, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            here.push(seconds(groups, summarize, false));
            there.push(seconds(groups, summarize, true));
            ratios.push(here[here.len() - 1] / there[there.len() - 1]);
        }
        let (here, there, ratio) = (median(here), median(there), median(ratios));
        println!("{:<9}   {here:10.3}   {there:11.3}   {ratio:16.2}", ms(summarize));
    }
}
