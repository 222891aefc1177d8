//! `gridmpi init`: a commented job file to start from.

use std::path::PathBuf;

use clap::Args;

use crate::cli::say;
use crate::util::error::{Error, Exit, Result};
use crate::util::files::write_new;

const STARTER: &str = include_str!("starter.toml");

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi init                write gridmpi.toml, which `gridmpi` then runs
  gridmpi init fits/new.toml  write another file")]
pub(super) struct InitArgs {
    /// File to write; it must not exist yet
    #[arg(default_value = "gridmpi.toml")]
    file: PathBuf,
}

pub(super) fn init(arguments: &InitArgs) -> Result<Exit> {
    let file = &arguments.file;
    write_new(file, STARTER.as_bytes())
        .map_err(|error| Error::input(format!("{}: not written: {error}", file.display())))?;
    say(&format!("wrote {0}; run it with: gridmpi {0}\n", file.display()))
}
