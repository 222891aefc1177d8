//! The few MPI calls that gridmpi makes, with their return codes: nothing else shows that a rank has died. No call
//! blocks.

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};

use crate::wire::transport::mpi::calls::*;
use bytes::Bytes;

/// Where a message may come from.
#[derive(Clone, Copy)]
pub(super) enum MessageSource {
    Rank(usize),
    Anybody,
}

/// The error message of a failed MPI call.
#[derive(Debug)]
pub(super) struct MpiFailure(pub(super) String);

/// Number of posted receives for small messages.
const SLOTS: usize = 8;
/// Buffer size of a posted receive. (bytes)
pub(super) const SLOT: usize = 257;

/// Posted receives for small messages, so that MPI writes each message directly to its buffer instead of
/// an internal one. They are started in turn, and MPI fills them in that order.
pub(super) struct PostedReceives {
    /// Buffers that are never freed: MPI may write to them until the receives are cancelled.
    slots: &'static mut [[u8; SLOT]; SLOTS],
    requests: [Handle; SLOTS],
    /// The slot that is filled next.
    next: usize,
}

/// All ranks: MPI_COMM_WORLD. MPI gave MPI_THREAD_SERIALIZED: any thread may call it, one at a time, and whoever calls
/// has this or what is made by it exclusively.
pub(super) struct World {
    comm: Handle,
    failed: Option<FailureCalls>,
}

impl World {
    /// Call after MPI is initialised. From here on, calls return errors instead of aborting the job.
    pub(super) fn new() -> World {
        // Safety: MPI is initialised, and these handles are MPI's own.
        unsafe {
            let comm = comm_world();
            MPI_Comm_set_errhandler(comm, errors_return());
            MPI_Comm_set_errhandler(comm_self(), errors_return());
            World { comm, failed: FailureCalls::find() }
        }
    }

    /// This process's rank, and the number of ranks.
    pub(super) fn place(&self) -> Result<(usize, usize), MpiFailure> {
        let (mut rank, mut size) = (0, 0);
        // Safety: MPI writes to these alone.
        unsafe {
            check(MPI_Comm_rank(self.comm, &mut rank))?;
            check(MPI_Comm_size(self.comm, &mut size))?;
        }
        Ok((rank as usize, size as usize))
    }

    /// Starts to send; at most 2^31 - 1 bytes.
    pub(super) fn send(
        &self,
        rank: usize,
        tag: c_int,
        bytes: Bytes,
    ) -> Result<Sending, MpiFailure> {
        // Safety: `Sending` keeps the bytes until MPI has done with them.
        let request = unsafe { self.start_send(rank, tag, &bytes)? };
        Ok(Sending { request, out: Outgoing::Shared(bytes), over: false })
    }

    /// Sends the bytes of a buffer. Mostly MPI has done with a small message at once; if not, the buffer is
    /// taken into the send that is returned. It is not moved otherwise: each message to a worker is sent
    /// here.
    pub(super) fn send_small(
        &self,
        rank: usize,
        tag: c_int,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Sending>, MpiFailure> {
        // Safety: either MPI has done with the bytes, or `Sending` takes and keeps them.
        let mut request = unsafe { self.start_send(rank, tag, buffer)? };
        let mut over = false;
        let tested = test(&mut request, &mut over);
        if over {
            return tested.map(|_| None);
        }
        let out = Outgoing::Own(std::mem::take(buffer));
        let sending = Sending { request, out, over };
        tested.map(|_| Some(sending))
    }

    /// Safety: the bytes must stay where they are until MPI has done with them.
    unsafe fn start_send(
        &self,
        rank: usize,
        tag: c_int,
        bytes: &[u8],
    ) -> Result<Handle, MpiFailure> {
        unsafe {
            let mut request = request_null();
            check(MPI_Isend(
                bytes.as_ptr().cast::<c_void>(),
                bytes.len() as c_int,
                byte(),
                rank as c_int,
                tag,
                self.comm,
                &mut request,
            ))?;
            Ok(request)
        }
    }

    /// The ranks that MPI knows to be dead; none if this MPI does not report failures.
    pub(super) fn dead(&self) -> Vec<usize> {
        self.failed.as_ref().map_or(Vec::new(), |failed| dead_ranks(failed, self.comm))
    }
}

impl PostedReceives {
    /// Posts receives for messages with this tag.
    pub(super) fn new(
        world: &World,
        from: MessageSource,
        tag: c_int,
    ) -> Result<PostedReceives, MpiFailure> {
        let slots = Box::leak(Box::new([[0; SLOT]; SLOTS]));
        // Safety: a slot has that many bytes, and lives for ever.
        unsafe {
            let mut requests = [request_null(); SLOTS];
            let source = match from {
                MessageSource::Rank(rank) => rank as c_int,
                MessageSource::Anybody => any_source(),
            };
            for (slot, request) in slots.iter_mut().zip(&mut requests) {
                check(MPI_Recv_init(
                    slot.as_mut_ptr().cast::<c_void>(),
                    SLOT as c_int,
                    byte(),
                    source,
                    tag,
                    world.comm,
                    request,
                ))?;
                check(MPI_Start(request))?;
            }
            Ok(PostedReceives { slots, requests, next: 0 })
        }
    }

