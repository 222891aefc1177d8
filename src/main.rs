//! The program: start, and an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    gridmpi::main()
}
