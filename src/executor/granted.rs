//! What one thread of a worker has of its host, if tasks need anything of it: devices, cores, memory.

use std::collections::BTreeSet;

use parking_lot::Mutex;

#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::model::Needs;
use crate::model::Vendor;

/// What one task at a time may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Granted {
    /// The names of devices, as the vendor's variable has them.
    pub(crate) devices: Vec<String>,
    /// Whose they are; nothing if tasks need none.
    pub(crate) vendor: Option<Vendor>,
    /// Whether the job says how many cores a task needs: then that counts, whatever the user's variables say.
    pub(crate) has_cores: bool,
    /// The memory that a task needs, in bytes.
    pub(crate) memory: Option<u64>,
}

/// What child processes are told besides the vendors' variables: the names of devices, and cores.
pub(crate) const GPUS: &str = "GRIDMPI_GPUS";
pub(crate) const CORES: &str = "GRIDMPI_CORES";

impl Granted {
    /// That of an isolated process, which its parent has told everything.
    pub(crate) fn of_parent(has_cores: bool) -> Granted {
        let names = std::env::var(GPUS).unwrap_or_default();
        let names = names.split(',').filter(|name| !name.is_empty());
        Granted { devices: names.map(String::from).collect(), has_cores, ..Granted::default() }
    }

    /// That of a call that is made by hand: the first devices.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn by_hand(needs: &Needs) -> Granted {
        let count = needs.gpus.map_or(0, |gpus| gpus.ceil() as u32);
        Granted {
            devices: (0..count).map(|device| device.to_string()).collect(),
            vendor: needs.gpus.map(|_| Vendor::default()),
            has_cores: needs.cores.is_some(),
            memory: needs.memory,
        }
    }

    /// The same, for the life of this process: places are copied everywhere. There are few different ones.
    pub(crate) fn kept(self) -> &'static Granted {
        static KNOWN: Mutex<BTreeSet<&'static Granted>> = Mutex::new(BTreeSet::new());
        let mut known = KNOWN.lock();
        if let Some(same) = known.get(&self) {
            return same;
        }
        let kept: &'static Granted = Box::leak(Box::new(self));
        known.insert(kept);
        kept
    }
}
