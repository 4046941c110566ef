//! TCP, TLS and Unix sockets.

use std::sync::Arc;

use eson_client::{
    Address, Client, ClientError, DialError, Dialer, SystemLookup, TlsName, TlsRoots,
};
use eson_protocol::{AddressPolicy, Command};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::options;

/// Greets, and answers one command.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    stream
        .write_all(b"220 fnaa.unix.ar FNAA\r\n")
        .await
        .expect("greeted");
    let mut command = [0; 6];
    stream.read_exact(&mut command).await.expect("a command");
    assert_eq!(&command, b"NOOP\r\n");
    stream.write_all(b"220 OK\r\n").await.expect("answered");
    stream.flush().await.expect("answered");
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

fn address(port: u16, tls: Option<&str>) -> Address {
    Address::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
        tls: tls.map(|name| TlsName::parse(name).expect("a name")),
    }
}

#[tokio::test]
async fn over_tcp() {
    let (listener, port) = listener().await;
    let server = tokio::spawn(async move { serve(listener.accept().await.expect("one").0).await });
    let client = Client::connect(&address(port, None), &options()).await;
    let mut client = client.expect("connected");
    client.command(&Command::Noop).await.expect("answered");
    server.await.expect("served");
}

#[tokio::test]
async fn over_a_unix_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fnaad.sock");
    let nobody = Client::connect(&Address::Unix(path.clone()), &options()).await;
    let error = nobody.err().expect("nobody listens");
    assert!(matches!(error, ClientError::Socket { .. }), "{error}");

    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let server = tokio::spawn(async move { serve(listener.accept().await.expect("one").0).await });
    let client = Client::connect(&Address::Unix(path), &options()).await;
    let mut client = client.expect("connected");
    client.command(&Command::Noop).await.expect("answered");
    server.await.expect("served");
}

#[tokio::test]
async fn nobody_listens() {
    let (listener, port) = listener().await;
    drop(listener);
    let client = Client::connect(&address(port, None), &options()).await;
    let error = client.err().expect("nobody listens");
    assert!(
        matches!(error, ClientError::Dial(DialError::Connect { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn the_policy_is_applied() {
    let (_listener, port) = listener().await;
    let mut options = options();
    options.dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::default());
    let client = Client::connect(&address(port, None), &options).await;
    let error = client.err().expect("not for strangers");
    assert!(
        matches!(error, ClientError::Dial(DialError::Forbidden { .. })),
        "{error}"
    );
    assert!(!error.is_transient());
}

/// A certificate authority, and a server certificate for `fnaa.unix.ar` by it.
fn certificates() -> (String, ServerConfig) {
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["fnaa.unix.ar".to_owned()]).expect("parameters");
    let server = server.signed_by(&key, &authority).expect("signed");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], key)
        .expect("they fit");
    (authority.pem(), config)
}

#[tokio::test]
async fn over_tls() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    let (authority, config) = certificates();
    std::fs::write(&file, authority).expect("written");
    let (listener, port) = listener().await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = tokio::spawn(async move {
        // The first comes for another name and goes away in the handshake.
        let (stranger, _) = listener.accept().await.expect("one");
        acceptor.accept(stranger).await.expect_err("it went away");
        let (stream, _) = listener.accept().await.expect("another");
        serve(acceptor.accept(stream).await.expect("hands are shaken")).await;
    });
    let mut options = options();
    options.roots = TlsRoots::with_file(file);

    let client = Client::connect(&address(port, Some("fnaa.emiliano.ar")), &options).await;
    let error = client.err().expect("another name");
    assert!(matches!(&error, ClientError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("fnaa.emiliano.ar"), "{error}");

    let client = Client::connect(&address(port, Some("fnaa.unix.ar")), &options).await;
    let mut client = client.expect("connected");
    client.command(&Command::Noop).await.expect("answered");
    server.await.expect("served");
}

#[tokio::test]
async fn a_file_without_certificates_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("empty.pem");
    std::fs::write(&file, "nothing\n").expect("written");
    let (_listener, port) = listener().await;
    let mut options = options();
    options.roots = TlsRoots::with_file(file);
    let client = Client::connect(&address(port, Some("fnaa.unix.ar")), &options).await;
    let error = client.err().expect("no authorities").to_string();
    assert!(error.contains("empty.pem has no certificate"), "{error}");
}

/// The futures can move between threads, and so can the client.
#[test]
fn everything_is_send() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Send + Sync>() {}
    is_sync::<Client>();
    let options = options();
    let address = address(1, None);
    is_send(&Client::connect(&address, &options));
    is_send(&async {
        let mut client = Client::connect(&address, &options)
            .await
            .expect("connected");
        let anonymous = eson_client::Credentials::Anonymous {
            trace: String::new(),
        };
        client.authenticate(&anonymous).await.expect("in");
        client.command(&Command::Noop).await.expect("answered");
        client.quit().await;
    });
}
