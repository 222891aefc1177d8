//! A real browser, controlled through the DevTools protocol: what it displays, its errors, and its network
//! requests.

#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// Timeout of every operation.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    last: u64,
    events: Vec<Json>,
    _profile: TempDir,
}

/// The browser named by GRIDMPI_TEST_BROWSER, else the first one found.
fn program() -> String {
    if let Ok(named) = std::env::var("GRIDMPI_TEST_BROWSER") {
        return named;
    }
    let known = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let there = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    known.iter().find(there).expect("no Chromium here: run scripts/test, or name one").to_string()
}

impl Browser {
    /// Starts the browser and opens a page in it.
    pub fn open(page: &Path) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new(program())
            .args(["--headless", "--no-sandbox", "--enable-unsafe-swiftshader", "--mute-audio"])
            .args(["--remote-debugging-port=0", "--window-size=1200,1000", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let listening = lines
            .find_map(|line| line.ok()?.strip_prefix("DevTools listening on ").map(String::from));
        let address = listening.expect("the browser does not start");
        std::thread::spawn(move || lines.for_each(drop)); // or the browser would block
        let host = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(address.as_str(), stream).unwrap();
        let mut browser = Browser {
            process,
            socket,
            session: None,
            last: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(String::from);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let url = format!("file://{}", page.display());
        browser.call("Page.navigate", json!({ "url": url }));
        browser.until("document.readyState === 'complete'");
        browser
    }

    /// Calls a method of the protocol; events that arrive meanwhile are kept.
    fn call(&mut self, method: &str, parameters: Json) -> Json {
        self.last += 1;
        let mut call = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            // A read may be interrupted, for instance after the process was stopped.
            let message = match self.socket.read() {
                Err(tungstenite::Error::Io(e)) if e.kind() == ErrorKind::Interrupted => continue,
                message => message.unwrap(),
            };
            let text = message.into_text().unwrap();
            let mut answer: Json = serde_json::from_str(&text).unwrap();
            if answer["id"] == json!(self.last) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            if !answer["method"].is_null() {
                self.events.push(answer);
            }
        }
    }

    /// The value of a JavaScript expression.
    pub fn eval(&mut self, expression: &str) -> Json {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        let start = Instant::now();
        while self.eval(expression) != json!(true) {
            assert!(start.elapsed() < PATIENCE, "never true: {expression}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Moves the mouse to a point of the page, given by an expression as `[x, y]` in window coordinates.
    pub fn point_at(&mut self, place: &str) {
        let place = self.eval(place);
        for nudge in [3.0, 0.0] {
            let (x, y) = (place[0].as_f64().unwrap() + nudge, place[1].as_f64().unwrap());
            let moved = json!({ "type": "mouseMoved", "x": x, "y": y });
            self.call("Input.dispatchMouseEvent", moved);
        }
    }

    /// What the system says of light or dark: `light`, `dark`.
    pub fn colour_scheme(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Makes the window as wide as this, in pixels.
    pub fn width(&mut self, width: u32) {
        let size =
            json!({ "width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// The page's errors so far: exceptions, console errors, dialogs.
    pub fn complaints(&mut self) -> Vec<String> {
        self.eval("1"); // events that were sent before arrive first
        let bad = |event: &&Json| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Page.javascriptDialogOpening") => true,
            Some("Runtime.consoleAPICalled") => {
                ["error", "warning", "assert"].contains(&event["params"]["type"].as_str().unwrap())
            }
            // Messages on graphics driver performance are not the page's fault.
            Some("Log.entryAdded") => {
                let entry = &event["params"]["entry"];
                entry["source"] != "rendering" && entry["level"] != "verbose"
            }
            _ => false,
        };
        self.events.iter().filter(bad).map(Json::to_string).collect()
    }

    /// The page's network requests so far, without the page itself.
    pub fn requests(&mut self) -> Vec<String> {
        self.eval("1");
        let sent = |event: &&Json| event["method"] == "Network.requestWillBeSent";
        let url = |event: &Json| event["params"]["request"]["url"].as_str().unwrap().to_string();
        let urls = self.events.iter().filter(sent).map(url).skip(1);
        urls.filter(|url| !url.starts_with("data:") && !url.starts_with("blob:")).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let close = json!({ "id": 0, "method": "Browser.close" });
        let _ = self.socket.send(Message::text(close.to_string()));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