    /// Receives the next message, if it has arrived, into `buffer`, replacing its contents; returns its
    /// sender.
    pub(super) fn take(&mut self, buffer: &mut Vec<u8>) -> Result<Option<usize>, MpiFailure> {
        let (slot, request) = (&self.slots[self.next], &mut self.requests[self.next]);
        // Safety: the request is one of MPI's own, which outlives its use. MPI does not write to the slot
        // between the end of one receive and the start of the next.
        unsafe {
            let (mut there, mut length) = (0, 0);
            let mut status = ReceiveStatus::default();
            let tested = check(MPI_Test(request, &mut there, &mut status));
            if tested.is_err() {
                // The error may report the death of a rank, after which the receive goes on, or its own end.
                let asked = MPI_Request_get_status(by_value(*request), &mut there, &mut status);
                if asked == 0 && there != 0 {
                    check(MPI_Start(request))?;
                }
                tested?;
            }
            if there == 0 {
                return Ok(None);
            }
            check(MPI_Get_count(&status, byte(), &mut length))?;
            buffer.clear();
            buffer.extend_from_slice(&slot[..length as usize]);
            self.next = (self.next + 1) % SLOTS;
            check(MPI_Start(request))?;
            Ok(Some(status.source()))
        }
    }

    /// Cancels all receives, before MPI is shut down.
    pub(super) fn end(&mut self) {
        for request in &mut self.requests {
            // Safety: the request is one of MPI's own; a receive that is cancelled is over.
            unsafe {
                MPI_Cancel(request);
                MPI_Wait(request, status_ignore());
                MPI_Request_free(request);
            }
        }
    }
}

/// Initialises MPI for calls from any thread, one at a time; returns the level of threads that it gives. MPI can be
/// initialised once per process.
pub(super) fn initialize() -> Result<c_int, MpiFailure> {
    let (mut before, mut given) = (0, 0);
    // Safety: MPI takes no arguments, and writes to these alone.
    unsafe {
        check(MPI_Initialized(&mut before))?;
        if before != 0 {
            return Err(MpiFailure("it was initialised before".to_string()));
        }
        let none = std::ptr::null_mut();
        check(MPI_Init_thread(none, std::ptr::null_mut(), THREAD_SERIALIZED, &mut given))?;
    }
    Ok(given)
}

/// Aborts all ranks, this one last.
pub(super) fn abort(code: c_int) -> ! {
    // Safety: MPI is initialised, and calls from one thread at a time are.
    unsafe { MPI_Abort(comm_world(), code) };
    leave(code)
}

/// Shuts MPI down. Blocks until the other ranks do so too; hangs if one is dead.
pub(super) fn finalize() {
    // Safety: called once, last of all.
    unsafe {
        MPI_Finalize();
    }
}

/// Exits this process at once, without exit handlers, whatever state MPI is in.
pub(super) fn leave(code: c_int) -> ! {
    unsafe extern "C" {
        fn _exit(code: c_int) -> !;
    }
    // Safety: it does not come back.
    unsafe { _exit(code) }
}

/// Registers an exit handler that exits at once, because exit handlers of an MPI that is not shut down
/// can hang. Only where the C library passes the exit status to handlers.
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

/// The bytes of a send. They must not move in memory; neither variant moves them when it is moved.
enum Outgoing {
    Shared(Bytes),
    Own(Vec<u8>),
}

/// A send in flight.
pub(super) struct Sending {
    request: Handle,
    out: Outgoing,
    over: bool,
}

impl Sending {
    /// Whether the send is complete.
    pub(super) fn is_over(&mut self) -> Result<bool, MpiFailure> {
        test(&mut self.request, &mut self.over)
    }

