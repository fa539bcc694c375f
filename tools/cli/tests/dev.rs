//! `bridge dev` ends when it is asked to, all that it has started ends with it, and meanwhile no web site reaches any of it. With
//! the secrets of real systems it uses these, and keeps the secrets to itself.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; these are called by them")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use local::binaries::workspace_root;
use local::delivery::signed_headers;
use local::dynamodb::{DynamoDb, EVENTS_TABLE};
use local::rail_api::RailApi;
use local::returning_ai::{IncomingWebhook, Message, ReturningAi, Workflow};
use local::stack::sample_key;
use serde_json::json;
use shared::clock::Clock;
use tokio::task::spawn_blocking;

mod dev {
    mod commands;
}

/// It takes milliseconds; this long only on a machine that hardly runs.
const BOUND: Duration = Duration::from_secs(60);

/// The samples of this checkout.
const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");

/// A cargo that builds for longer than anyone waits, with a compiler of its own. Both hold a pipe while they are there.
const CARGO: &str = "#!/bin/sh
exec 3>\"$0.pipe\"
sleep 600 &
echo compiling >&2
wait
";

/// A cargo that ends where it cannot print, and builds nothing.
const PRINTING_CARGO: &str = "#!/bin/sh
echo compiling >&2 && : >\"$0.printed\"
";

/// `bridge dev` with this script for cargo, in this folder.
fn dev_with(script: &str, folder: &Path) -> Command {
    let cargo = folder.join("cargo");
    fs::write(&cargo, script).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let mut dev = Command::new(env!("CARGO_BIN_EXE_bridge"));
    dev.args(["dev", "--port", "0"]).env("CARGO", &cargo).stdout(Stdio::null()).stderr(Stdio::piped());
    dev
}

/// Whether a process ignores or catches SIGHUP, as its status says: `SigIgn`, `SigCgt`.
fn has_hangup(field: &str, process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let signals = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t")).unwrap();
    u64::from_str_radix(signals, 16).unwrap() & 1 != 0
}

#[test]
fn a_signal_ends_it_while_cargo_builds_and_cargo_and_its_compilers_too() {
    for (signal, arguments, status) in
        [("TERM", [].as_slice(), 0), ("INT", &[], 0), ("HUP", &[], 0), ("QUIT", &[], 0), ("TERM", &["--once"], 4)]
    {
        if signal == "HUP" && has_hangup("SigIgn", "self") {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("cargo.pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // It ends when the last that holds it has ended.
        let (ended, wait) = channel();
        thread::spawn(move || ended.send(fs::read(pipe).unwrap()).unwrap());
        let mut dev = dev_with(CARGO, folder.path()).args(arguments).spawn().unwrap();
        compiles(&mut dev);
        assert!(Command::new("kill").args(["-s", signal, &dev.id().to_string()]).status().unwrap().success());
        wait.recv_timeout(BOUND).unwrap_or_else(|_| panic!("SIG{signal} did not end all of them"));
        assert_eq!(dev.wait().unwrap().code(), Some(status), "SIG{signal} {arguments:?}");
    }
}

/// Waits until cargo is at work.
fn compiles(dev: &mut Child) {
    let mut lines = BufReader::new(dev.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line == "compiling").expect("cargo was not started");
    thread::spawn(move || lines.for_each(drop));
}

#[test]
fn under_nohup_it_outlives_its_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let plain = dev_with("#!/bin/sh\necho compiling >&2\nexec sleep 600\n", folder.path());
    let mut nohup = Command::new("nohup");
    nohup
        .arg(plain.get_program())
        .args(plain.get_args())
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut dev = nohup.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    compiles(&mut dev);
    let id = dev.id().to_string();
    assert!(has_hangup("SigIgn", &id) && !has_hangup("SigCgt", &id));
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    assert_eq!(dev.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_leaves_ends_no_build_and_one_that_stays_has_all_that_cargo_prints() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, err) = std::io::pipe().unwrap();
    drop(reader);
    let ended = dev_with(PRINTING_CARGO, folder.path()).stderr(err).status().unwrap();
    assert_eq!((ended.code(), folder.path().join("cargo.printed").exists()), (Some(4), true));

    let told = dev_with(PRINTING_CARGO, folder.path()).output().unwrap().stderr;
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("Building the functions ...\ncompiling\nerror: cargo built no binary"), "{told}");
}

