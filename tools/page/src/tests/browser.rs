//! A headless Chromium for one test, with short calls for what a person does at the page.
//!
//! Each call waits until the page is ready for it and panics after [`BOUND`] with what was there instead, what the
//! console said, and a picture.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::error::{CmdError, ErrorStatus};
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

/// What is waited for takes milliseconds; this long only on a machine that hardly runs.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// How many run at a time. Unlike most tests they compute, each with several processes.
static BROWSERS: Semaphore = Semaphore::const_new(2);

/// For the driver to answer, beyond what it waits for.
const ANSWER_BOUND: Duration = Duration::from_secs(10);

/// Another program for each of these, where the names on the PATH are others'.
const CHROMIUM: (&str, &str) = ("BRIDGE_CHROMIUM", "chromium");
const CHROMEDRIVER: (&str, &str) = ("BRIDGE_CHROMEDRIVER", "chromedriver");

/// `required` where a test must not be left out without a browser: .ci/run sets it.
const BROWSER: &str = "BRIDGE_BROWSER";

/// `sh -c THIS folder driver...`: runs the driver in a process group of its own, which the browser's processes are in too.
/// At the end of its own input it kills the group and removes the folder: that comes when a test drops the browser, and
/// also when the tests are killed. A killed process may still be writing for a moment, hence the removing again.
const UNTIL_INPUT_ENDS: &str = r#"
setsid "$@" &
exec >&- 2>&-
read -r _
kill -s KILL -- "-$!"
wait
for _ in 1 2 3 4 5 6 7 8 9; do rm -rf "$0" && break; done
"#;

const FLAGS: [&str; 11] = [
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,800",
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
];

/// One browser with one page. A test ends it by [`close`](Self::close) or [`kill`](Self::kill).
pub(crate) struct Browser {
    client: Client,
    processes: Processes,
    cable: Cable,
    ended: bool,
    network_fails: bool,
    _turn: SemaphorePermit<'static>,
}

