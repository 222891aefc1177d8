//! `gridmpi report`: a results folder as an HTML page, and as figures for a paper.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{say, unwritten, write_file};
use crate::report::{Facts, draw, page};
use crate::store::StoreReader;
use crate::util::error::{Error, Exit, Result};
use crate::util::files::{Durability, write_whole};

#[derive(Args)]
#[command(after_help = "\
The report is one HTML file that needs no network. It shows the summary, the score over the \
parameters, which worker ran what when, how long runs took, what failed, and the command, job file, \
versions and hosts that made it. It can be written while the run is going on.

Examples:
  gridmpi report results/NAME                    write results/NAME/report.html
  gridmpi report results/NAME --to fits.html     write another file
  gridmpi report results/NAME --figures figures  also write SVG figures")]
pub(super) struct ReportArgs {
    /// Results folder
    folder: PathBuf,
    /// File to write [default: report.html in the results folder]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Also write figures as SVG into this folder
    #[arg(long, value_name = "FOLDER")]
    figures: Option<PathBuf>,
}

pub(super) fn report(arguments: &ReportArgs) -> Result<Exit> {
    #[cfg(feature = "jobs")]
    crate::store::warn_of_parts(&arguments.folder);
    let reader = StoreReader::into(&arguments.folder)?;
    let facts = Facts::read(&reader)?;
    let page = page(&facts)?;
    let file = match &arguments.to {
        Some(file) => {
            write_file(file, |out| {
                out.write_all(page.as_bytes()).map_err(|error| unwritten(file, &error))
            })?;
            file.clone()
        }
        None => {
            let file = arguments.folder.join("report.html");
            write(&file, &page)?;
            file
        }
    };
    let mut said = format!("wrote {}\n", file.display());
    if let Some(folder) = &arguments.figures {
        fs::create_dir_all(folder)
            .map_err(|e| Error::input(format!("{}: cannot be made: {e}", folder.display())))?;
        for (name, figure) in draw(&facts)? {
            let file = folder.join(name);
            write(&file, &figure)?;
            said += &format!("wrote {}\n", file.display());
        }
    }
    say(&said)
}

/// Writes a file whose name is gridmpi's choice.
fn write(file: &Path, text: &str) -> Result<()> {
    let write = |out: &mut BufWriter<File>| out.write_all(text.as_bytes());
    write_whole(file, Durability::Eventual, |e| e, write).map_err(|error| unwritten(file, &error))
}
