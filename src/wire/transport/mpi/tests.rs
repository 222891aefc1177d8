//! Tests with two real ranks. Each test starts itself again under mpirun, where it runs its rank's part.

use std::process::Command;

use super::*;

/// Set if this process is a rank.
const RANK: &str = "GRIDMPI_TEST_IS_RANK";

/// How long to wait for an expected message.
const SOON: Duration = Duration::from_secs(60);

/// Longer than what may be under way.
const LONG: usize = 60 << 20;

/// If this process is a rank, initialises it. Otherwise starts two ranks, which must succeed.
fn on_two_ranks(test: &str) -> Option<MpiRanks> {
    if std::env::var_os(RANK).is_some() {
        load(Interface::OpenMpi, "libmpi.so.40".as_ref()).unwrap();
        return Some(MpiRanks::initialize(2).unwrap());
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut mpirun = Command::new("mpirun");
    mpirun.args(["--oversubscribe", "-n", "2"]).arg(std::env::current_exe().unwrap());
    mpirun.args(["--exact", &format!("{module}::{test}"), "--nocapture"]).env(RANK, "1");
    mpirun.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    let output = mpirun.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("test result: ok. 1 passed").count(), 2, "{said}");
    None
}

/// The next message at rank 0, and how many signs of life of rank 1 came before it.
fn at_hub(ranks: &mut MpiRanks) -> (Vec<u8>, usize) {
    let (begin, mut buffer, mut signs) = (Instant::now(), Vec::new(), 0);
    while begin.elapsed() < SOON {
        if let Some(rank) = Hub::receive(ranks, SOON, &mut buffer).unwrap() {
            assert_eq!(rank, 1);
            return (buffer, signs);
        }
        signs += usize::from(Hub::alive(ranks) == Some(1));
    }
    panic!("no message arrived");
}

/// The next message at rank 1, and how many signs of life of rank 0 came before it.
fn at_link(ranks: &mut MpiRanks) -> (Vec<u8>, usize) {
    let (begin, mut buffer, mut signs) = (Instant::now(), Vec::new(), 0);
    while begin.elapsed() < SOON {
        if Link::receive(ranks, SOON, &mut buffer).unwrap() {
            return (buffer, signs);
        }
        signs += usize::from(Link::alive(ranks));
    }
    panic!("no message arrived");
}

fn long(first: u8) -> Vec<u8> {
    (0..LONG).map(|i| first.wrapping_add((i % 251) as u8)).collect()
}

#[test]
fn a_long_message_shows_on_its_way_that_its_sender_is_there_and_order_is_kept() {
    let test = "a_long_message_shows_on_its_way_that_its_sender_is_there_and_order_is_kept";
    let Some(mut ranks) = on_two_ranks(test) else { return };
    if ranks.own_rank() == 1 {
        Link::send(&mut ranks, long(1).into()).unwrap();
        Link::send_small(&mut ranks, b"small").unwrap();
        Link::send(&mut ranks, long(2).into()).unwrap();
        assert_eq!(at_link(&mut ranks).0, b"reply");
        let (bytes, signs) = at_link(&mut ranks);
        assert!(bytes == long(3) && signs > 2, "{signs}");
        assert_eq!(at_link(&mut ranks).0, b"behind it");
        Link::send_small(&mut ranks, b"end").unwrap();
        return;
    }
    let (bytes, signs) = at_hub(&mut ranks);
    assert!(bytes == long(1) && signs > 2, "{signs}");
    assert_eq!(at_hub(&mut ranks).0, b"small");
    assert!(at_hub(&mut ranks).0 == long(2));
    while Hub::alive(&mut ranks).is_some() {}
    Hub::send(&mut ranks, 1, long(3).into()).unwrap();
    Hub::send_small(&mut ranks, 1, b"behind it").unwrap();
    Hub::send_reply(&mut ranks, 1, Bytes::from_static(b"reply")).unwrap();
    assert!(ranks.is_sending(1));
    let (bytes, signs) = at_hub(&mut ranks);
    assert!(bytes == b"end" && signs > 2, "a part that a rank receives is a sign of life: {signs}");
    assert!(!ranks.is_sending(1));
}

#[test]
fn a_small_message_behind_a_long_one_is_a_sign_at_once() {
    let Some(mut ranks) = on_two_ranks("a_small_message_behind_a_long_one_is_a_sign_at_once")
    else {
        return;
    };
    if ranks.own_rank() == 1 {
        Link::send(&mut ranks, long(1).into()).unwrap();
        assert_eq!(at_link(&mut ranks).0, b"announced");
        Link::send_small(&mut ranks, b"beat").unwrap();
        assert_eq!(at_link(&mut ranks).0, b"heard");
        assert_eq!(at_link(&mut ranks).0, b"end");
        return;
    }
    // Rank 0 wants no part before it has received the message behind them.
    let pace = ranks.traffic.lock().pace.take();
    for answer in ["announced", "heard"] {
        let begin = Instant::now();
        while Hub::alive(&mut ranks).is_none() {
            assert_eq!(Hub::receive(&mut ranks, SOON, &mut Vec::new()).unwrap(), None);
            assert!(begin.elapsed() < SOON, "no message arrived");
        }
        Hub::send_small(&mut ranks, 1, answer.as_bytes()).unwrap();
    }
    let mut pace = pace.unwrap();
    pace.to.add(1, LONG);
    ranks.traffic.lock().pace = Some(pace);
    assert!(at_hub(&mut ranks).0 == long(1));
    assert_eq!(at_hub(&mut ranks).0, b"beat");
    Hub::send_small(&mut ranks, 1, b"end").unwrap();
}
