//! A job in parts: an array, whose last element to end completes the job.

use std::process::Command;

use crate::common::{Desk, gridmpi};
use crate::{ask, ends, log, on_threads, started, submit, summary, wait_until};

/// Four points of the outermost loop, 20 tasks each. Those of the first one take `first` seconds.
fn job(first: f64, rest: f64) -> String {
    format!(
        "name = \"job\"\n[crunch]\n\
         shell = \"echo {{a}}.{{b}} >> job.started; if [ {{a}} = 0 ]; then sleep {first}; else sleep {rest}; fi; echo {{b}}\"\n\
         [[loop]]\nname = \"a\"\nrange = {{ from = 0, to = 4 }}\n\
         [[loop]]\nname = \"b\"\nrange = {{ from = 0, to = 20 }}\nreduce = \"sum\"\n"
    )
}

const SMALL: [&str; 9] =
    ["job.toml", "--parts", "4", "--nodes", "1", "--threads", "2", "--time", "1"];

fn status(desk: &Desk) -> String {
    desk.run(gridmpi(), &["status", "results/job"]).exits(0).stdout
}

#[test]
fn the_last_part_to_end_completes_the_job() {
    // The first allocation of the first part seems to end in 20 s; two parts start when others have ended.
    let end = "export SLURM_JOB_END_TIME=$(($(date +%s) + 20))";
    let short = format!("[ \"$SLURM_ARRAY_TASK_ID$SLURM_RESTART_COUNT\" != 1 ] || {end}");
    let table = format!("[slurm]\nsetup = ['{short}']\n");
    let desk = Desk::with_job(&(job(2.0, 0.2) + &table));
    let job = submit(&desk, &[&SMALL[..], &["--", "--mem=100", "--array=1-4%2"]].concat());
    for part in 2..=4 {
        ends(&desk, &format!("{job}_{part}"), 90, "COMPLETED", "0:0");
    }
    let seen = status(&desk);
    assert!(seen.starts_with("job: ") && seen.contains(" (4 parts: 3 complete, 1 "), "{seen}");
    assert!(seen.contains(&format!("Slurm job {job}_1 on gs")), "{seen}");
    let said = log(&desk);
    assert!(said.contains("part 1 of 4: running, "), "{said}");
    wait_until(&desk, 240, "complete job", || desk.path("results/job/summary.json").exists());
    ends(&desk, &format!("{job}_1"), 60, "COMPLETED", "0:0");
    let said = log(&desk);
    assert!(
        said.contains("part 1 of 4 has finished, the last one: the parts are merged"),
        "{said}"
    );
    assert!(said.contains("80 of 80 runs reused"), "{said}");
    assert!(said.contains(&format!("Slurm job {job}_1 on gs")), "{said}");
    assert_eq!(started(&desk, "job"), (80, 80), "each task once");
    assert!(!desk.path("results/job/parts").exists());
    desk.write("quick.toml", &self::job(0.0, 0.0));
    assert_eq!(summary(&desk, "results/job"), on_threads(&desk, "quick.toml"));
    assert!(status(&desk).starts_with("job: complete\n80 of 80 runs"));
}

#[test]
fn a_part_that_is_cancelled_is_named_and_done_by_a_start_of_the_whole_job() {
    let desk = Desk::with_job(&job(0.2, 0.2));
    // One after another; the second is cancelled while it runs, and the fourth before it starts.
    let job = submit(&desk, &[&SMALL[..], &["--", "--mem=100", "--array=1-4%1"]].concat());
    ask("scancel", &[&format!("{job}_4")]);
    wait_until(&desk, 60, "second part", || started(&desk, "job").0 > 24);
    ask("scancel", &[&format!("{job}_2")]);
    for (part, state) in [(1, "COMPLETED"), (2, "CANCELLED"), (3, "COMPLETED")] {
        ends(&desk, &format!("{job}_{part}"), 90, state, "");
    }
    let said = log(&desk);
    assert!(said.contains("part 3 of 4 has finished; 2 of 4 have not:"), "{said}");
    assert!(said.contains("part 2 of 4: interrupted ("), "{said}");
    let seen = status(&desk);
    let counted = "4 parts: 2 complete, 1 ended before they were complete, 1 not begun; a start of";
    assert!(seen.contains(counted) && seen.contains("\npart 4 of 4: has not begun\n"), "{seen}");
    assert!(!desk.path("results/job/summary.json").exists());
    // The script does one part alone, too.
    let mut sbatch = Command::new("sbatch");
    sbatch.args(["--parsable", "--array=4", "job.sh"]);
    let again = desk.run(sbatch, &[]).exits(0).stdout;
    ends(&desk, &format!("{}_4", again.trim()), 60, "COMPLETED", "0:0");
    assert!(log(&desk).contains("part 4 of 4 has finished; 1 of 4 have not:"), "{}", log(&desk));
    let last = desk.run(gridmpi(), &["job.toml", "--threads", "30"]).exits(0).stderr;
    assert!(last.contains(" runs of 4 parts were taken over"), "{last}");
    let (all, different) = started(&desk, "job");
    assert!(different == 80 && all <= 82, "{all}: only what was cut off, at most, again");
    desk.write("quick.toml", &self::job(0.0, 0.0));
    assert_eq!(summary(&desk, "results/job"), on_threads(&desk, "quick.toml"));
}
