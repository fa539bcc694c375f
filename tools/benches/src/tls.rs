//! AWS over TLS: a certificate authority of this run, and servers with its certificates in front of the plain ones.
//!
//! The functions trust Mozilla's roots and no others. So the authority takes the place of one of these roots in a copy of the
//! binary: the same code with another key of the same length.

use std::error::Error;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use local::http_client::HttpClient;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// The root above AWS's own endpoints, with an RSA key of 2048 bits like those below it.
const ROOT: &str = "/C=US/O=Amazon/CN=Amazon Root CA 1";

const OPENSSL_CONFIG: &str = "
[req]
distinguished_name = name
string_mask = nombstr
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
subjectAltName = IP:127.0.0.1
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
";

/// The system's roots, where programs look for them.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A certificate authority for an hour: a root, a certificate below it, and the server's below that, all RSA like AWS's.
pub(crate) struct CertificateAuthority {
    folder: TempDir,
    server: Arc<ServerConfig>,
}

impl CertificateAuthority {
    /// Makes it in a folder inside `target`, which is removed with it.
    pub(crate) fn create(target: &Path) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(target)?;
        fs::write(folder.path().join("openssl.cnf"), OPENSSL_CONFIG)?;
        let new_key = ["req", "-config", "openssl.cnf", "-newkey", "rsa:2048", "-nodes"];
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).current_dir(&folder).output();
            let output = output.map_err(|error| format!("`openssl` cannot be run: {error}"))?;
            match output.status.success() {
                true => Ok(()),
                false => Err(format!("`openssl` failed: {}", String::from_utf8_lossy(&output.stderr))),
            }
        };
        let root = ["-x509", "-extensions", "ca", "-subj", ROOT, "-keyout", "root.key", "-out", "root.pem"];
        openssl(&[&new_key[..], &root].concat())?;
        for (name, issuer, extensions) in [("ca", "root", "ca"), ("server", "ca", "server")] {
            let [key, request, certificate] = ["key", "csr", "pem"].map(|kind| format!("{name}.{kind}"));
            let [ca, ca_key] = ["pem", "key"].map(|kind| format!("{issuer}.{kind}"));
            let subject = format!("/CN=bench {name}");
            openssl(&[&new_key[..], &["-subj", &subject, "-keyout", &key, "-out", &request]].concat())?;
            let signed = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-set_serial", "1"];
            let form = ["-extfile", "openssl.cnf", "-extensions", extensions, "-out", &certificate];
            openssl(&[&signed[..], &form].concat())?;
        }
        let public = ["x509", "-in", "root.pem", "-noout", "-pubkey", "-out", "root.pub"];
        openssl(&public)?;
        openssl(&["pkey", "-pubin", "-in", "root.pub", "-outform", "DER", "-out", "root.spki"])?;

        let at = |name: &str| folder.path().join(name);
        let mut roots = fs::read(SYSTEM_ROOTS).unwrap_or_default();
        roots.extend(fs::read(at("root.pem"))?);
        fs::write(at("roots.pem"), roots)?;
        let chain = ["server.pem", "ca.pem"].map(|name| CertificateDer::from_pem_file(at(name)));
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                chain.into_iter().collect::<Result<_, _>>()?,
                PrivateKeyDer::from_pem_file(at("server.key"))?,
            )?;
        Ok(Self { folder, server: Arc::new(server) })
    }

    /// What makes SDKs trust it besides the system's roots.
    pub(crate) fn environment(&self) -> [(String, String); 3] {
        let at = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        [
            ("SSL_CERT_FILE".to_owned(), at("roots.pem")),
            ("AWS_CA_BUNDLE".to_owned(), at("roots.pem")),
            ("NODE_EXTRA_CA_CERTS".to_owned(), at("root.pem")),
        ]
    }

    /// A copy of a binary that trusts it in place of [`ROOT`].
    pub(crate) fn trusted_by(&self, binary: &Path, name: &str) -> Result<PathBuf, Box<dyn Error>> {
        let common_name = ROOT.rsplit('=').next().unwrap_or_default().as_bytes();
        let anchors = webpki_roots::TLS_SERVER_ROOTS.iter();
        let mut anchors = anchors.filter(|anchor| anchor.subject.ends_with(common_name));
        let anchor = anchors.next().ok_or("Mozilla has another root by now")?;
        let key = fs::read(self.folder.path().join("root.spki"))?;
        // Without the header of the outer sequence, as the roots have it.
        let key = key.get(4..).filter(|key| key.len() == anchor.subject_public_key_info.len());
        let key = key.ok_or("the authority's key has another length than the root's")?;

        let mut code = fs::read(binary)?;
        let roots_key: &[u8] = &anchor.subject_public_key_info;
        let mut places = (0..=code.len() - key.len()).filter(|at| code[*at..].starts_with(roots_key));
        let (Some(at), None) = (places.next(), places.next()) else {
            return Err(format!("{} does not have Mozilla's roots compiled in", binary.display()).into());
        };
        code[at..at + key.len()].copy_from_slice(key);
        let copy = self.folder.path().join(name);
        fs::write(&copy, code)?;
        fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
        Ok(copy)
    }

    /// A server with its certificate in front of a plain one.
    pub(crate) async fn in_front_of(&self, plain: &str, opened: &Opened) -> Result<TlsFront, Box<dyn Error>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (acceptor, plain, opened) = (TlsAcceptor::from(self.server.clone()), plain.parse()?, opened.clone());
        let accept = tokio::spawn(accept(listener, acceptor, plain, opened)).abort_handle();
        Ok(TlsFront { address, accept })
    }
}

/// When connections were opened, of all servers together.
#[derive(Clone, Default)]
pub(crate) struct Opened(Arc<Mutex<Vec<Instant>>>);

impl Opened {
    /// How many were, from one moment to another.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> usize {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.iter().filter(|at| (from..=to).contains(*at)).count()
    }

    fn push(&self, at: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(at);
    }
}

/// A listening server; dropping it closes the port.
pub(crate) struct TlsFront {
    address: SocketAddr,
    accept: AbortHandle,
}

impl TlsFront {
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, plain: Uri, opened: Opened) {
    let client = HttpClient::default();
    while let Ok((stream, _)) = listener.accept().await {
        opened.push(Instant::now());
        tokio::spawn(serve(stream, acceptor.clone(), plain.clone(), client.clone()));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, plain: Uri, client: HttpClient) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let forward = service_fn(|request| forward(&client, &plain, request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), forward).await;
}

async fn forward(
    client: &HttpClient,
    plain: &Uri,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let (mut head, body) = request.into_parts();
    let mut target = plain.clone().into_parts();
    target.path_and_query = Some(head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    head.uri = Uri::from_parts(target)?;
    let host = plain.authority().map(Authority::as_str).unwrap_or_default();
    head.headers.insert(header::HOST, HeaderValue::from_str(host)?);
    let answer = client.send(Request::from_parts(head, body.collect().await?.to_bytes())).await?;
    Ok(answer.map(Full::new))
}
