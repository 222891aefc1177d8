//! A file that crunch consists of changes while the job runs: nothing of an attempt that saw it is recorded, the job
//! drains, and the next start ends as if nothing had happened.

use super::*;

fn world(seed: u64) -> World {
    World {
        nest: LoopNest::of_sizes(&[5, 8, 4], vec![None, Some(Reduce::max()), Some(Reduce::mean())])
            .unwrap(),
        require: Completeness::All,
        workers: 1 + seed as usize % 6,
        seed,
        failing: [0, 9][seed as usize % 2],
        delegates: false,
    }
}

#[test]
fn a_changed_file_drains_the_job_and_leaves_no_trace() {
    for seed in 0..200 {
        let world = world(seed);
        let mut master = world.master();
        // From this call on, every worker sees the change.
        let (mut calls, change) = (0, seed % 150);
        let crunch = Box::new(|task| {
            calls += 1;
            let result = match calls > change {
                true => Err(RunError::FileChanged("run.sh".to_string())),
                false => world.result(task),
            };
            (world.takes(task), result)
        });
        let mut hub = SimulatedHub::new(world.workers, seed, Duration::from_millis(3), crunch);
        let mut notes = Notes::default();
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
        assert!(master.is_over() && !master.is_complete(), "seed {seed}");
        assert_eq!(hub.dismissed(), world.workers, "seed {seed}: every worker was dismissed");
        assert!(!notes.changed_files.is_empty(), "seed {seed}: it is said");
        assert!(notes.runs.len() as u64 <= change, "seed {seed}: nothing after the change counts");
        for (task, run) in &notes.runs {
            assert_eq!(run.outcome.result, world.result(*task), "seed {seed}");
        }
        // The file is as it was, and the job is started again.
        let mut again = world.master();
        let mut actions = Vec::new();
        for run in notes.runs.values() {
            again.on(Event::Recalled(run.outcome.clone()), Duration::ZERO, &mut actions);
        }
        let crunch = Box::new(|task| (world.takes(task), world.result(task)));
        let mut hub = SimulatedHub::new(world.workers, seed, Duration::from_millis(3), crunch);
        let mut second = Notes::default();
        serve(&mut again, &mut hub, &mut second, Bytes::new(), actions).unwrap();
        assert!(again.is_complete(), "seed {seed}");
        assert_eq!(second.summaries, world.simulate().summaries, "seed {seed}");
    }
}
