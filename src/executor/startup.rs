//! What a program as crunch needs of the host, checked once before a worker asks for tasks.

use std::io::{Error, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::executor::process::{child, ended};
use crate::util::files::temporary_folder;

/// How often to try to start a program, and how long to wait in between: other processes may be about to end.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// An error unless programs can be started in the job's folder here, and write their results.
pub(crate) fn check_programs(folder: &Path) -> Result<(), String> {
    check_temporary_folder()?;
    check_folder(folder)?;
    let mut started = start_nothing();
    for _ in 1..TRIES {
        if started.is_err() {
            std::thread::sleep(PAUSE);
            started = start_nothing();
        }
    }
    started.map_err(|error| format!("no program can be started: /bin/sh: {error}"))
}

/// An error unless a file can be written in a temporary folder.
fn check_temporary_folder() -> Result<(), String> {
    let made = temporary_folder().and_then(|folder| {
        let mut file = std::fs::File::create(folder.path().join("check"))?;
        file.write_all(b"gridmpi")
    });
    made.map_err(|error| no_temporary_folder(&error))
}

pub(super) fn no_temporary_folder(error: &Error) -> String {
    let folder = std::env::temp_dir();
    format!("the folder for temporary files cannot be used: {}: {error}", folder.display())
}

/// An error unless the folder in which programs are started is there.
pub(super) fn check_folder(folder: &Path) -> Result<(), String> {
    let is_there = std::fs::read_dir(folder).map(drop);
    is_there
        .map_err(|error| format!("the job's folder cannot be used: {}: {error}", folder.display()))
}

fn start_nothing() -> std::io::Result<()> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", ":"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match child::spawn(&mut command)?.wait()? {
        status if status.success() => Ok(()),
        status => Err(Error::other(ended::settled(status))),
    }
}
