//! The MPI library: found and loaded at run time, so that one program runs under the MPI that launches it. MPI has no
//! binary interface of its own that all libraries have, but two cover nearly all: that of Open MPI and that of MPICH.

#![allow(unsafe_code, non_snake_case)]

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// What a compiled program has to know of an MPI library besides the names of its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// Open MPI 4 and 5 (libmpi.so.40): handles are pointers.
    OpenMpi,
    /// MPICH since 3.1, Intel MPI, MVAPICH, Cray MPICH (libmpi.so.12): handles are 32-bit numbers.
    Mpich,
}

/// A handle of MPI, such as a request. One that is a 32-bit number is in the lower half: there MPI writes it, and
/// reads it where it is passed.
pub(super) type Handle = usize;

// An `int` that is passed in a register is its lower half, and one in memory is the first half.
#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("feature `mpi`: needs a 64-bit little-endian machine");

/// Space for the status of any MPI (20 and 24 bytes).
#[repr(C, align(8))]
#[derive(Default)]
pub(super) struct ReceiveStatus([c_int; 8]);

impl ReceiveStatus {
    /// The sender of the message that was received.
    pub(super) fn source(&self) -> usize {
        self.0[loaded().source_at] as usize
    }
}

pub(super) const THREAD_SERIALIZED: c_int = 2;

/// More than any MPI's longest description of itself.
const LONGEST_VERSION: usize = 16 << 10;

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

/// Declares MPI functions: the table of their addresses, and functions that call them.
macro_rules! calls {
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

        $(pub(super) unsafe fn $name($($argument: $type),*) -> c_int {
            unsafe { (loaded().calls.$name)($($argument),*) }
        })*
    };
}

calls! {
    MPI_Abort(comm: Handle, code: c_int);
    MPI_Cancel(request: *mut Handle);
    MPI_Comm_group(comm: Handle, group: *mut Handle);
    MPI_Comm_rank(comm: Handle, rank: *mut c_int);
    MPI_Comm_set_errhandler(comm: Handle, handler: Handle);
    MPI_Comm_size(comm: Handle, size: *mut c_int);
    MPI_Error_string(code: c_int, text: *mut c_char, length: *mut c_int);
    MPI_Finalize();
    MPI_Get_count(status: *const ReceiveStatus, of: Handle, count: *mut c_int);
    MPI_Get_library_version(text: *mut c_char, length: *mut c_int);
    MPI_Group_free(group: *mut Handle);
    MPI_Group_size(group: Handle, size: *mut c_int);
    MPI_Group_translate_ranks(group: Handle, count: c_int, ranks: *const c_int, into: Handle, there: *mut c_int);
    MPI_Init_thread(count: *mut c_int, arguments: *mut *mut *mut c_char, wanted: c_int, given: *mut c_int);
    MPI_Initialized(flag: *mut c_int);
    MPI_Irecv(into: *mut c_void, count: c_int, of: Handle, from: c_int, tag: c_int, comm: Handle, request: *mut Handle);
    MPI_Isend(out: *const c_void, count: c_int, of: Handle, to: c_int, tag: c_int, comm: Handle, request: *mut Handle);
    MPI_Recv_init(into: *mut c_void, count: c_int, of: Handle, from: c_int, tag: c_int, comm: Handle, request: *mut Handle);
    MPI_Request_free(request: *mut Handle);
    MPI_Request_get_status(request: Handle, done: *mut c_int, status: *mut ReceiveStatus);
    MPI_Start(request: *mut Handle);
    MPI_Test(request: *mut Handle, done: *mut c_int, status: *mut ReceiveStatus);
    MPI_Wait(request: *mut Handle, status: *mut ReceiveStatus);
}

/// The calls of User-Level Failure Mitigation (MPI 5's fault tolerance), if this MPI has them.
pub(super) struct FailureCalls {
    pub(super) acknowledge: unsafe extern "C" fn(Handle) -> c_int,
    pub(super) acknowledged: unsafe extern "C" fn(Handle, *mut Handle) -> c_int,
}

impl FailureCalls {
    pub(super) fn find() -> Option<FailureCalls> {
        let program = Library::this(); // the library was loaded for the whole program
        // Safety: the types are those of the calls of these names in every MPI that has them.
        unsafe {
            let acknowledge = *program.get(b"MPIX_Comm_failure_ack\0").ok()?;
            let acknowledged = *program.get(b"MPIX_Comm_failure_get_acked\0").ok()?;
            Some(FailureCalls { acknowledge, acknowledged })
        }
    }
}

/// A handle that may have the highest bit of 32 set, as C passes an `int`: with its sign.
pub(super) fn by_value(handle: Handle) -> Handle {
    match loaded().interface {
        Interface::OpenMpi => handle,
        Interface::Mpich => handle as u32 as i32 as isize as usize,
    }
}

pub(super) fn comm_world() -> Handle {
    loaded().comm_world
}

pub(super) fn comm_self() -> Handle {
    loaded().comm_self
}

pub(super) fn errors_return() -> Handle {
    loaded().errors_return
}

pub(super) fn byte() -> Handle {
    loaded().byte
}

pub(super) fn request_null() -> Handle {
    loaded().request_null
}

pub(super) fn group_null() -> Handle {
    loaded().group_null
}

pub(super) fn any_source() -> c_int {
    loaded().any_source
}

pub(super) fn status_ignore() -> *mut ReceiveStatus {
    loaded().status_ignore as *mut ReceiveStatus
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

/// What the MPI library says it is; nothing if none is loaded. MPI need not be initialised.
pub(crate) fn library() -> String {
    if !is_loaded() {
        return String::new();
    }
    let (mut text, mut length) = (vec![0u8; LONGEST_VERSION], 0);
    // Safety: the buffer is longer than any MPI's longest text.
    let code = unsafe { MPI_Get_library_version(text.as_mut_ptr().cast(), &mut length) };
    let text = &text[..(length.max(0) as usize).min(text.len())];
    match code {
        0 => String::from_utf8_lossy(text).trim_end_matches('\0').to_string(),
        _ => String::new(),
    }
}
