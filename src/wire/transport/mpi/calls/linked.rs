//! The MPI library that gridmpi was built with, through rsmpi. Any MPI will do, also one whose binary interface is neither
//! of the two that can be loaded.

use std::ffi::{OsStr, c_char, c_int, c_void};

use mpi::ffi;

use crate::wire::transport::mpi::calls::{Handle, Interface, ReceiveStatus};

/// An argument as rsmpi declares it, with types of its own for handles: the same bits, or of a handle that is a 32-bit
/// number the lower half.
unsafe fn as_declared<T: Copy, Declared: Copy>(argument: T) -> Declared {
    const { assert!(size_of::<Declared>() <= size_of::<T>()) };
    // Safety: the caller passes what is of that type in C; it is no longer than the argument.
    unsafe { std::mem::transmute_copy(&argument) }
}

/// A handle that rsmpi declares. One that is a 32-bit number is the lower half.
fn handle<Declared: Copy>(declared: Declared) -> Handle {
    const { assert!(size_of::<Declared>() <= size_of::<Handle>()) };
    let mut handle: Handle = 0;
    // Safety: it is no longer than a handle.
    unsafe { std::ptr::write_unaligned((&raw mut handle).cast(), declared) };
    handle
}

/// Functions that call MPI's of the same names. A handle is a pointer or a 32-bit number, as the MPI has it.
macro_rules! linked_calls {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(pub(in crate::wire::transport::mpi) unsafe fn $name($($argument: $type),*) -> c_int {
            unsafe { ffi::$name($(as_declared($argument)),*) }
        })*
    };
}

for_each_call!(linked_calls);

pub(in crate::wire::transport::mpi) fn by_value(handle: Handle) -> Handle {
    handle
}

/// Constants of MPI, which rsmpi declares as variables.
macro_rules! handles {
    ($($name:ident = $constant:ident;)*) => {
        $(pub(in crate::wire::transport::mpi) fn $name() -> Handle {
            // Safety: it never changes.
            handle(unsafe { ffi::$constant })
        })*
    };
}

handles! {
    comm_world = RSMPI_COMM_WORLD;
    comm_self = RSMPI_COMM_SELF;
    errors_return = RSMPI_ERRORS_RETURN;
    byte = RSMPI_UINT8_T;
    request_null = RSMPI_REQUEST_NULL;
    group_null = RSMPI_GROUP_NULL;
}

pub(in crate::wire::transport::mpi) fn any_source() -> c_int {
    // Safety: it never changes.
    unsafe { ffi::RSMPI_ANY_SOURCE }
}

/// Which number of a status is the sender.
pub(in crate::wire::transport::mpi) fn source_at() -> usize {
    std::mem::offset_of!(ffi::MPI_Status, MPI_SOURCE) / size_of::<c_int>()
}

pub(in crate::wire::transport::mpi) fn status_ignore() -> *mut ReceiveStatus {
    // Safety: it never changes.
    unsafe { ffi::RSMPI_STATUS_IGNORE as *mut ReceiveStatus }
}

pub(super) fn is_loaded() -> bool {
    true
}

/// The interface that this program was built for, if it serves only one.
pub(crate) fn only_interface() -> Option<Interface> {
    Some(match size_of::<ffi::MPI_Request>() == size_of::<c_int>() {
        true => Interface::Mpich,
        false => Interface::OpenMpi,
    })
}

/// Nothing is to be loaded.
pub(crate) fn load(interface: Interface, _: &OsStr) -> Result<(), String> {
    match only_interface() == Some(interface) {
        true => Ok(()),
        false => Err("gridmpi is linked to another MPI".to_string()),
    }
}

const _: () = assert!(size_of::<ffi::MPI_Status>() <= size_of::<ReceiveStatus>());
