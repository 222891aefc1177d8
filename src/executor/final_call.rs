//! Final calls on a worker: what one is given, the folder for its products, and the check that all is as it was at the
//! start.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::executor::{FinalCaller, GivenFinal};
use crate::job::{DigestedFile, FINAL_FOLDER, FinalSpec, Job, WatchedFile, summary_record};
use crate::model::{FinalCall, FinalResult, RunError, Scored, Value};
use crate::util::clock;
use crate::util::file_state::FileState;
use crate::util::files::temporary_folder;
use crate::util::machine;
use crate::util::panic::caught;
use crate::wire::requests::{MasterClient, Reply, Request};

/// How the names of folders of products begin while calls are under way.
const UNDER_WAY: &str = ".call-";

/// Makes a final call.
pub(crate) fn make(
    job: &Job,
    call: FinalCall,
    caller: &mut dyn FinalCaller,
    master: &dyn MasterClient,
) -> FinalResult {
    let FinalCall { row, attempt, summary } = call;
    let (started, begin) = (clock::since_1970(), Instant::now());
    let mut products = None;
    let mut made = || {
        let spec = job.finally.as_ref().ok_or_else(|| "the job has no final calls".to_string())?;
        let (folder, not_shared) = match make_folder(spec, master) {
            // What the host does not see has been sent to it, and not each call has products.
            Err(why) if job.carried.copy.is_some() => {
                (temporary_folder().map_err(|error| error.to_string())?, Some(why))
            }
            made => (made?, None),
        };
        let points = job.final_points(row, &summary.best);
        let coordinates = job.named_points(&points);
        check_files(job, spec, &coordinates)?;
        let given = GivenFinal {
            row,
            attempt,
            coordinates: &coordinates,
            record: summary_record(&summary.value.get()),
            points: &points,
            summary: &summary,
            seed: job.row_seed(row),
            folder: folder.path(),
        };
        let result = caught("the final function", || Ok(caller.call(&given)))??;
        check_files(job, spec, &coordinates)?;
        let unread = |error: std::io::Error| format!("{}: {error}", folder.path().display());
        if fs::read_dir(folder.path()).map_err(unread)?.next().is_some() {
            not_shared.map_or(Ok(()), Err)?;
            let path = folder.keep();
            products = path.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        Ok::<Scored, RunError>(result)
    };
    let result = made();
    let seconds = begin.elapsed().as_secs_f64();
    FinalResult { row, attempt, started, seconds, result, products }
}

/// An empty folder for products, where rank 0 sees it too.
fn make_folder(spec: &FinalSpec, master: &dyn MasterClient) -> Result<tempfile::TempDir, RunError> {
    let not_shared = |why: &str| {
        let (host, folder) = (machine::host(), spec.folder.display());
        let advice =
            format!("the folder {FINAL_FOLDER} of the results has to be one that all hosts share");
        RunError::Failed(format!("{folder} on host {host} {why}: {advice}"))
    };
    let made = tempfile::Builder::new().prefix(UNDER_WAY).tempdir_in(&spec.folder);
    let made = made.map_err(|error| not_shared(&format!("cannot be written to ({error})")))?;
    // What is made by default is for nobody else.
    set_mode(made.path(), &spec.folder);
    let path = made.path().to_string_lossy().into_owned();
    match master.ask(Request::IsThere(path)) {
        Ok(Reply::Ready(true)) => Ok(made),
        Ok(_) => Err(not_shared("is not that of rank 0")),
        Err(error) => Err(RunError::Failed(error.to_string())),
    }
}

/// Gives a folder the permissions of the one around it.
fn set_mode(folder: &Path, around: &Path) {
    if let Ok(around) = fs::metadata(around) {
        let _ = fs::set_permissions(folder, around.permissions());
    }
}

/// Fails if a file that the function consists of, or that a point names, is not what it was at the start.
fn check_files(job: &Job, spec: &FinalSpec, points: &[(&str, Value)]) -> Result<(), RunError> {
    let is_same = |file: &WatchedFile| {
        let path = job.carried.here(Path::new(&file.name));
        if FileState::of(&path).is_ok_and(|state| state == file.state) {
            return Ok(());
        }
        let now = DigestedFile::read(&path).map(|now| now.digest);
        let name = path.strip_prefix(&job.folder).unwrap_or(&path).display().to_string();
        match now {
            Ok(now) if now == file.digest => Ok(()),
            Ok(_) => Err(RunError::FileChanged(format!(
                "{name} on host {} is not what it was at the start; what was done before is kept: put it back, or start again with it as it is",
                machine::host()
            ))),
            Err(error) => Err(RunError::Failed(format!(
                "{name} cannot be read on host {}: {error}",
                machine::host()
            ))),
        }
    };
    let texts = points.iter().flat_map(|(_, value)| value.texts());
    let named = texts.filter_map(|name| job.watched.named.get(job.folder.join(name).to_str()?));
    spec.files.iter().chain(named).try_for_each(is_same)
}