impl Browser {
    /// With an empty page of 1280 x 800. `None`, and a line that says so, where there is no Chromium with its driver.
    pub(crate) async fn start() -> Option<Self> {
        let (Some(chromium), Some(chromedriver)) = (program(CHROMIUM), program(CHROMEDRIVER)) else {
            let missing = format!("there is no {} with {} here", CHROMIUM.1, CHROMEDRIVER.1);
            assert!(std::env::var_os(BROWSER).is_none_or(|value| value != "required"), "{missing}");
            println!("left out: the page in a browser ({missing})");
            return None;
        };
        let turn = BROWSERS.acquire().await.unwrap();
        let starting = tokio::task::spawn_blocking(move || Processes::start(&chromedriver));
        let (processes, port) = starting.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
        let profile = processes.folder.join("profile");
        let mut args: Vec<String> = FLAGS.map(String::from).into();
        args.push(format!("--user-data-dir={}", profile.display()));
        let cable = Cable::start().await;
        args.push(format!("--proxy-server=socks5://127.0.0.1:{}", cable.port));
        if is_root(&processes.folder) {
            args.push("--no-sandbox".to_owned());
        }
        let capabilities = json!({
            "goog:chromeOptions": { "binary": chromium, "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": BOUND.as_millis(), "script": BOUND.as_millis() },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let url = format!("http://127.0.0.1:{port}");
        let connected = tokio::time::timeout(BOUND, builder.capabilities(capabilities).connect(&url)).await;
        let connected = connected.unwrap_or_else(|_| panic!("no session in {BOUND:?}\n{}", processes.said()));
        let client = connected.unwrap_or_else(|error| panic!("no session: {error}\n{}", processes.said()));
        Some(Self { client, processes, cable, ended: false, network_fails: false, _turn: turn })
    }

    /// Goes to `url`, and returns when the page is loaded.
    pub(crate) async fn open(&self, url: &str) {
        let opened = bounded(async { Ok(self.client.goto(url).await?) }).await;
        self.done(opened, || format!("open {url}")).await;
    }

    /// Loads the page again, and returns when it is loaded.
    pub(crate) async fn reload(&self) {
        let reloaded = bounded(async { Ok(self.client.refresh().await?) }).await;
        self.done(reloaded, || "reload".to_owned()).await;
    }

    /// Clicks the first element of `css` when it is there, shown, enabled, and not covered.
    pub(crate) async fn click(&self, css: &str) {
        self.act(css, "click", async |element| Ok(element.click().await?)).await;
    }

    /// Types `text` in place of what was in the field, key by key.
    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        self.act(css, "type into", async |element| {
            self.run(&format!("{0}.focus(), {0}.select()", first(css))).await?;
            let keys = if text.is_empty() { Key::Backspace.to_string() } else { text.to_owned() };
            Ok(element.send_keys(&keys).await?)
        })
        .await;
    }

    /// Chooses the option with this `value` of a `<select>`. The driver would tell the page of `change` alone.
    pub(crate) async fn choose(&self, css: &str, value: &str) {
        let select = first(css);
        let value = json!(value);
        let there = format!("!{select}.disabled && [...{select}.options].some((option) => option.value === {value})");
        self.await_true(&there, &format!("choose {value} in {css}"), css).await;
        let choose = format!(
            "((select) => {{
                select.focus();
                select.value = {value};
                for (const kind of ['input', 'change']) select.dispatchEvent(new Event(kind, {{ bubbles: true }}));
            }})({select})"
        );
        self.evaluate(&choose).await;
    }

    /// Presses a key where the focus is, by its name in `KeyboardEvent.key`: `Enter`, `ArrowDown`, `/`, `Shift+Tab`.
    pub(crate) async fn press(&self, key: &str) {
        let keys: Vec<char> = match key.rsplit_once('+') {
            Some((held, last)) if !held.is_empty() => held.split('+').chain([last]).map(key_named).collect(),
            _ => vec![key_named(key)],
        };
        let downs = keys.iter().map(|&value| KeyAction::Down { value });
        let ups = keys.iter().rev().map(|&value| KeyAction::Up { value });
        let actions = downs.chain(ups).fold(KeyActions::new("keyboard".to_owned()), InputSource::then);
        let pressed = bounded(async { Ok(self.client.perform_actions(actions).await?) }).await;
        self.done(pressed, || format!("press {key}")).await;
    }

    /// The text of the first element of `css` as it is shown.
    pub(crate) async fn text(&self, css: &str) -> String {
        self.await_true(&format!("{} !== null", first(css)), &format!("text of {css}"), css).await;
        let text = self.evaluate(&format!("{}.innerText", first(css))).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Until the first element of `css` shows `contains`.
    pub(crate) async fn wait_for_text(&self, css: &str, contains: &str) {
        // What is hidden has its old text yet.
        let shown =
            format!("((it) => it?.checkVisibility() && it.innerText.includes({}))({})", json!(contains), first(css));
        self.await_true(&shown, &format!("{css} shows `{contains}`"), css).await;
    }

    /// Until the expression is true: it is looked at in the page, with each frame.
    pub(crate) async fn wait_until(&self, js: &str) {
        self.await_true(js, &format!("true: {js}"), "body").await;
    }

    /// How many elements `css` finds now.
    pub(crate) async fn count(&self, css: &str) -> u64 {
        let count = self.evaluate(&format!("document.querySelectorAll({}).length", json!(css))).await;
        count.as_u64().expect("a length")
    }

    /// The value of an expression in the page, or of what its promise comes to; `Null` when JSON has no such thing.
    pub(crate) async fn evaluate(&self, js: &str) -> Value {
        let value = self.run(js).await;
        self.done(value, || format!("evaluate {js}")).await
    }

    /// What is in view now, as PNG.
    pub(crate) async fn screenshot(&self, path: &Path) {
        let png = bounded(async { Ok(self.client.screenshot().await?) }).await;
        let png = self.done(png, || format!("picture for {}", path.display())).await;
        fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        fs::write(path, png).unwrap();
    }

    /// The page's own width and height, at one pixel for each of CSS's.
    pub(crate) async fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.protocol("Emulation.setDeviceMetricsOverride", metrics).await;
        self.wait_until(&format!("innerWidth === {width} && innerHeight === {height}")).await;
    }

    /// Whether the page is asked for dark colours.
    pub(crate) async fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.protocol("Emulation.setEmulatedMedia", media).await;
    }

    /// Pulls the network's cable, which breaks every connection of the page, or plugs it in again. The console's errors
    /// of the network count no more. (`Network.emulateNetworkConditions` would leave open what already streams.)
    pub(crate) async fn offline(&mut self, offline: bool) {
        self.network_fails();
        self.cable.pulled(offline).await;
    }

    /// From now on the console's errors of the network (no connection, or an answer above 399) are no errors.
    pub(crate) fn network_fails(&mut self) {
        self.network_fails = true;
    }

    /// What the page's scripts hold after the garbage is collected.
    pub(crate) async fn heap_bytes(&self) -> u64 {
        self.protocol("HeapProfiler.collectGarbage", json!({})).await;
        self.metric("JSHeapUsedSize").await as u64
    }

    /// One of Chromium's own figures of the page: `Nodes`, with those that only scripts still hold.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.protocol("Performance.enable", json!({})).await;
        let metrics = self.protocol("Performance.getMetrics", json!({})).await;
        let metric = metrics["metrics"].as_array().and_then(|all| all.iter().find(|metric| metric["name"] == name));
        metric.and_then(|metric| metric["value"].as_f64()).unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// From now on runs `js` in every page that is opened, before the page's own scripts.
    pub(crate) async fn at_the_start_of_each_page(&self, js: &str) {
        self.protocol("Page.addScriptToEvaluateOnNewDocument", json!({ "source": js })).await;
    }

    /// What the console has said of errors since it was last asked, as `source: message`: script errors, what the
    /// content security policy forbade, and answers above 399.
    pub(crate) async fn console_errors(&self) -> Vec<String> {
        let logged = bounded(self.logged()).await.unwrap_or_else(|error| panic!("the console's log: {error}"));
        let errors = logged.iter().filter(|entry| entry["level"] == "SEVERE" || entry["source"] == "security");
        let errors = errors.filter(|entry| !(self.network_fails && entry["source"] == "network"));
        errors.map(|entry| format!("{}: {}", plain(&entry["source"]), plain(&entry["message"]))).collect()
    }

    /// Closes the page's tab, and has an empty one in its place.
    pub(crate) async fn close_page(&self) {
        let closed = bounded(async {
            let another = self.client.new_window(true).await?.handle;
            self.client.close_window().await?;
            Ok(self.client.switch_to_window(another).await?)
        });
        let closed = closed.await;
        self.done(closed, || "close the page".to_owned()).await;
    }

    /// Kills every process of the browser at once.
    pub(crate) fn kill(mut self) {
        self.ended = true;
    }

    /// Ends the browser; panics if the console has errors that the test has not announced.
    pub(crate) async fn close(mut self) {
        self.ended = true;
        assert_eq!(self.console_errors().await, [""; 0], "errors of the console");
    }

    /// Does something to the first element of `css` when it is there and enabled, and again when it was replaced, covered
    /// or hidden meanwhile.
    async fn act(&self, css: &str, what: &str, act: impl AsyncFn(Element) -> Result<(), Failure>) {
        let until = Instant::now() + BOUND;
        loop {
            self.await_true(&format!("{}.disabled !== true", first(css)), &format!("{what} {css}"), css).await;
            let acted = bounded(async { act(self.client.find(Locator::Css(css)).await?).await }).await;
            let Err(error) = acted else { return };
            if !error.passes() || Instant::now() > until {
                self.fail(&format!("{what} {css}: {error}"), css).await;
            }
            let _ = self.run("new Promise((done) => requestAnimationFrame(() => done()))").await;
        }
    }

    /// Until `js` is true in the page; while it throws it is not. A page that is left meanwhile is looked at in its next
    /// document.
    async fn await_true(&self, js: &str, what: &str, css: &str) {
        let until = Instant::now() + BOUND;
        let mut left = BOUND;
        loop {
            let looking = format!(
                "new Promise((done) => {{
                    const until = performance.now() + {};
                    const look = () => {{
                        let problem = 'it is false';
                        try {{ if ({js}) return done(''); }} catch (error) {{ problem = String(error); }}
                        if (performance.now() > until) return done(problem);
                        requestAnimationFrame(look);
                    }};
                    look();
                }})",
                left.as_millis(),
            );
            let (problem, is_final) = match self.run(&looking).await {
                Ok(problem) if problem == "" => return,
                Ok(problem) => (plain(&problem), false),
                Err(error) => (error.to_string(), error.is_final()),
            };
            left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || is_final {
                self.fail(&format!("not within {} s: {what}: {problem}", BOUND.as_secs()), css).await;
            }
        }
    }

    /// The value of an expression, by Chromium's protocol: the page's content security policy has no say in it.
    async fn run(&self, js: &str) -> Result<Value, Failure> {
        let asked = json!({ "expression": js, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = bounded(self.command("Runtime.evaluate", asked)).await?;
        match &answer["exceptionDetails"] {
            Value::Null => Ok(answer["result"]["value"].take()),
            threw => {
                let text = threw["exception"]["description"].as_str().or(threw["text"].as_str());
                Err(Failure::Threw(text.unwrap_or_default().to_owned()))
            }
        }
    }

    async fn protocol(&self, command: &'static str, params: Value) -> Value {
        let answer = bounded(self.command(command, params)).await;
        self.done(answer, || command.to_owned()).await
    }

    async fn command(&self, command: &str, params: Value) -> Result<Value, Failure> {
        let execute = Post("goog/cdp/execute", json!({ "cmd": command, "params": params }));
        Ok(self.client.issue_cmd(execute).await?)
    }

    async fn done<T>(&self, result: Result<T, Failure>, what: impl FnOnce() -> String) -> T {
        match result {
            Ok(done) => done,
            Err(error) => self.fail(&format!("{}: {error}", what()), "body").await,
        }
    }

    /// Panics with everything that helps to see why.
    async fn fail(&self, what: &str, css: &str) -> ! {
        let there = format!(
            "{}?.outerHTML.slice(0, 1000) ?? 'nothing; there are ' + [...document.querySelectorAll('[id]')].map((e) => '#' + e.id).join(' ')",
            first(css),
        );
        let there = self.run(&there).await.map_or_else(|error| error.to_string(), |there| plain(&there));
        let url = self.run("location.href").await.unwrap_or_default();
        let picture = picture_of_failure();
        let taken = bounded(async { Ok(self.client.screenshot().await?) }).await;
        let picture = match taken.map(|png| fs::write(&picture, png)) {
            Ok(Ok(())) => picture.display().to_string(),
            _ => "none".to_owned(),
        };
        let console = bounded(self.logged()).await.unwrap_or_default();
        panic!("{what}\n{css} is: {there}\npage: {url}\npicture: {picture}\nconsole: {console:#?}");
    }

    /// What the console has said since it was last asked.
    async fn logged(&self) -> Result<Vec<Value>, Failure> {
        let logged = self.client.issue_cmd(Post("se/log", json!({ "type": "browser" }))).await?;
        Ok(logged.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let forgotten = !self.ended && !std::thread::panicking();
        assert!(!forgotten, "a test ends its browser by `close`, which looks at the console's errors, or by `kill`");
    }
}

/// The driver, the browser and their files. Dropping it ends and removes them all.
struct Processes {
    shell: Child,
    /// Their life: see [`UNTIL_INPUT_ENDS`].
    input: Option<ChildStdin>,
    /// Open for as long as the driver may write to it.
    _output: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Processes {
    /// Starts the driver; also the port that it listens on.
    fn start(chromedriver: &Path) -> Result<(Self, u16), String> {
        let folder = tempfile::Builder::new().prefix("bridge-browser-").tempdir().map_err(|error| error.to_string())?;
        let errors = fs::File::create(folder.path().join("stderr")).map_err(|error| error.to_string())?;
        let mut shell = Command::new("sh")
            .args(["-c", UNTIL_INPUT_ENDS])
            .args([folder.path(), chromedriver])
            .arg("--port=0")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| error.to_string())?;
        // From here on the shell removes it.
        let folder = folder.keep();
        let input = shell.stdin.take();
        let mut output = BufReader::new(shell.stdout.take().expect("it is piped"));
        let port = output.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let port = line.split_once("started successfully on port ")?.1;
            port.trim_end_matches('.').parse().ok()
        });
        let processes = Self { shell, input, _output: output, folder };
        match port {
            Some(port) => Ok((processes, port)),
            None => Err(format!("{} did not start: {}", chromedriver.display(), processes.said())),
        }
    }

    /// What they wrote to their standard error.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.shell.wait();
    }
}

