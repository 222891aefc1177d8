//! A program whose stderr is read while it runs.

#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::common::Ran;

/// How long a line is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Heard {
    child: Child,
    lines: Receiver<String>,
    /// What was said so far.
    stderr: String,
}

impl Heard {
    pub fn start(mut command: Command) -> Heard {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (say, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| say.send(line))
        });
        Heard { child, lines, stderr: String::new() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until stderr has a line that contains `text`. Returns whether it comes.
    pub fn hears(&mut self, text: &str) -> bool {
        let end = Instant::now() + PATIENCE;
        while !self.stderr.lines().any(|line| line.contains(text)) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else { return false };
            self.stderr += &format!("{line}\n");
        }
        true
    }

    /// The same for a line that has to come.
    pub fn hear(&mut self, text: &str) {
        assert!(self.hears(text), "nobody said {text}: {}", self.stderr);
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ran {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let mut stderr = self.stderr;
        stderr.extend(self.lines.iter().map(|line| line + "\n"));
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Ran { code, stdout, stderr }
    }
}
