//! The child processes that this process has started itself, unlike those that fall to it when their parents
//! end.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command};

use parking_lot::RwLock;

/// Their PIDs. Few are long-lived, so those of ended ones may stay.
static OWN: RwLock<BTreeSet<u32>> = RwLock::new(BTreeSet::new());

/// Held for reading while a child is started, until it is known.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a child.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starting = STARTING.read();
    let child = command.spawn()?;
    OWN.write().insert(child.id());
    Ok(child)
}

/// Forgets a child that has ended.
#[cfg(feature = "jobs")]
pub(crate) fn forget(child: u32) {
    OWN.write().remove(&child);
}

/// Calls `act` with a test for children of this process's own, while none is being started.
#[cfg(all(feature = "jobs", target_os = "linux"))]
pub(crate) fn while_none_starts<T>(act: impl FnOnce(&dyn Fn(u32) -> bool) -> T) -> T {
    let _none = STARTING.write();
    let own = OWN.read();
    act(&|child| own.contains(&child))
}