/// A bridge that runs until this is dropped.
struct Running {
    dev: Child,
    /// Of the webhooks and the page.
    port: u16,
    /// Of the webhooks alone.
    webhook_port: Option<u16>,
    /// What it prints once it runs.
    lines: Receiver<String>,
    /// All that it has printed.
    printed: Arc<Mutex<String>>,
    reading: Vec<JoinHandle<()>>,
    _only: MutexGuard<'static, ()>,
}

/// Keeps each line of an output, and passes it on.
fn keep(output: impl Read + Send + 'static, kept: &Arc<Mutex<String>>, to: Option<Sender<String>>) -> JoinHandle<()> {
    let kept = Arc::clone(kept);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map(Result::unwrap) {
            *kept.lock().unwrap() += &format!("{line}\n");
            to.iter().for_each(|to| drop(to.send(line.clone())));
        }
    })
}

/// The verbs find the newest bridge of this checkout.
static ONLY: Mutex<()> = Mutex::new(());

impl Running {
    fn start(arguments: &[&str]) -> Self {
        Self::serving(Command::new(env!("CARGO_BIN_EXE_bridge")).args(["dev", "--port", "0"]).args(arguments))
    }

    /// The same of a verb that serves a page.
    fn serving(command: &mut Command) -> Self {
        let only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dev = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        let (stdout, stderr) = (dev.stdout.take().unwrap(), dev.stderr.take().unwrap());
        let reading = [keep(stdout, &printed, Some(sender)), keep(stderr, &printed, None)];
        // It may build for a while; when it ends, its output does.
        let stays = lines.iter().any(|line: String| line.contains("Ctrl-C ends "));
        assert!(stays, "it did not stay: {}", printed.lock().unwrap());
        let said = printed.lock().unwrap().clone();
        let port_after = |words: &str| {
            let line = said.lines().find(|line| line.starts_with(words))?;
            let (_, rest) = line.split_once("http://127.0.0.1:")?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let (port, webhook_port) = (port_after("The page ").unwrap(), port_after("A tunnel can lead to"));
        Self { dev, port, webhook_port, lines, printed, reading: reading.into(), _only: only }
    }

    /// The next line that begins so.
    fn line(&self, begin: &str) -> String {
        let mut lines = std::iter::from_fn(|| self.lines.recv_timeout(BOUND).ok());
        lines.find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("it did not print {begin}"))
    }

    /// Ends it; all that it has printed.
    fn end(mut self) -> String {
        self.stop();
        self.reading.drain(..).for_each(|reading| reading.join().unwrap());
        self.printed.lock().unwrap().clone()
    }

    fn stop(&mut self) {
        if matches!(self.dev.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-s", "TERM", &self.dev.id().to_string()]).status();
            let _ = self.dev.wait();
        }
    }

    /// Signs a sample and posts it as a tunnel does; the answer's status.
    fn deliver(&self, sample: &str, key: &str) -> String {
        let body = fs::read_to_string(workspace_root().join("events").join(sample)).unwrap();
        let provider = providers::by_name(sample.split('/').next().unwrap()).unwrap();
        let headers = signed_headers(provider, Clock::system().now().seconds(), body.as_bytes(), key).unwrap();
        let mut request = format!("POST {} HTTP/1.1\r\nhost: tunnel.example\r\n", provider.path());
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let port = self.webhook_port.unwrap();
        answer((Ipv4Addr::LOCALHOST, port).into(), &request).split(' ').nth(1).unwrap().to_owned()
    }

    /// Every port on which this process or one that it started listens, with its address.
    fn listening(&self) -> BTreeSet<SocketAddr> {
        let mut inodes = BTreeSet::new();
        for pid in descendants(self.dev.id()) {
            // A process may have ended meanwhile.
            let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
            let links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
            inodes.extend(links.filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                Some(inode.to_owned())
            }));
        }
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        let lines = tables.iter().flat_map(|table| table.lines().skip(1));
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|columns| columns[3] == LISTENS && inodes.contains(columns[9]))
            .map(|columns| address(columns[1]))
            .collect()
    }

    /// Sends one event as a provider would; what became of it.
    fn send(&self, sample: &str) -> String {
        let url = format!("http://127.0.0.1:{}", self.port);
        let (provider, _) = sample.split_once('/').unwrap();
        let mut send = Command::new(env!("CARGO_BIN_EXE_bridge"));
        send.args(["send", provider, &format!("{EVENTS}/{sample}"), "--fresh", "--url", &url]);
        String::from_utf8(send.output().unwrap().stdout).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// A process and all that it has started.
fn descendants(pid: u32) -> Vec<u32> {
    let mut parents = BTreeMap::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // The name before it may hold anything.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut found = vec![pid];
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).copied() {
        found.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(pid, _)| *pid));
        looked_at += 1;
    }
    found
}

