//! `gridmpi watch` in a terminal emulator.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::Desk;

/// How long the screen may take to show something.
const PATIENCE: Duration = Duration::from_secs(40);

/// `gridmpi watch` in a terminal.
pub(crate) struct Terminal {
    pub process: Child,
    keys: ChildStdin,
    pub screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    pub(crate) fn watch(desk: &Desk) -> Terminal {
        Terminal::watch_in(desk, 40, 140)
    }

    pub(crate) fn watch_in(desk: &Desk, rows: u16, columns: u16) -> Terminal {
        let program = env!("CARGO_BIN_EXE_gridmpi");
        let line =
            format!("stty rows {rows} cols {columns}; {program} watch out; echo left with $?");
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        script.current_dir(desk.path("")).env("TERM", "xterm-256color");
        let mut process = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let size = |number| std::num::NonZero::new(number).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(rows), size(columns), 0)));
        let (shown, mut out) = (screen.clone(), process.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..read]);
            }
        });
        let keys = process.stdin.take().unwrap();
        Terminal { process, keys, screen, reader: Some(reader) }
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows all of this.
    pub(crate) fn until(&self, parts: &[&str]) -> String {
        let begin = Instant::now();
        loop {
            let text = self.text();
            if parts.iter().all(|part| text.contains(part)) {
                return text;
            }
            assert!(begin.elapsed() < PATIENCE, "never {parts:?}:\n{text}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Presses these keys once the page is there, and waits until it has left.
    pub(crate) fn leaves_after(mut self, keys: &str) {
        let begin = Instant::now();
        let wait = |terminal: &mut Terminal, is_so: &dyn Fn(&mut Terminal) -> bool| {
            while !is_so(terminal) {
                assert!(begin.elapsed() < 2 * PATIENCE, "{}", terminal.text());
                std::thread::sleep(Duration::from_millis(30));
            }
        };
        wait(&mut self, &|terminal| terminal.screen.lock().unwrap().screen().alternate_screen());
        self.press(keys);
        wait(&mut self, &|terminal| terminal.process.try_wait().unwrap().is_some());
        assert!(!self.text().contains("panicked"), "{}", self.text());
    }

    /// Waits for the end; returns the restored screen.
    pub(crate) fn end(mut self) -> String {
        self.until(&["left with"]);
        self.process.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let screen = self.screen.lock().unwrap();
        assert!(!screen.screen().alternate_screen() && !screen.screen().hide_cursor());
        screen.screen().contents()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
