//! How `bridge`, as a program, reaches AWS from a person's machine: as whom, through which proxy, trusting whom.
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; these are called by them")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local::binaries::workspace_root;
use local::secrets_manager::SecretsManager;
use local::stack::{api_secret, signing_secret};
use operator::Parts;
use operator::dev_file::DevFile;
use rail::RAIL;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use serde_json::json;
use tokio::task::spawn_blocking;

/// It takes milliseconds; this long only on a machine that hardly runs.
const BOUND: Duration = Duration::from_secs(60);

/// Of 127.0.0.1, signed by itself, valid from 2020 to 2120; in base64.
const CERTIFICATE: &str = "MIIBajCCARGgAwIBAgIBATAKBggqhkjOPQQDAjAdMRswGQYDVQQDDBJvd24gcm9vdCBvZiBhIHRlc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMB0xGzAZBgNVBAMMEm93biByb290IG9mIGEgdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPyXfMDp6Uj3Wa/37KuUuGHwlOeX3/TB0IBj/1N7z30fG3JOmU4PN4yDAhNFEOljIXTzzXEO6P6c7vND6AK1eOajQDA+MA8GA1UdEQQIMAaHBH8AAAEwDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUnbx8ZeuGWU2ckyyDZ9HQJqvVKlAwCgYIKoZIzj0EAwIDRwAwRAIgF+fTSUiVK1maMAFGCU3+W4oUjTqVA2aflS0KL81nKb0CIE5CxVA0NNcmz3Ldg1Gw/sAem/fnTkz7Ok8fK1AcczQL";
const ITS_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxUFuxJJN3eUjonHXIvzguCb186w4wSNFwtYGalkSIFChRANCAAT8l3zA6elI91mv9+yrlLhh8JTnl9/0wdCAY/9Te899HxtyTplODzeMgwITRRDpYyF0881xDuj+nO7zQ+gCtXjm";

/// No event waits.
const NOTHING: &str = r#"{"Count":0,"Items":[],"ScannedCount":0}"#;

/// Answers every request on a port of every local address; the heads of the requests.
fn answering(wrap: impl Fn(&mut TcpStream, &Sender<String>) + Send + 'static) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            wrap(&mut stream.unwrap(), &tell);
        }
    });
    (port, told)
}

/// Reads one request and answers it; a client that leaves is none of our business.
fn answer(stream: &mut (impl Read + Write), tell: &Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    reader.read_exact(&mut vec![0; length])?;
    let _ = tell.send(head);
    let stream = reader.into_inner();
    let length = NOTHING.len();
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{NOTHING}")?;
    stream.flush()
}

fn plain() -> (u16, Receiver<String>) {
    answering(|stream, tell| drop(answer(stream, tell)))
}

fn list(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = bridge(folder, variables);
    command.args(["events", "list", "--table", "events", "--region", "eu-west-1"]).args(arguments);
    command
}