/// An address as `/proc/net/tcp` has it: words of the machine's byte order, in hexadecimal, then the port.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let words = (0..ip.len() / 8).map(|word| u32::from_str_radix(&ip[word * 8..word * 8 + 8], 16).unwrap());
    let bytes: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
    let ip: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => v4.into(),
        Err(_) => <[u8; 16]>::try_from(bytes.as_slice()).unwrap().into(),
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

/// The head and the beginning of the body of the answer to one request; empty if the connection ends without one.
fn answer(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).unwrap_or_else(|error| panic!("no answer of {to} to {request}: {error}"));
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// No web site that the person visits reaches a table, a secret, a function or an event.
#[test]
fn every_port_refuses_foreign_hosts_foreign_origins_and_what_a_web_site_sends() {
    let bridge = Running::start(&[]);
    assert_eq!(bridge.webhook_port, None);
    refuses_strangers(&bridge, OF_DEV);
    assert!(bridge.send("rail/account_open.json").contains("200"), "and it works on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_a_console_refuses_the_same() {
    let dynamodb = DynamoDb::start(None).await.unwrap();
    let mut console = Command::new(env!("CARGO_BIN_EXE_bridge"));
    console.args(["console", "--table", EVENTS_TABLE, "--region", "us-east-1", "--port", "0"]);
    console.env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url()).env("AWS_EC2_METADATA_DISABLED", "true");
    console.envs([("AWS_ACCESS_KEY_ID", "sample"), ("AWS_SECRET_ACCESS_KEY", "sample")]);
    spawn_blocking(move || refuses_strangers(&Running::serving(&mut console), 1)).await.unwrap();
}

/// Gateway, tables, secrets, Returning.AI, Rail's API, and the Runtime APIs of the processes that the samples have started.
const OF_DEV: usize = 6;

/// What listens is asked of the system, so that no port is forgotten; there are at least so many.
fn refuses_strangers(bridge: &Running, least: usize) {
    let ports = bridge.listening();
    let v4 = ports.iter().filter(|port| port.is_ipv4()).count();
    assert!(v4 >= least, "{ports:?}");
    assert!(ports.iter().all(|port| port.ip().is_loopback()), "{ports:?}");
    let image = "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\nsec-fetch-dest: image\r\n";
    let targets = [
        ("GET", "/", ""),
        ("GET", "/2018-06-01/runtime/invocation/next", ""),
        ("GET", "/api/live", ""),
        ("OPTIONS", "/", ""),
        ("POST", "/", "x-amz-target: DynamoDB_20120810.ListTables\r\ncontent-type: text/plain\r\n"),
        ("POST", "/", "x-amz-target: secretsmanager.ListSecrets\r\ncontent-type: text/plain\r\n"),
        ("POST", "/2015-03-31/functions/redrive/invocations", "content-type: text/plain\r\n"),
    ];
    for port in &ports {
        let own = format!("host: localhost:{}\r\n", port.port());
        let strangers = [
            "host: evil.example\r\n".to_owned(),
            format!("host: evil.example:{}\r\n", port.port()),
            format!("host: 127.0.0.1.evil.example:{}\r\n", port.port()),
            String::new(),
            format!("{own}host: evil.example\r\n"),
            format!("{own}origin: http://evil.example\r\n"),
            format!("{own}origin: null\r\n"),
            format!("{own}{image}"),
            format!("{own}origin: http://evil.example\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: cors\r\n"),
        ];
        for (method, path, headers) in targets {
            for stranger in &strangers {
                let request = format!("{method} {path} HTTP/1.1\r\n{stranger}{headers}content-length: 2\r\n\r\n{{}}");
                let answer = answer(*port, &request);
                // A tunnel gives the port of the webhooks any name. What is not a webhook is not there.
                let is_of_a_browser = stranger.contains("origin: ") || stranger.contains("sec-fetch-");
                let is_for_a_tunnel = bridge.webhook_port == Some(port.port());
                let expected = if is_for_a_tunnel && !is_of_a_browser { "HTTP/1.1 404 " } else { "HTTP/1.1 403 " };
                assert!(answer.starts_with(expected), "{port} to {request}: {answer}");
                assert!(!answer.to_lowercase().contains("access-control-"), "{port} to {request}: {answer}");
            }
        }
        // Without what a browser of today says, it is asked of a path that nobody knows.
        if port.port() != bridge.port {
            let request = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n{own}\r\n");
            assert!(!answer(*port, &request).contains("lambda-runtime-aws-request-id"), "{port}");
        }
    }
}

