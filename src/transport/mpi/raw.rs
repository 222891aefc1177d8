//! The few MPI calls that gridmpi makes, with their return codes: rsmpi's safe calls throw those away,
//! and a rank that dies shows in nothing else. Nothing here waits.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use bytes::Bytes;
use mpi::ffi::*;

/// Where a message may come from.
#[derive(Clone, Copy)]
pub(super) enum From {
    Rank(usize),
    Anybody,
}

/// A message that can be received now.
pub(super) struct Probed {
    pub(super) rank: usize,
    pub(super) tag: c_int,
    /// (bytes)
    pub(super) length: usize,
}

/// MPI said that a call failed, in these words.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

/// All ranks, as MPI_COMM_WORLD has them.
pub(super) struct World {
    comm: MPI_Comm,
    failed: Option<FailedCalls>,
}

// Sound because MPI gave MPI_THREAD_SERIALIZED: any thread may call it, one at a time, and whoever
// calls has this or what is made by it exclusively.
unsafe impl Send for World {}
unsafe impl Send for Sending {}
unsafe impl Send for Receiving {}

impl World {
    /// After MPI has been initialised. From here on calls return what is wrong instead of ending the job.
    pub(super) fn new() -> World {
        // Safety: MPI is initialised, and these handles are MPI's own.
        unsafe {
            let comm = RSMPI_COMM_WORLD;
            MPI_Comm_set_errhandler(comm, RSMPI_ERRORS_RETURN);
            MPI_Comm_set_errhandler(RSMPI_COMM_SELF, RSMPI_ERRORS_RETURN);
            World { comm, failed: FailedCalls::find() }
        }
    }

    /// Whether a message is there.
    pub(super) fn probe(&self, from: From) -> Result<Option<Probed>, Failure> {
        // Safety: the outputs are valid for writing, and read only if MPI says it has written them.
        unsafe {
            let source = match from {
                From::Rank(rank) => rank as c_int,
                From::Anybody => RSMPI_ANY_SOURCE,
            };
            let (mut there, mut length) = (0, 0);
            let mut status = MaybeUninit::<MPI_Status>::zeroed();
            let code =
                MPI_Iprobe(source, RSMPI_ANY_TAG, self.comm, &mut there, status.as_mut_ptr());
            check(code)?;
            if there == 0 {
                return Ok(None);
            }
            check(MPI_Get_count(status.as_ptr(), RSMPI_UINT8_T, &mut length))?;
            let status = status.assume_init();
            let (rank, tag) = (status.MPI_SOURCE as usize, status.MPI_TAG);
            Ok(Some(Probed { rank, tag, length: length as usize }))
        }
    }

    /// Begins to receive a message that was probed.
    pub(super) fn receive(&self, probed: &Probed) -> Result<Receiving, Failure> {
        let mut bytes = vec![0u8; probed.length];
        // Safety: the buffer has that many bytes; `Receiving` keeps it until MPI has done with it.
        unsafe {
            let mut request = RSMPI_REQUEST_NULL;
            check(MPI_Irecv(
                bytes.as_mut_ptr().cast::<c_void>(),
                probed.length as c_int,
                RSMPI_UINT8_T,
                probed.rank as c_int,
                probed.tag,
                self.comm,
                &mut request,
            ))?;
            Ok(Receiving { request, bytes, tag: probed.tag, over: false })
        }
    }

    /// Receives a message that was probed and is so small that it has come whole.
    pub(super) fn receive_now(&self, probed: &Probed, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        buffer.clear();
        buffer.resize(probed.length, 0);
        // Safety: the buffer has that many bytes, and MPI has done with it when the call returns.
        unsafe {
            check(MPI_Recv(
                buffer.as_mut_ptr().cast::<c_void>(),
                probed.length as c_int,
                RSMPI_UINT8_T,
                probed.rank as c_int,
                probed.tag,
                self.comm,
                RSMPI_STATUS_IGNORE,
            ))
        }
    }

    /// Begins to send; at most 2^31 - 1 bytes.
    pub(super) fn send(&self, rank: usize, tag: c_int, out: Outgoing) -> Result<Sending, Failure> {
        let bytes: &[u8] = match &out {
            Outgoing::Shared(bytes) => bytes,
            Outgoing::Own(bytes) => bytes,
        };
        // Safety: the bytes stay where they are, and `Sending` keeps them until MPI has done with them.
        unsafe {
            let mut request = RSMPI_REQUEST_NULL;
            check(MPI_Isend(
                bytes.as_ptr().cast::<c_void>(),
                bytes.len() as c_int,
                RSMPI_UINT8_T,
                rank as c_int,
                tag,
                self.comm,
                &mut request,
            ))?;
            Ok(Sending { request, out, over: false })
        }
    }

    /// The ranks that MPI knows to be dead; none if this MPI does not tell.
    pub(super) fn dead(&self) -> Vec<usize> {
        self.failed.as_ref().map_or(Vec::new(), |failed| failed.ranks(self.comm))
    }
}

/// Shuts MPI down. Waits for other ranks, some of which may be dead.
pub(super) fn finalize() {
    // Safety: called once, last of all.
    unsafe {
        MPI_Finalize();
    }
}

