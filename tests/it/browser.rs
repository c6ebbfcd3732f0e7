//! Drives a headless browser by the [WebDriver protocol](https://www.w3.org/TR/webdriver2/), as far
//! as the tests need it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::{
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};

/// The program names of Chromium on different systems.
const CHROMIUM: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Runs its arguments as a command, and ends its process group, which includes the browser, when
/// the other end of its input is closed. This works however the test ends, also if it is killed.
pub(crate) const UNTIL_INPUT_ENDS: &str = r#""$@" & read -r _; trap '' TERM; kill 0; wait"#;

/// The JSON key of an element's id, a constant of the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running browser. Dropping it ends it.
pub(crate) struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser. Without Chromium it prints a notice and returns `None`, or fails if
    /// `PIGEONHOLE_REQUIRE_CHROMIUM` is set.
    pub(crate) async fn start() -> Option<Self> {
        let chromium = CHROMIUM.into_iter().find_map(on_path);
        let (Some(chromium), Some(chromedriver)) = (chromium, on_path("chromedriver")) else {
            let what = "Chromium and chromedriver are not both installed: script/bootstrap --full installs them";
            assert!(
                test_run_variable("PIGEONHOLE_REQUIRE_CHROMIUM").is_none(),
                "{what}"
            );
            eprintln!("SKIPPED: {what}");
            return None;
        };
        let mut driver = Command::new("sh")
            .args(["-c", UNTIL_INPUT_ENDS, "sh"])
            .arg(chromedriver)
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = lines
            .by_ref()
            .find_map(|line| {
                let line = line.unwrap();
                let port = line.split_once("was started successfully on port ")?.1;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver names its port");
        std::thread::spawn(move || lines.for_each(drop)); // a full pipe would block chromedriver

        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(2 * PATIENCE)
            .build()
            .unwrap();
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "binary": chromium,
                "args": [
                    "--headless=new",
                    "--no-sandbox", // it does not start as root otherwise; it sees our own page only
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--no-first-run",
                    "--window-size=1100,790",
                    &format!("--user-data-dir={}", profile.path().display()),
                ],
            },
        } } });
        let mut browser = Self {
            driver,
            http,
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let made = browser.ask(Method::POST, "", &capabilities).await.unwrap();
        let id = made["sessionId"].as_str().unwrap().to_owned();
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    /// Resizes the page's window, also to sizes that no real window could have.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let params =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params });
        self.post("/goog/cdp/execute", command).await;
    }

    /// Emulates a user who prefers a dark colour scheme.
    pub(crate) async fn prefer_dark(&self) {
        let features = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
        let params = json!({ "features": features });
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": params });
        self.post("/goog/cdp/execute", command).await;
    }

    /// Opens a page.
    pub(crate) async fn go(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Clicks the first matching element as soon as it is visible.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.visible(selector).await;
        self.post(&format!("/element/{element}/click"), json!({}))
            .await;
    }

    /// Replaces the value of a field.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.visible(selector).await;
        self.post(&format!("/element/{element}/clear"), json!({}))
            .await;
        self.post(
            &format!("/element/{element}/value"),
            json!({ "text": text }),
        )
        .await;
    }

    /// The visible text of the first matching element, with a blank for every space between its
    /// parts. Empty if the element is missing or hidden.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let Some(element) = self.find(selector).await else {
            return String::new();
        };
        let path = format!("/element/{element}/text");
        let text = self.ask(Method::GET, &path, &Value::Null).await;
        let text = text.unwrap_or_else(|_| json!("")); // it may just have been replaced
        let words: Vec<_> = text.as_str().unwrap().split_whitespace().collect();
        words.join(" ")
    }

    /// Waits until the element's text contains this. Returns the whole text.
    pub(crate) async fn wait_for_text(&self, selector: &str, what: &str) -> String {
        eventually(&format!("{selector} says {what:?}"), PATIENCE, async || {
            let text = self.text(selector).await;
            text.contains(what).then_some(text)
        })
        .await
    }

    /// Runs a function's body in the page.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// The browser's log messages since the last call.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().unwrap().iter();
        entries
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Saves a screenshot in the directory `PIGEONHOLE_PICTURES`, if that is set.
    pub(crate) async fn screenshot(&self, name: &str) {
        let Some(folder) = test_run_variable("PIGEONHOLE_PICTURES") else {
            return;
        };
        let picture = self.ask(Method::GET, "/screenshot", &Value::Null).await;
        let picture = BASE64_STANDARD.decode(picture.unwrap().as_str().unwrap());
        fs::write(Path::new(&folder).join(name), picture.unwrap()).unwrap();
    }

    async fn visible(&self, selector: &str) -> String {
        let what = format!("{selector} is to be seen");
        eventually(&what, PATIENCE, async || {
            let element = self.find(selector).await?;
            let path = format!("/element/{element}/displayed");
            let displayed = self.ask(Method::GET, &path, &Value::Null).await.ok()?;
            (displayed == true).then_some(element)
        })
        .await
    }

    async fn find(&self, selector: &str) -> Option<String> {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.ask(Method::POST, "/element", &by).await.ok()?;
        Some(found[ELEMENT].as_str().unwrap().to_owned())
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, &body).await.unwrap()
    }

    /// The command's value, or its error.
    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if !body.is_null() {
            request = request.json(body);
        }
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{path}: {error}: {}", value["message"])),
            None => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It responds after the browser has exited and has released its profile. Without this, the
        // processes below would end in any order.
        self.end_session().ok();
        drop(self.driver.stdin.take());
        self.driver.wait().ok();
    }
}

impl Browser {
    fn end_session(&self) -> std::io::Result<()> {
        let url = Url::parse(&self.session).unwrap();
        let host = url.authority();
        let mut driver = TcpStream::connect(host)?;
        driver.set_read_timeout(Some(PATIENCE))?;
        let path = url.path();
        write!(driver, "DELETE {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
        driver.read_exact(&mut [0])
    }
}

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(program));
    files.find(|file| file.is_file())
}
