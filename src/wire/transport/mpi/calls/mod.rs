//! The MPI calls that gridmpi makes, of one library or the other: of the one that it is linked to by rsmpi (feature
//! `rsmpi`, `linked.rs`), or of the one that it loads when a launcher starts it (`loaded.rs`), so that one program runs
//! under the MPI that launches it.

#![allow(unsafe_code, non_snake_case)]

/// Hands the list of the calls to a macro, which makes functions of them.
macro_rules! for_each_call {
    ($make:ident) => {
        $make! {
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
    };
}

// After the list, which they read.
#[cfg(feature = "rsmpi")]
mod linked;
#[cfg(not(feature = "rsmpi"))]
mod loaded;

use std::ffi::c_int;

use libloading::os::unix::Library;

#[cfg(feature = "rsmpi")]
pub(crate) use linked::*;
#[cfg(not(feature = "rsmpi"))]
pub(crate) use loaded::*;

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
        self.0[source_at()] as usize
    }
}

pub(super) const THREAD_SERIALIZED: c_int = 2;

/// More than any MPI's longest description of itself.
const LONGEST_VERSION: usize = 16 << 10;

/// The calls of User-Level Failure Mitigation (MPI 5's fault tolerance), if this MPI has them.
pub(super) struct FailureCalls {
    pub(super) acknowledge: unsafe extern "C" fn(Handle) -> c_int,
    pub(super) acknowledged: unsafe extern "C" fn(Handle, *mut Handle) -> c_int,
}

impl FailureCalls {
    pub(super) fn find() -> Option<FailureCalls> {
        let program = Library::this(); // MPI is linked, or was loaded for the whole program
        // Safety: the types are those of the calls of these names in every MPI that has them.
        unsafe {
            let acknowledge = *program.get(b"MPIX_Comm_failure_ack\0").ok()?;
            let acknowledged = *program.get(b"MPIX_Comm_failure_get_acked\0").ok()?;
            Some(FailureCalls { acknowledge, acknowledged })
        }
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
