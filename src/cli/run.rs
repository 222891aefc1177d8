//! `gridmpi run`: a job from its file to its table, over MPI ranks or this machine's threads.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::office::Office;
use super::{demo, print};
use crate::crunch;
use crate::error::{Error, Exit, Result};
use crate::job::Job;
use crate::launcher::Launched;
use crate::master::{Master, Tally};
use crate::message;
use crate::report::{table, write_csv, write_json};
use crate::serve::serve;
use crate::store::{Folder, Results, Store};
use crate::transport::{Hub, threads};
use crate::worker;

/// The job that runs if none is named.
const DEFAULT_JOB: &str = "gridmpi.toml";

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi run job.toml                     on all cores of this machine
  gridmpi run job.toml --threads 4         on four threads
  mpirun -n 9 gridmpi run job.toml         on 8 workers over MPI; same results to the last byte
  gridmpi run job.toml --out results/try2  into another folder
  gridmpi run job.toml --format csv        the summary as CSV on stdout
  gridmpi --quick                          the built-in demonstration, a hundred times as fast

The results folder holds runs.sqlite (every run; look at its view all_runs), summary.json and
summary.csv.")]
pub(super) struct Arguments {
    /// The job file [default: ./gridmpi.toml if there is one, else the built-in demonstration]
    job: Option<PathBuf>,
    /// Run on this many threads of this machine, without MPI [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    threads: Option<u32>,
    /// The folder for results [default: results/NAME]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// What to print on stdout at the end
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Move runs that the results folder holds already into a folder inside it, and begin anew
    #[arg(long)]
    fresh: bool,
    /// The demonstration with 10 ms instead of 1 s a task
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

/// A job that is ready to run: nothing is known to be wrong with it.
struct Prepared {
    job: Arc<Job>,
    demo: bool,
    format: Format,
    /// The demonstration's results, gone at the end unless --out keeps them.
    scratch: Option<tempfile::TempDir>,
    folder: Folder,
    store: Store,
}

/// Runs a job the way this process was started.
pub(super) fn run(arguments: Arguments, launched: Option<Launched>) -> Result<Exit> {
    match launched {
        Some(launched) if launched.size != Some(1) => {
            // One process of a batch script may well want the node's threads; it has to say so.
            if launched.is_batch_script() && arguments.threads.is_some() {
                return over_threads(&arguments);
            }
            over_ranks(&arguments, &launched)
        }
        _ => over_threads(&arguments),
    }
}

fn over_threads(arguments: &Arguments) -> Result<Exit> {
    let prepared = Prepared::new(arguments)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or(cores, |threads| threads as usize);
    let workers = prepared.job.grid().tasks().min(threads as u64) as usize;
    let (mut hub, links) = threads::connect(workers);
    let mut joined = Vec::new();
    for mut link in links {
        let name = format!("rank {}", joined.len() + 1);
        let work = move || worker::work(&mut link, (cores / workers).max(1));
        let started = std::thread::Builder::new().name(name).spawn(work);
        joined
            .push(started.map_err(|error| Error::unexpected(format!("no more threads: {error}")))?);
    }
    // If rank 0 fails, the process ends with its error and does not wait for what still crunches.
    let exit = prepared.conduct(&mut hub)?;
    for thread in joined {
        let _ = thread.join();
    }
    Ok(exit)
}

#[cfg(feature = "mpi")]
fn over_ranks(arguments: &Arguments, launched: &Launched) -> Result<Exit> {
    use crate::serve::turn_away;
    use crate::transport::mpi::Ranks;

    let mut ranks = Ranks::initialize()?;
    if ranks.size() == 1 {
        if launched.may_be_alone() {
            return over_threads(arguments);
        }
        // Every one of them finds this; one says it.
        return if launched.rank == 0 { Err(launched.mismatch()) } else { Ok(Exit::BadInput) };
    }
    if ranks.own_rank() > 0 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let worked = worker::work(&mut ranks, (cores / launched.on_host).max(1));
        return worked.map(|()| Exit::Complete);
    }
    let prepared = if arguments.threads.is_some() {
        Err(Error::input("--threads is for a run without mpirun; with it, each rank is one worker"))
    } else {
        Prepared::new(arguments)
    };
    match prepared {
        Ok(prepared) => Ok(prepared.conduct(&mut ranks).unwrap_or_else(|error| {
            super::report(&error);
            ranks.abort(error.exit as i32) // the workers may be deep in crunch
        })),
        Err(error) => {
            turn_away(&mut ranks)?;
            Err(error)
        }
    }
}