fn bridge(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
    for (name, _) in std::env::vars() {
        let lower = name.to_ascii_lowercase();
        if name.starts_with("AWS_") || name == "SSL_CERT_FILE" || lower.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_CONFIG_FILE", folder.join("config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", folder.join("credentials"));
    command.envs([("AWS_ACCESS_KEY_ID", "OF-THE-ENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "sample")]);
    command.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

#[track_caller]
fn check(output: &Output, code: i32, error: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(error), "{said}");
    assert_eq!(said.contains("\nhint: "), code != 0, "{said}");
}

#[test]
fn a_profile_that_is_named_wins_over_keys_in_the_environment_and_an_unknown_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = "[prod]\naws_access_key_id = OF-THE-PROFILE\naws_secret_access_key = sample\n";
    std::fs::write(folder.path().join("credentials"), credentials).unwrap();
    std::fs::write(folder.path().join("config"), "[profile bare]\nregion = eu-west-1\n").unwrap();
    let (port, heads) = plain();
    let url = format!("http://127.0.0.1:{port}");
    let variables = [("AWS_ENDPOINT_URL", url.as_str())];
    for (arguments, signer) in [(&[][..], "OF-THE-ENVIRONMENT"), (&["--profile", "prod"], "OF-THE-PROFILE")] {
        check(&list(folder.path(), arguments, &variables).output().unwrap(), 0, "No dead or pending event matches");
        let heads: Vec<String> = heads.try_iter().collect();
        assert!(
            !heads.is_empty() && heads.iter().all(|head| head.contains(&format!("Credential={signer}/"))),
            "{heads:?}"
        );
    }
    for profile in ["nowhere", "bare"] {
        let refused = list(folder.path(), &["--profile", profile], &variables).output().unwrap();
        check(&refused, 4, &format!("error: No AWS credentials from profile `{profile}`: "));
    }
    assert_eq!(heads.try_iter().count(), 0);
}

#[test]
fn calls_go_through_the_proxies_of_the_environment_but_not_to_this_machine_nor_where_no_proxy_says() {
    let folder = tempfile::tempdir().unwrap();
    let (port, heads) = plain();
    let (proxy, here, everywhere) =
        (format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}"), format!("http://0.0.0.0:{port}"));
    let dead = "http://127.0.0.1:9";
    for (variables, line) in [
        (
            vec![("AWS_ENDPOINT_URL", "http://table.example"), ("HTTP_PROXY", &proxy)],
            "POST http://table.example/ HTTP/1.1",
        ),
        (
            vec![("AWS_ENDPOINT_URL", "http://table.example"), ("all_proxy", &proxy)],
            "POST http://table.example/ HTTP/1.1",
        ),
        (vec![("AWS_ENDPOINT_URL", &here), ("HTTP_PROXY", dead)], "POST / HTTP/1.1"),
        (
            vec![("AWS_ENDPOINT_URL", &everywhere), ("HTTP_PROXY", dead), ("NO_PROXY", "x.example, 0.0.0.0")],
            "POST / HTTP/1.1",
        ),
    ] {
        check(&list(folder.path(), &[], &variables).output().unwrap(), 0, "No dead or pending event matches");
        let first: Vec<String> = heads.try_iter().collect();
        assert!(first[0].starts_with(line), "{variables:?}: {first:?}");
    }

    let (proxy, lines) = deaf_proxy();
    let calling = list(folder.path(), &[], &[("HTTPS_PROXY", &proxy)]);
    assert_eq!(first_line(calling, &lines), "CONNECT dynamodb.eu-west-1.amazonaws.com:443 HTTP/1.1\r\n");

    let refused = list(folder.path(), &[], &[("HTTPS_PROXY", "http://user:hunter2@")]).output().unwrap();
    check(&refused, 2, "error: `HTTPS_PROXY` is not the URL of a proxy");
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("hunter2"));
}

/// A proxy that connects to nothing, and the first lines of what it is sent.
fn deaf_proxy() -> (String, Receiver<String>) {
    let (port, lines) = answering(|stream, tell| {
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        let _ = tell.send(line);
    });
    (format!("http://127.0.0.1:{port}"), lines)
}

/// What this command sends first; it is not waited for.
fn first_line(mut command: Command, lines: &Receiver<String>) -> String {
    let mut calling = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let first = lines.recv_timeout(BOUND);
    calling.kill().unwrap();
    calling.wait().unwrap();
    first.unwrap()
}

/// With `bridge dev --secrets` Rail itself is asked, though the bridge runs here.
#[tokio::test(flavor = "multi_thread")]
async fn rail_is_reached_through_the_proxy_also_from_the_bridge_on_this_machine() {
    let secrets = SecretsManager::start_private().unwrap();
    let account = json!({
        "base_url": "https://rail.example/api", "token_url": "https://rail.example/token",
        "client_id": "sample-client", "client_secret": "sample-secret",
    });
    secrets.put(&api_secret(RAIL.name), &account).unwrap();
    secrets.put(&signing_secret(RAIL.name), &json!({ "keys": { "a": "sample" } })).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (signing, api) = (signing_secret(RAIL.name), api_secret(RAIL.name));
    let dev = DevFile {
        gateway_url: "http://127.0.0.1:9".to_owned(),
        dynamodb_url: "http://127.0.0.1:9".to_owned(),
        secrets_manager_url: secrets.url(),
        returning_ai_url: String::new(),
        rail_api_url: String::new(),
        webhook_port_url: None,
        real_secrets: [api.clone()].into(),
        parts: Parts {
            signing_secrets: [(RAIL.name.to_owned(), signing.clone())].into(),
            api_secrets: [(RAIL.name.to_owned(), api.clone())].into(),
            ..Parts::default()
        },
        pid: std::process::id(),
    };
    let _up = dev.write(&workspace_root()).unwrap();
    let in_aws = ["--signing-secret", &signing, "--api-secret", &api, "--region", "eu-west-1"];
    for place in [["--dev"].as_slice(), &in_aws] {
        let (proxy, lines) = deaf_proxy();
        let variables = [("HTTPS_PROXY", proxy.as_str()), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets.url())];
        let mut command = bridge(folder.path(), &variables);
        command.args(["rail", "subscriptions", "list", "--callback-url", "https://example.com/"]).args(place);
        let first = spawn_blocking(move || first_line(command, &lines)).await.unwrap();
        assert_eq!(first, "CONNECT rail.example:443 HTTP/1.1\r\n", "{place:?}");
    }
}

#[test]
fn a_root_of_ones_own_is_trusted_where_the_environment_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let der = |text: &str| STANDARD.decode(text).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der(ITS_KEY)));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(der(CERTIFICATE))], key)
        .unwrap();
    let config = Arc::new(config);
    let (port, heads) = answering(move |stream, tell| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let _ = answer(&mut Stream::new(&mut connection, stream), tell);
        connection.send_close_notify();
        let _ = connection.complete_io(stream);
    });
    let url = format!("https://127.0.0.1:{port}");
    let bundle = folder.path().join("bundle.pem");
    std::fs::write(&bundle, format!("-----BEGIN CERTIFICATE-----\n{CERTIFICATE}\n-----END CERTIFICATE-----\n"))
        .unwrap();
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let variables = [("AWS_ENDPOINT_URL", url.as_str()), (name, bundle.to_str().unwrap())];
        check(&list(folder.path(), &[], &variables).output().unwrap(), 0, "No dead or pending event matches");
        assert!(heads.try_iter().count() > 0);
    }
    // A profile's own, as the AWS CLI reads it; the environment's wins.
    let config = format!("[default]\nca_bundle = {}\n[profile prod]\nca_bundle = nowhere.pem\n", bundle.display());
    std::fs::write(folder.path().join("config"), config).unwrap();
    let url = [("AWS_ENDPOINT_URL", url.as_str())];
    check(&list(folder.path(), &[], &url).output().unwrap(), 0, "No dead or pending event matches");
    assert!(heads.try_iter().count() > 0);
    for (arguments, variable) in [(&["--profile", "prod"][..], url[0]), (&[], ("AWS_PROFILE", "prod"))] {
        let refused = list(folder.path(), arguments, &[url[0], variable]).output().unwrap();
        check(&refused, 2, "error: `ca_bundle` of profile `prod`: nowhere.pem cannot be read: ");
    }
    let both = [url[0], ("AWS_PROFILE", "prod"), ("AWS_CA_BUNDLE", bundle.to_str().unwrap())];
    check(&list(folder.path(), &[], &both).output().unwrap(), 0, "No dead or pending event matches");
    assert!(heads.try_iter().count() > 0);
    std::fs::write(folder.path().join("config"), "[default\n").unwrap();
    check(&list(folder.path(), &[], &url).output().unwrap(), 2, "error: The AWS profiles cannot be read: ");
    std::fs::remove_file(folder.path().join("config")).unwrap();

    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    for (file, why) in [("nowhere.pem", "cannot be read: "), ("empty.pem", "holds no certificate")] {
        let path = folder.path().join(file);
        let refused = list(folder.path(), &[], &[("AWS_CA_BUNDLE", path.to_str().unwrap())]).output().unwrap();
        check(&refused, 2, &format!("error: `AWS_CA_BUNDLE`: {} {why}", path.display()));
    }
    assert_eq!(heads.try_iter().count(), 0);
}