/// All that the browser reaches: loopback, by way of a SOCKS proxy (RFC 1928) whose connections can be broken.
struct Cable {
    port: u16,
    accept: AbortHandle,
    /// `None` while it is pulled.
    connections: Arc<Mutex<Option<JoinSet<io::Result<()>>>>>,
}

impl Cable {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(Some(JoinSet::new())));
        let plugged = Arc::clone(&connections);
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(connections) = plugged.lock().unwrap().as_mut() {
                    connections.spawn(forward(stream));
                }
            }
        });
        Self { port, accept: accept.abort_handle(), connections }
    }

    /// Returns when every connection is broken.
    async fn pulled(&self, pulled: bool) {
        let connections = (!pulled).then(JoinSet::new);
        let before = std::mem::replace(&mut *self.connections.lock().unwrap(), connections);
        if let Some(mut broken) = before {
            broken.shutdown().await;
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Chromium names every host, also an address, as a domain.
async fn forward(mut browser: TcpStream) -> io::Result<()> {
    const DOMAIN: u8 = 3;
    const NOT_ALLOWED: u8 = 2;
    let [_version, methods] = bytes_of(&mut browser).await?;
    browser.read_exact(&mut vec![0; methods.into()]).await?;
    browser.write_all(&[5, 0]).await?;
    let [_version, _connect, _reserved, kind, length] = bytes_of(&mut browser).await?;
    let mut host = vec![0; length.into()];
    browser.read_exact(&mut host).await?;
    let port = u16::from_be_bytes(bytes_of(&mut browser).await?);
    if kind != DOMAIN || !(host == b"127.0.0.1" || host == b"localhost") {
        return browser.write_all(&[5, NOT_ALLOWED, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    server.set_nodelay(true)?;
    browser.set_nodelay(true)?;
    browser.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut browser, &mut server).await.map(drop)
}

async fn bytes_of<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A command of the driver's that is not WebDriver's: its path below the session, and its body.
#[derive(Debug)]
struct Post(&'static str, Value);

impl WebDriverCompatibleCommand for Post {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Command(#[from] CmdError),
    #[error("{0}")]
    Threw(String),
    #[error("no answer from the browser")]
    Late,
}

impl Failure {
    /// Whether another document in the page's place would make no difference: no browser any more, or no JavaScript.
    fn is_final(&self) -> bool {
        match self {
            Self::Command(CmdError::Standard(error)) => error.error == ErrorStatus::InvalidSessionId,
            _ => true,
        }
    }

    /// Whether it may be otherwise in the next frame.
    fn passes(&self) -> bool {
        let Self::Command(CmdError::Standard(error)) = self else { return false };
        matches!(
            error.error,
            ErrorStatus::StaleElementReference
                | ErrorStatus::NoSuchElement
                | ErrorStatus::ElementNotInteractable
                | ErrorStatus::ElementClickIntercepted
        )
    }
}

/// Longer than what the page itself waits, so that its word is heard.
async fn bounded<T>(step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(BOUND + ANSWER_BOUND, step).await.unwrap_or(Err(Failure::Late))
}

/// The expression of the first element that `css` finds.
fn first(css: &str) -> String {
    format!("document.querySelector({})", json!(css))
}

/// A string without its quotes, or anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn key_named(name: &str) -> char {
    let key = match name {
        "Enter" => Key::Enter,
        "Tab" => Key::Tab,
        "Shift" => Key::Shift,
        "Control" => Key::Control,
        "Alt" => Key::Alt,
        "Escape" => Key::Escape,
        "Backspace" => Key::Backspace,
        "Delete" => Key::Delete,
        "Home" => Key::Home,
        "End" => Key::End,
        "PageUp" => Key::PageUp,
        "PageDown" => Key::PageDown,
        "ArrowLeft" => Key::Left,
        "ArrowRight" => Key::Right,
        "ArrowUp" => Key::Up,
        "ArrowDown" => Key::Down,
        _ => {
            let mut letters = name.chars();
            return letters.next().filter(|_| letters.next().is_none()).unwrap_or_else(|| panic!("no key {name}"));
        }
    };
    key.into()
}

/// What the variable names, or the usual name, where that is a program.
fn program((variable, usual): (&str, &str)) -> Option<PathBuf> {
    let name = std::env::var_os(variable).unwrap_or_else(|| usual.into());
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(&name)).find(|path| path.is_file())
}

/// Chromium's sandbox refuses to be run by root. Who owns what we make is who we are.
fn is_root(ours: &Path) -> bool {
    fs::metadata(ours).is_ok_and(|made| made.uid() == 0)
}

/// `target/tmp/page/NAME-OF-THE-TEST.png`
fn picture_of_failure() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.ancestors().nth(3).unwrap().join("tmp/page");
    fs::create_dir_all(&folder).unwrap();
    let test = std::thread::current().name().unwrap_or("a test").replace("::", "-");
    folder.join(test).with_extension("png")
}

mod tests;