/// Ends this process at once, whatever MPI is at.
pub(super) fn leave(code: c_int) -> ! {
    unsafe extern "C" {
        fn _exit(code: c_int) -> !;
    }
    // Safety: it does not come back.
    unsafe { _exit(code) }
}

/// Has the process end at once when it ends: MPI does not shut down, and would hold up what is done
/// at exit. Only where the C library tells the status then.
pub(super) fn leave_at_exit() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        extern "C" fn now(status: c_int, _: *mut c_void) {
            leave(status)
        }
        unsafe extern "C" {
            fn on_exit(call: extern "C" fn(c_int, *mut c_void), with: *mut c_void) -> c_int;
        }
        // Safety: the function lives as long as the process, and what was registered last runs first.
        unsafe { on_exit(now, std::ptr::null_mut()) };
    }
}

/// What is sent: it has to stay where it is meanwhile, which neither does when it is moved.
pub(super) enum Outgoing {
    Shared(Bytes),
    Own(Vec<u8>),
}

/// A message on its way out.
pub(super) struct Sending {
    request: MPI_Request,
    out: Outgoing,
    over: bool,
}

impl Sending {
    /// Whether MPI has done with it.
    pub(super) fn is_over(&mut self) -> Result<bool, Failure> {
        test(&mut self.request, &mut self.over)
    }

    /// The buffer of what has been sent, emptied, if it was this message's own.
    pub(super) fn buffer(mut self) -> Option<Vec<u8>> {
        match &mut self.out {
            Outgoing::Own(buffer) if self.over => {
                buffer.clear();
                Some(std::mem::take(buffer))
            }
            _ => None,
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.over {
            // MPI may still read it: it is never freed.
            match &mut self.out {
                Outgoing::Shared(bytes) => std::mem::forget(bytes.clone()),
                Outgoing::Own(buffer) => std::mem::forget(std::mem::take(buffer)),
            }
        }
    }
}

/// A message on its way in.
pub(super) struct Receiving {
    request: MPI_Request,
    bytes: Vec<u8>,
    pub(super) tag: c_int,
    over: bool,
}

impl Receiving {
    /// Whether all of it is there.
    pub(super) fn is_over(&mut self) -> Result<bool, Failure> {
        test(&mut self.request, &mut self.over)
    }

    /// What has come.
    pub(super) fn take(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.over {
            std::mem::forget(std::mem::take(&mut self.bytes)); // MPI may still write to it
        }
    }
}

fn test(request: &mut MPI_Request, over: &mut bool) -> Result<bool, Failure> {
    if !*over {
        let mut done = 0;
        let mut status = MaybeUninit::<MPI_Status>::zeroed();
        // Safety: the request is one that MPI gave and has not ended.
        let code = unsafe { MPI_Test(request, &mut done, status.as_mut_ptr()) };
        *over = done != 0 || code != 0; // a request that failed has ended
        check(code)?;
    }
    Ok(*over)
}

fn check(code: c_int) -> Result<(), Failure> {
    if code == 0 {
        return Ok(());
    }
    let mut text = [0u8; 4096];
    let mut length = 0;
    // Safety: the buffer is longer than any MPI's longest text.
    unsafe { MPI_Error_string(code, text.as_mut_ptr().cast(), &mut length) };
    let text = &text[..(length.max(0) as usize).min(text.len())];
    Err(Failure(format!("MPI error {code}: {}", String::from_utf8_lossy(text))))
}

/// The calls of User-Level Failure Mitigation (MPI 5's fault tolerance), where the MPI has them. They
/// are looked up at run time, so that one program does for every MPI of its kind.
struct FailedCalls {
    acknowledge: unsafe extern "C" fn(MPI_Comm) -> c_int,
    acknowledged: unsafe extern "C" fn(MPI_Comm, *mut MPI_Group) -> c_int,
}

impl FailedCalls {
    fn find() -> Option<FailedCalls> {
        let program = libloading::os::unix::Library::this();
        // Safety: the types are those of the calls of these names in every MPI that has them.
        unsafe {
            let acknowledge = *program.get(b"MPIX_Comm_failure_ack\0").ok()?;
            let acknowledged = *program.get(b"MPIX_Comm_failure_get_acked\0").ok()?;
            Some(FailedCalls { acknowledge, acknowledged })
        }
    }

    fn ranks(&self, comm: MPI_Comm) -> Vec<usize> {
        // Safety: the groups are MPI's; the arrays are as long as it is told.
        unsafe {
            let (mut dead, mut all) = (RSMPI_GROUP_NULL, RSMPI_GROUP_NULL);
            if (self.acknowledge)(comm) != 0 || (self.acknowledged)(comm, &mut dead) != 0 {
                return Vec::new();
            }
            let mut size = 0;
            MPI_Comm_group(comm, &mut all);
            MPI_Group_size(dead, &mut size);
            let (within, mut ranks): (Vec<c_int>, _) =
                ((0..size).collect(), vec![0; size as usize]);
            if size > 0 {
                MPI_Group_translate_ranks(dead, size, within.as_ptr(), all, ranks.as_mut_ptr());
                MPI_Group_free(&mut dead);
            }
            MPI_Group_free(&mut all);
            ranks.into_iter().filter_map(|rank| usize::try_from(rank).ok()).collect()
        }
    }
}
