//! Finds programs.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a program is looked for that a job file in this folder names: with a slash it is relative to the folder,
/// any other is looked up in PATH.
#[cfg(feature = "jobs")]
pub(crate) fn named_program(name: &str, folder: &Path) -> PathBuf {
    if name.contains('/') { folder.join(name) } else { PathBuf::from(name) }
}

/// The absolute path of the executable that `program` resolves to: a child may be started in another folder, and
/// PATH may have relative ones.
pub(crate) fn find_program(program: &Path) -> Result<PathBuf, String> {
    let found = find(program)?;
    std::path::absolute(&found).map_err(|error| format!("{}: {error}", found.display()))
}

fn find(program: &Path) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &Path| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return match (program.exists(), runs(program)) {
            (_, true) => Ok(program.to_path_buf()),
            (true, _) => Err(format!("is not executable: {} (chmod +x?)", program.display())),
            _ => Err(format!("is not there: {}", program.display())),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|p| runs(p));
    found.ok_or_else(|| "is not on PATH".to_string())
}
