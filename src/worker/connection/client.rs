//! What crunch knows of the connection.

use std::sync::Arc;

use crate::model::RunOutput;
use crate::util::error::Result;
use crate::wire::requests::{MasterClient, Reply, Request};
use crate::worker::connection::Connection;

/// One thread's handle on the connection, for crunch.
#[derive(Clone)]
pub(crate) struct ThreadConnection {
    connection: Arc<Connection>,
    thread: u32,
}

impl ThreadConnection {
    pub(crate) fn new(connection: &Arc<Connection>, thread: u32) -> ThreadConnection {
        ThreadConnection { connection: connection.clone(), thread }
    }
}

impl MasterClient for ThreadConnection {
    fn ask(&self, request: Request) -> Result<Reply> {
        self.connection.ask(self.thread, request)
    }

    fn is_cancelled(&self) -> bool {
        self.connection.poll();
        self.connection.batches()[self.thread as usize].is_cancelled()
    }

    fn claim(&self, until: u64) -> u64 {
        self.connection.batches()[self.thread as usize].claim(until)
    }

    fn gather(&self, run: (u64, u32), output: &Arc<RunOutput>) {
        self.connection.batches()[self.thread as usize].output.gather(run, output);
    }
}