/// In every secret of the test below.
const MARK: &str = "of_the_sandbox";

/// The real systems are servers of this process: the bridge's own has stand-ins for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn with_their_secrets_real_systems_are_used_through_a_port_for_a_tunnel_and_no_secret_is_saved_or_shown() {
    let (rail, returning_ai) = (RailApi::start().unwrap(), real_returning_ai());
    rail.set_client_secret(&format!("client_secret_{MARK}"));
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("secrets.json"), folder.path().join("data"));
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let rillis_key = format!("rillis_key_{MARK}");
    let secrets = json!({
        "rail_api": rail.secret(),
        "rillis_signing": { "keys": { "current": rillis_key } },
        "returning_ai": returning_ai.secret(),
    });
    let template = run(&["dev", "--secrets-template"]);
    fs::write(file, &template.stdout).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
    ended(&run(&["dev", "--secrets", file]), 2, "hint: chmod 600 ");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    let held = "\n  rail_api: client_secret: the real value in place of REPLACE-ME expected\n";
    ended(&run(&["dev", "--secrets", file]), 2, held);
    fs::write(file, secrets.to_string()).unwrap();

    let bridge = Running::start(&["--secrets", file, "--webhook-port", "0", "--data", data, "--logs"]);
    let told = "Real: Rail's API, Rillis's signing keys, Returning.AI. Stand-ins: Rail's signing keys.";
    assert!(bridge.printed.lock().unwrap().contains(told), "{}", bridge.printed.lock().unwrap());
    page_says(&bridge, told);

    assert_eq!(bridge.deliver("rillis/flow_completed_with_customer.json", &rillis_key), "200");
    let has = |sent: &[Message], source: &str| sent.iter().any(|it| it.accepted && it.body["source"] == source);
    returning_ai.wait_for(|sent| has(sent, "rillis"), BOUND).await.unwrap();

    let sync = ["rail", "subscriptions", "sync", "--dev"];
    ended(&run(&sync), 2, "error: Missing `--callback-url`: Rail's API is real, and cannot reach this machine");
    let callback = "https://tunnel.example/webhooks/rail";
    let synced = run(&[&sync[..], &["--callback-url", callback, "--yes"]].concat());
    ended(&synced, 0, "");
    let subscriptions = rail.subscriptions();
    assert!(subscriptions.iter().all(|it| it.callback_url == callback));
    let of_opened = subscriptions.iter().find(|it| it.event_type == "ACCOUNT_OPEN").unwrap();
    assert_eq!(bridge.deliver("rail/account_open.json", &of_opened.key), "200");
    returning_ai.wait_for(|sent| has(sent, "rail"), BOUND).await.unwrap();
    page_says(
        &bridge,
        "Real: Rail's signing keys, Rail's API, Rillis's signing keys, Returning.AI. Stand-ins: nothing.",
    );

    for sample in ["rail/account_open.json", "rillis/flow_completed_with_customer.json"] {
        let public = sample_key(sample.split('/').next().unwrap());
        assert_eq!(bridge.deliver(sample, &public), "401", "{sample} by a key that everybody can read");
    }
    refuses_strangers(&bridge, OF_DEV);
    let tunnel = (Ipv4Addr::LOCALHOST, bridge.webhook_port.unwrap()).into();
    for provider in providers::ALL {
        let request = |method| format!("{method} {} HTTP/1.1\r\nhost: tunnel.example\r\n\r\n", provider.path());
        assert!(answer(tunnel, &request("GET")).starts_with("HTTP/1.1 405 "));
        assert!(answer(tunnel, &request("POST")).starts_with("HTTP/1.1 401 "));
    }

    let mut printed = bridge.end();
    assert!(printed.contains("POST /webhooks/rillis 200 in "), "both ports are told of: {printed}");
    printed += &text(&synced);
    let mut values: Vec<&str> = subscriptions.iter().map(|it| it.key.as_str()).collect();
    values.push(MARK);
    for place in [Path::new(data), &workspace_root().join(".bridge")] {
        for file in fs::read_dir(place).unwrap().flatten() {
            let held = fs::read(file.path()).unwrap_or_default();
            printed += &String::from_utf8_lossy(&held);
        }
    }
    assert!(printed.contains("FLOW_COMPLETED"), "all was read");
    for value in values {
        assert!(!printed.contains(value), "{value} was saved or shown");
    }
    ended(&run(&["dev", "--once", "--port", "0", "--data", data]), 2, "was used with real secrets");
}