    /// The cleared buffer of a completed send, if the message owned it.
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
            // MPI may still read the bytes, so they are never freed.
            match &mut self.out {
                Outgoing::Shared(bytes) => std::mem::forget(bytes.clone()),
                Outgoing::Own(buffer) => std::mem::forget(std::mem::take(buffer)),
            }
        }
    }
}

/// A message being received, in one part or several.
pub(super) struct Receiving {
    rank: usize,
    tag: c_int,
    /// Receives in flight, and how many bytes were posted so far.
    requests: VecDeque<Handle>,
    expected: usize,
    bytes: Vec<u8>,
}

impl Receiving {
    pub(super) fn new(rank: usize, tag: c_int, length: usize) -> Receiving {
        let (requests, bytes) = (VecDeque::new(), vec![0; length]);
        Receiving { rank, tag, requests, expected: 0, bytes }
    }

    /// How many bytes are not posted.
    pub(super) fn unposted(&self) -> usize {
        self.bytes.len() - self.expected
    }

    /// Posts the receive of the next part.
    pub(super) fn post(&mut self, world: &World, length: usize) -> Result<(), MpiFailure> {
        let length = length.min(self.unposted());
        // Safety: the part lies within the buffer, and stays where it is until MPI has done with it: the
        // buffer neither grows nor is freed before.
        unsafe {
            let mut request = request_null();
            check(MPI_Irecv(
                self.bytes.as_mut_ptr().add(self.expected).cast::<c_void>(),
                length as c_int,
                byte(),
                self.rank as c_int,
                self.tag,
                world.comm,
                &mut request,
            ))?;
            self.requests.push_back(request);
        }
        self.expected += length;
        Ok(())
    }

    /// Whether the next part has arrived; says so once.
    pub(super) fn arrived(&mut self) -> Result<bool, MpiFailure> {
        let Some(request) = self.requests.front_mut() else { return Ok(false) };
        let mut over = false;
        let tested = test(request, &mut over);
        if over {
            self.requests.pop_front();
        }
        tested
    }

    /// Whether all parts have arrived.
    pub(super) fn is_over(&self) -> bool {
        self.expected == self.bytes.len() && self.requests.is_empty()
    }

    pub(super) fn take(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.requests.is_empty() {
            std::mem::forget(std::mem::take(&mut self.bytes)); // MPI may still write to it
        }
    }
}

fn test(request: &mut Handle, over: &mut bool) -> Result<bool, MpiFailure> {
    if !*over {
        let mut done = 0;
        let mut status = ReceiveStatus::default();
        // Safety: the request is one that MPI gave and has not ended.
        let code = unsafe { MPI_Test(request, &mut done, &mut status) };
        *over = done != 0 || code != 0; // a failed request has ended
        check(code)?;
    }
    Ok(*over)
}

fn check(code: c_int) -> Result<(), MpiFailure> {
    if code == 0 {
        return Ok(());
    }
    let mut text = [0u8; 4096];
    let mut length = 0;
    // Safety: the buffer is longer than any MPI's longest text.
    unsafe { MPI_Error_string(code, text.as_mut_ptr().cast(), &mut length) };
    let text = &text[..(length.max(0) as usize).min(text.len())];
    Err(MpiFailure(format!("MPI error {code}: {}", String::from_utf8_lossy(text))))
}

/// The ranks that MPI knows to be dead.
fn dead_ranks(calls: &FailureCalls, comm: Handle) -> Vec<usize> {
    // Safety: the groups are MPI's; the arrays are as long as it is told.
    unsafe {
        let (mut dead, mut all) = (group_null(), group_null());
        if (calls.acknowledge)(comm) != 0 || (calls.acknowledged)(comm, &mut dead) != 0 {
            return Vec::new();
        }
        let mut size = 0;
        MPI_Comm_group(comm, &mut all);
        MPI_Group_size(by_value(dead), &mut size);
        let (within, mut ranks): (Vec<c_int>, _) = ((0..size).collect(), vec![0; size as usize]);
        if size > 0 {
            let (from, into) = (by_value(dead), by_value(all));
            MPI_Group_translate_ranks(from, size, within.as_ptr(), into, ranks.as_mut_ptr());
            MPI_Group_free(&mut dead);
        }
        MPI_Group_free(&mut all);
        ranks.into_iter().filter_map(|rank| usize::try_from(rank).ok()).collect()
    }
}
