//! Tests that no operation on a connection waits for a slow one.

use std::sync::mpsc::{Receiver, Sender, channel};

use serde::Serializer;

use super::*;
use crate::executor::CallResult;
use crate::model::Scored;
use crate::wire::transport::threads::ThreadHub;
use crate::wire::transport::{Hub, threads};
use crate::worker::batch::one_by_one;

/// How long to wait for an expected message.
const SOON: Duration = Duration::from_secs(10);

fn connect() -> (ThreadHub, Connection) {
    let (hub, links) = threads::connect(1, 1);
    let link = links.into_iter().next().unwrap();
    (hub, Connection::new(Box::new(link), 1, false))
}

/// The next message; it borrows from `received`.
fn next<'a>(hub: &mut ThreadHub, received: &'a mut Vec<u8>) -> ToMaster<'a> {
    assert_eq!(hub.receive(SOON, received).unwrap(), Some(1));
    codec::decode(received).unwrap()
}

fn send(hub: &mut ThreadHub, message: &ToWorker) {
    hub.send(1, codec::encode(message).into()).unwrap();
}

#[test]
fn what_waits_behind_a_long_task_is_handed_back() {
    let (mut hub, connection) = connect();
    for first in [0, 7] {
        send(&mut hub, &ToWorker::Assign(Assignment { first, count: 1, attempt: 1 }));
    }
    let NextWork::Crunch(first) = connection.next().unwrap() else { panic!("a task comes first") };
    let long = one_by_one(|_| {
        std::thread::sleep(Duration::from_millis(200));
        connection.service(false).unwrap();
        CallResult::Number(1.0)
    });
    connection.batches()[0].crunch((first, None), long, |_| Ok(())).unwrap();
    let mut received = Vec::new();
    let ToMaster::Done(report) = next(&mut hub, &mut received) else { panic!() };
    assert_eq!(report.unbegun, Some(Assignment { first: 7, count: 1, attempt: 1 }));
    assert_eq!(report.runs.count(), 0);
}

#[test]
fn a_final_call_behind_a_long_one_is_handed_back() {
    let (mut hub, connection) = connect();
    let call = |index| {
        let (row, summary) = (Key { level: 1, index }, Scored::number(0.0));
        ToWorker::Final(Box::new(FinalCall { row, attempt: 2, summary }))
    };
    send(&mut hub, &call(0));
    let NextWork::Final(first) = connection.next().unwrap() else { panic!("a final call") };
    send(&mut hub, &call(5));
    send(&mut hub, &ToWorker::Assign(Assignment { first: 7, count: 1, attempt: 1 }));
    connection.batches()[0].beside(|| {
        connection.service(false).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        connection.service(false).unwrap();
    });
    assert_eq!(first.row.index, 0);
    let mut received = Vec::new();
    let ToMaster::Done(report) = next(&mut hub, &mut received) else { panic!() };
    assert_eq!(report.unbegun, Some(Assignment { first: 7, count: 1, attempt: 1 }));
    let back = next(&mut hub, &mut received);
    assert_eq!(back, ToMaster::FinalUnbegun { row: Key { level: 1, index: 5 }, attempt: 2 });
}

/// A message whose encoding blocks until released.
struct Long {
    begun: Sender<()>,
    end: Receiver<()>,
}

impl Serialize for Long {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.begun.send(()).unwrap();
        let _ = self.end.recv_timeout(SOON);
        ToMaster::Broken("long".to_string()).serialize(serializer)
    }
}

#[test]
fn a_heartbeat_does_not_wait_for_a_message_that_is_being_encoded() {
    let (mut hub, connection) = connect();
    let (begun, has_begun) = channel();
    let (to_end, end) = channel();
    let long = Long { begun, end };
    let mut received = Vec::new();
    std::thread::scope(|scope| {
        let connection = &connection;
        let sending = scope.spawn(move || connection.post(&long, |_| ()));
        has_begun.recv_timeout(SOON).unwrap();
        connection.send_heartbeat();
        assert!(matches!(next(&mut hub, &mut received), ToMaster::Hello { .. }));
        to_end.send(()).unwrap();
        sending.join().unwrap().unwrap();
    });
    assert_eq!(next(&mut hub, &mut received), ToMaster::Broken("long".to_string()));
}

#[test]
fn what_comes_while_a_message_is_being_decoded_comes_after_it() {
    let (mut hub, connection) = connect();
    send(&mut hub, &ToWorker::Job(Bytes::new()));
    assert!(connection.request_job().unwrap().is_some());
    connection.ready().unwrap();
    let mut received = Vec::new();
    assert!(matches!(next(&mut hub, &mut received), ToMaster::Hello { .. }));
    assert!(matches!(next(&mut hub, &mut received), ToMaster::Done(_)));
    // Another thread is about to decode a group to reduce.
    let reduce = ToWorker::Reduce { key: Key { level: 0, index: 0 }, items: Vec::new() };
    {
        let mut state = connection.state.lock();
        state.decoding = true;
        state.to_decode.push_back(codec::encode(&reduce).into());
    }
    send(&mut hub, &ToWorker::Dismiss { skip_finalize: false, farewell: false });
    connection.service(false).unwrap();
    connection.send_heartbeat();
    let beat = next(&mut hub, &mut received);
    assert_eq!(
        beat,
        ToMaster::Heartbeat { idle: false, computes: false },
        "it does not wait, and the worker is not idle"
    );
    {
        let mut state = connection.state.lock();
        assert!(state.unclaimed.is_empty(), "no message overtakes it");
        connection.decode(&mut state).unwrap();
        state.decoding = false;
    }
    assert!(matches!(connection.next().unwrap(), NextWork::Reduce(..)));
    assert!(matches!(connection.next().unwrap(), NextWork::Leave));
}

#[test]
fn a_long_message_is_read_in_its_turn() {
    let (mut hub, connection) = connect();
    let long = Bytes::from(vec![7; 3 * LONG]);
    send(&mut hub, &ToWorker::Job(long.clone()));
    send(&mut hub, &ToWorker::Assign(Assignment { first: 3, count: 1, attempt: 1 }));
    assert_eq!(connection.request_job().unwrap(), Some(long.clone()));
    let NextWork::Crunch(task) = connection.next().unwrap() else { panic!("it was given a task") };
    assert_eq!(task.first, 3);
    connection.send(&ToMaster::Broken("x".repeat(3 * LONG))).unwrap();
    let mut received = Vec::new();
    assert!(matches!(next(&mut hub, &mut received), ToMaster::Hello { .. }));
    assert_eq!(next(&mut hub, &mut received), ToMaster::Broken("x".repeat(3 * LONG)));
}
