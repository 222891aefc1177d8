//! The MPI library that is loaded at run time. MPI has no binary interface of its own that all libraries have, but two
//! cover nearly all: that of Open MPI and that of MPICH.

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::wire::transport::mpi::calls::{Handle, Interface, ReceiveStatus};

/// The MPI library of this process.
struct LoadedMpi {
    interface: Interface,
    calls: Calls,
    comm_world: Handle,
    comm_self: Handle,
    errors_return: Handle,
    byte: Handle,
    request_null: Handle,
    group_null: Handle,
    any_source: c_int,
    /// The address that stands for no status.
    status_ignore: usize,
    /// Which number of a status is the sender.
    source_at: usize,
}

static LOADED: OnceLock<LoadedMpi> = OnceLock::new();

fn loaded() -> &'static LoadedMpi {
    LOADED.get().expect("MPI is loaded before it is called")
}

pub(super) fn is_loaded() -> bool {
    LOADED.get().is_some()
}

/// The table of the addresses of MPI's functions, and functions that call them.
macro_rules! loaded_calls {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        struct Calls {
            $($name: unsafe extern "C" fn($($type),*) -> c_int,)*
        }

        impl Calls {
            fn find(library: &Library) -> Result<Calls, libloading::Error> {
                // Safety: the types are those of MPI's functions of these names.
                unsafe { Ok(Calls { $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)* }) }
            }
        }

        $(pub(in crate::wire::transport::mpi) unsafe fn $name($($argument: $type),*) -> c_int {
            unsafe { (loaded().calls.$name)($($argument),*) }
        })*
    };
}

for_each_call!(loaded_calls);

/// A handle that may have the highest bit of 32 set, as C passes an `int`: with its sign.
pub(in crate::wire::transport::mpi) fn by_value(handle: Handle) -> Handle {
    match loaded().interface {
        Interface::OpenMpi => handle,
        Interface::Mpich => handle as u32 as i32 as isize as usize,
    }
}

pub(in crate::wire::transport::mpi) fn comm_world() -> Handle {
    loaded().comm_world
}

pub(in crate::wire::transport::mpi) fn comm_self() -> Handle {
    loaded().comm_self
}

pub(in crate::wire::transport::mpi) fn errors_return() -> Handle {
    loaded().errors_return
}

pub(in crate::wire::transport::mpi) fn byte() -> Handle {
    loaded().byte
}

pub(in crate::wire::transport::mpi) fn request_null() -> Handle {
    loaded().request_null
}

pub(in crate::wire::transport::mpi) fn group_null() -> Handle {
    loaded().group_null
}

pub(in crate::wire::transport::mpi) fn any_source() -> c_int {
    loaded().any_source
}

/// Which number of a status is the sender.
pub(in crate::wire::transport::mpi) fn source_at() -> usize {
    loaded().source_at
}

pub(in crate::wire::transport::mpi) fn status_ignore() -> *mut ReceiveStatus {
    loaded().status_ignore as *mut ReceiveStatus
}

/// The interface that this program was built for, if it serves only one.
pub(crate) fn only_interface() -> Option<Interface> {
    None
}

/// Loads the MPI library in this file, or of this name where the system looks for libraries. A process loads one.
pub(crate) fn load(interface: Interface, file: &OsStr) -> Result<(), String> {
    if let Some(loaded) = LOADED.get() {
        return match loaded.interface == interface {
            true => Ok(()),
            false => Err("another MPI library is loaded".to_string()),
        };
    }
    // Safety: an MPI library may be loaded at any time. Its plugins need its symbols.
    let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_GLOBAL) };
    let library = std::mem::ManuallyDrop::new(library.map_err(|error| reason(&error))?);
    let found = LoadedMpi::find(interface, &library).map_err(|error| reason(&error))?;
    LOADED.get_or_init(|| found);
    Ok(())
}

/// What the loader says, which libloading puts behind words of its own.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl LoadedMpi {
    fn find(interface: Interface, library: &Library) -> Result<LoadedMpi, libloading::Error> {
        let calls = Calls::find(library)?;
        // Safety: it is the address of the object alone that is asked for.
        let object = |name: &[u8]| unsafe {
            library.get::<*mut c_void>(name).map(|symbol| symbol.as_raw_ptr() as Handle)
        };
        Ok(match interface {
            Interface::OpenMpi => LoadedMpi {
                interface,
                calls,
                comm_world: object(b"ompi_mpi_comm_world\0")?,
                comm_self: object(b"ompi_mpi_comm_self\0")?,
                errors_return: object(b"ompi_mpi_errors_return\0")?,
                byte: object(b"ompi_mpi_byte\0")?,
                request_null: object(b"ompi_request_null\0")?,
                group_null: object(b"ompi_mpi_group_null\0")?,
                any_source: -1,
                status_ignore: 0,
                source_at: 0,
            },
            Interface::Mpich => LoadedMpi {
                interface,
                calls,
                comm_world: 0x4400_0000,
                comm_self: 0x4400_0001,
                errors_return: 0x5400_0001,
                byte: 0x4c00_010d,
                request_null: 0x2c00_0000,
                group_null: 0x0800_0000,
                any_source: -2,
                status_ignore: 1,
                source_at: 2,
            },
        })
    }
}