#[cfg(not(feature = "mpi"))]
fn over_ranks(arguments: &Arguments, launched: &Launched) -> Result<Exit> {
    if launched.may_be_alone() {
        return over_threads(arguments);
    }
    if launched.rank == 0 { Err(launched.without_mpi()) } else { Ok(Exit::BadInput) }
}

impl Prepared {
    /// Reads and checks everything, claims the results folder and opens the store.
    fn new(arguments: &Arguments) -> Result<Prepared> {
        let file = match &arguments.job {
            Some(file) => Some(file.clone()),
            None => Some(PathBuf::from(DEFAULT_JOB)).filter(|file| file.exists()),
        };
        if arguments.quick && file.is_some() {
            return Err(Error::input(
                "--quick is for the built-in demonstration, which takes no job",
            ));
        }
        let demo = file.is_none();
        let (job, text) = match file {
            Some(file) => Job::read(&file)?,
            None => demo::job(arguments.quick)?,
        };
        crunch::check(&job)?;
        let (out, scratch) = match &arguments.out {
            Some(out) => (out.clone(), None),
            None if demo => {
                let scratch = tempfile::tempdir()
                    .map_err(|error| Error::input(format!("no temporary folder: {error}")))?;
                (scratch.path().to_path_buf(), Some(scratch))
            }
            None => (Path::new("results").join(&job.name), None),
        };
        let folder = Folder::claim(&out, arguments.fresh)?;
        let store = Store::create(&folder.store(), &job, &text)?;
        let job = Arc::new(job);
        Ok(Prepared { job, demo, format: arguments.format, scratch, folder, store })
    }

    /// Runs the job over the hub's workers, and puts out what came of it.
    fn conduct(self, hub: &mut dyn Hub) -> Result<Exit> {
        let job = self.job.clone();
        let grid = job.grid();
        let mut master = Master::new(grid.clone(), job.reduces(), job.require, hub.workers());
        log::info!("{}: {} tasks on {} workers", job.name, grid.tasks(), hub.workers());
        let clock = Instant::now();
        let mut office = Office::open(&job, self.store)?;
        serve(&mut master, hub, &mut office, message::encode(&*job))?;
        let elapsed = clock.elapsed().as_secs_f64();
        office.progress.finish();

        let results = office.store.finish(&job)?;
        write_file(&self.folder.file("summary.json"), |out| write_json(&job, &results, out))?;
        write_file(&self.folder.file("summary.csv"), |out| write_csv(&job, &results, out))?;
        let Tally { failed, incomplete, .. } = master.tally();
        let exit = if failed + incomplete == 0 { Exit::Complete } else { Exit::SomeFailed };
        results.complete(exit as i64)?;

        if self.demo && self.format == Format::Table {
            print(demo::text(&job, &results, elapsed)?.as_bytes())?;
        } else {
            show(self.format, &job, &results, &self.folder)?;
        }
        let serial: f64 = results.shares()?.iter().map(|share| share.seconds).sum();
        log::info!(
            "{} runs in {elapsed:.2} s; one after another they would have taken {serial:.2} s",
            grid.tasks()
        );
        if exit == Exit::SomeFailed {
            log::warn!(
                "{failed} of {} runs failed, {incomplete} groups are incomplete; see column error of all_runs in {}",
                grid.tasks(),
                self.folder.store().display()
            );
        }
        if self.scratch.is_none() {
            log::info!("results are in {}", self.folder.path().display());
        }
        Ok(exit)
    }
}

fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let failed =
        |e: std::io::Error| Error::unexpected(format!("{}: not written: {e}", path.display()));
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    write(&mut out)?;
    out.flush().map_err(failed)
}

fn show(format: Format, job: &Job, results: &Results, folder: &Folder) -> Result<()> {
    let file = match format {
        Format::Table => return print(format!("{}\n", table(job, results)?).as_bytes()).map(drop),
        Format::Json => folder.file("summary.json"),
        Format::Csv => folder.file("summary.csv"),
    };
    let bytes = std::fs::read(&file).map_err(|error| Error::unreadable(&file, &error))?;
    print(&bytes).map(drop)
}
