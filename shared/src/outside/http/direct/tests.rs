use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::outside::http::tls;

/// Of 127.0.0.1, for a hundred years, signed by itself.
const CERTIFICATE: &str = "MIIBajCCARGgAwIBAgIBATAKBggqhkjOPQQDAjAdMRswGQYDVQQDDBJvd24gcm9vdCBvZiBhIHRlc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMB0xGzAZBgNVBAMMEm93biByb290IG9mIGEgdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPyXfMDp6Uj3Wa/37KuUuGHwlOeX3/TB0IBj/1N7z30fG3JOmU4PN4yDAhNFEOljIXTzzXEO6P6c7vND6AK1eOajQDA+MA8GA1UdEQQIMAaHBH8AAAEwDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUnbx8ZeuGWU2ckyyDZ9HQJqvVKlAwCgYIKoZIzj0EAwIDRwAwRAIgF+fTSUiVK1maMAFGCU3+W4oUjTqVA2aflS0KL81nKb0CIE5CxVA0NNcmz3Ldg1Gw/sAem/fnTkz7Ok8fK1AcczQL";
const ITS_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxUFuxJJN3eUjonHXIvzguCb186w4wSNFwtYGalkSIFChRANCAAT8l3zA6elI91mv9+yrlLhh8JTnl9/0wdCAY/9Te899HxtyTplODzeMgwITRRDpYyF0881xDuj+nO7zQ+gCtXjm";

fn certificate() -> CertificateDer<'static> {
    STANDARD.decode(CERTIFICATE).unwrap().into()
}

/// A server that answers two requests of its first connection by TLS; `None` when they do not come.
fn server() -> (String, thread::JoinHandle<Option<()>>) {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(STANDARD.decode(ITS_KEY).unwrap()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    // The client does not speak the first of these.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        for _ in 0..2 {
            let (mut head, mut part) = (Vec::new(), [0; 1024]);
            while !head.ends_with(b"\r\n\r\n{}") {
                let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
                head.extend_from_slice(&part[..read]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        }
        Some(())
    });
    (url, serving)
}

async fn ask(direct: &Direct, url: &str) -> Result<Bytes, ExchangeError> {
    let request = http::Request::post(url).body(Bytes::from_static(b"{}")).unwrap();
    read(direct.send(request).await?.into_body()).await
}

#[tokio::test]
async fn a_server_whose_certificate_is_trusted_is_asked_over_one_connection() {
    let (url, serving) = server();
    let direct = Direct::new(tls(vec![certificate()]).unwrap());
    for _ in 0..2 {
        assert_eq!(ask(&direct, &url).await.unwrap(), "ok");
    }
    assert_eq!(serving.join().unwrap(), Some(()));
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_or_is_another_host_s_gets_no_request() {
    for (trusted, host) in [(Vec::new(), "127.0.0.1"), (vec![certificate()], "localhost")] {
        let (url, serving) = server();
        let direct = Direct::new(tls(trusted).unwrap());
        let error = ask(&direct, &url.replace("127.0.0.1", host)).await.unwrap_err();
        assert!(matches!(error, ExchangeError::ConnectionFailed(_)), "{error:?}");
        assert_eq!(serving.join().unwrap(), None);
    }
}
