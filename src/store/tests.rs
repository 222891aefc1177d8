//! Tests of the writer.

use super::*;

#[test]
fn what_the_writer_ended_with_is_said_whoever_finds_out() {
    let (queue, entries) = channel();
    drop(entries);
    let writer = std::thread::spawn(|| Err(Error::interrupted("the disk is full")));
    while !writer.is_finished() {
        std::thread::yield_now();
    }
    let store = Store {
        path: "runs.sqlite".into(),
        queue: Some(queue),
        pending: vec![StoreEntry::Lost { task: 0, attempt: 1, rank: 1 }],
        held: 0,
        queued: Arc::default(),
        writer: Some(writer),
        keeps_runs: true,
    };
    assert_eq!(store.flush().unwrap_err().to_string(), "the disk is full");
}