/// Has all destinations of the routes, each with a key of its own.
fn real_returning_ai() -> ReturningAi {
    let text = fs::read_to_string(workspace_root().join("routes.toml")).unwrap();
    let routes = providers::parse_routes("routes.toml", &text).unwrap();
    let key = |name: &str| format!("{name}_key_{MARK}");
    let workflows = routes.workflows().into_iter();
    let workflows = workflows.map(|name| Workflow { api_key: key(&name), ..Workflow::session(&name) });
    let incoming = routes.incoming_webhooks().into_iter();
    let incoming =
        incoming.map(|name| IncomingWebhook { api_key: Some(key(&name)), ..IncomingWebhook::with_sample_key(&name) });
    ReturningAi::start(workflows.collect(), incoming.collect()).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bridge")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[track_caller]
fn ended(output: &Output, code: i32, says: &str) {
    let text = text(output);
    assert!(output.status.code() == Some(code) && text.contains(says), "{:?}: {text}", output.status);
}

/// Until a viewer of the page is told so.
fn page_says(bridge: &Running, words: &str) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, bridge.port)).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let request = format!("GET /api/live HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", bridge.port);
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.find(|line| line.contains(words)).unwrap_or_else(|| panic!("the page does not say: {words}"));
}

#[test]
fn a_reader_that_leaves_ends_no_run_of_the_samples() {
    let (reader, out) = std::io::pipe().unwrap();
    drop(reader);
    let mut dev = Command::new(env!("CARGO_BIN_EXE_bridge"));
    let ended = dev.args(["dev", "--once", "--port", "0"]).stdout(out).stderr(Stdio::null()).status().unwrap();
    assert_eq!(ended.code(), Some(0));
}

/// A copy of the samples, to which may be added.
fn copy_of_samples() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let copy_files = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for file in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.file_type().unwrap().is_file()) {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    for folder in ["", "rail", "rillis"] {
        copy_files(&Path::new(EVENTS).join(folder), &copy.path().join(folder));
    }
    copy
}

#[test]
fn what_arrives_becomes_a_sample_that_ends_again_as_it_is_expected_to() {
    let samples = copy_of_samples();
    let folder = samples.path().to_str().unwrap();
    let read = |name: &str| fs::read_to_string(samples.path().join(name)).unwrap();
    let before = read("expected.toml");
    let dev = Running::start(&["--capture", "--samples", folder]);

    assert!(dev.send("rail/account_open.json").contains("200"));
    let line = dev.line("captured ");
    let path = line.strip_prefix("captured ").and_then(|line| line.split(": ").next()).unwrap();
    assert!(line.ends_with(": expected outcome delivered (routes: account-open)"), "{line}");
    let opened = path.strip_prefix(folder).unwrap().trim_start_matches('/');
    assert!(opened.starts_with("rail/captured_account_open_"), "{line}");
    assert_ne!(read(opened), read("rail/account_open.json"), "it has an id of its own");
    let entry = read("expected.toml").split_once(&format!("[\"{opened}\"]\n")).unwrap().1.to_owned();
    for member in ["workflow = \"account-status\"", "customerId = \"C-1001\"", "tradingAccount = \"CUSTOMER_USD_001\""]
    {
        assert!(entry.contains(member), "{entry}");
    }
    // It was looked up in Rail's API, which no stand-in need know.
    assert!(read("customers.csv").ends_with("rail-account:CUSTOMER_USD_001,C-1001,,,,,\n"));

    // What is cut before it is stored is cut here, too; and nothing is written of what is sent again or refused.
    let with_identity = "rillis/verification_identity_updated.json";
    assert!(read(with_identity).contains("\"identity\""));
    assert!(dev.send(with_identity).contains("200"));
    let line = dev.line("captured ");
    assert!(line.contains("/rillis/captured_verification_identity_updated_"), "{line}");
    let path = line.strip_prefix("captured ").and_then(|line| line.split(": ").next()).unwrap();
    let updated = fs::read_to_string(path).unwrap();
    assert!(!updated.contains("\"identity\"") && updated.contains("\"user_id\""), "{updated}");
    drop(dev);

    let index = read("expected.toml");
    assert!(index.starts_with(&before) && index.matches("/captured_").count() == 2, "{index}");
    let mut once = Command::new(env!("CARGO_BIN_EXE_bridge"));
    let once = once.args(["dev", "--once", "--port", "0", "--samples", folder]).stderr(Stdio::null()).output().unwrap();
    let printed = String::from_utf8(once.stdout).unwrap();
    assert_eq!((once.status.code(), printed.matches("/captured_").count()), (Some(0), 2), "{printed}");
}
