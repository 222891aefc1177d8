//! `gridmpi report`: a results folder as one page for a browser, and as figures for a paper.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{print, write_file};
use crate::report::{Facts, draw, page};
use crate::store::StoreReader;
use crate::util::error::{Error, Exit, Result};

#[derive(Args)]
#[command(after_help = "\
The page needs no network and nothing beside it: it can be sent as it is. It shows the summary, the score
over the parameters, who ran what when, how long runs took and what failed. A run may go on meanwhile.

Examples:
  report results/NAME                     writes results/NAME/report.html
  report results/NAME --to fits.html      writes it elsewhere
  report results/NAME --figures figures   also writes SVG figures for a paper")]
pub(super) struct ReportArgs {
    /// The results folder
    folder: PathBuf,
    /// The file to write [default: report.html in the results folder]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Also write figures, as SVG, into this folder
    #[arg(long, value_name = "FOLDER")]
    figures: Option<PathBuf>,
}

pub(super) fn report(arguments: &ReportArgs) -> Result<Exit> {
    let look = StoreReader::into(&arguments.folder)?;
    let facts = Facts::gather(&look)?;
    let file = arguments.to.clone().unwrap_or_else(|| arguments.folder.join("report.html"));
    write(&file, &page(&facts)?)?;
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
    print(said.as_bytes())
}

/// Writes a text.
fn write(file: &Path, text: &str) -> Result<()> {
    write_file(file, |out| {
        out.write_all(text.as_bytes())
            .map_err(|error| Error::input(format!("{}: not written: {error}", file.display())))
    })
}
