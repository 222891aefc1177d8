//! Log messages on stderr, each with time and rank.

use std::io::Write;

use env_logger::{Env, Target};

use crate::rank0::progress::bar::LogSink;
use crate::util::text::visible_lines;

/// Starts logging for this process's rank; messages of worker threads carry the thread's name.
pub(super) fn start(rank: usize, verbose: u8) {
    let level = match verbose {
        0 => "gridmpi=info,warn",
        1 => "gridmpi=debug,warn",
        _ => "trace",
    };
    env_logger::Builder::from_env(Env::default().default_filter_or(level))
        .target(Target::Pipe(Box::new(LogSink)))
        .format(move |out, record| {
            let time = out.timestamp_seconds();
            let (level, message) = (record.level(), visible_lines(&record.args().to_string()));
            let thread = std::thread::current();
            match thread.name().filter(|name| name.starts_with("rank ")) {
                Some(name) => writeln!(out, "[{time} {name} {level}] {message}"),
                None => writeln!(out, "[{time} rank {rank} {level}] {message}"),
            }
        })
        .try_init()
        .ok(); // a study's program may have its own logger
}
