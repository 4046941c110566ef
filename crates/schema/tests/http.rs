//! The HTTP client against a server of its own kind.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use eson_client::{Dialer, SystemLookup, TlsRoots};
use eson_protocol::AddressPolicy;
use eson_schema::{Authorization, HttpClient, HttpError, Registry, RegistryError, Url};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Answers by path until the test ends.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    });
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().to_string();
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| value.to_str().expect("text"));
    let response = match path.as_str() {
        "/guarded/schemas/types" if authorization == Some("Bearer token") => {
            Response::builder().body(b"[\"AVRO\"]".to_vec())
        }
        "/guarded/schemas/types" if authorization.is_some() => Response::builder()
            .status(403)
            .body(b"{\"error_code\":40301,\"message\":\"not you\"}".to_vec()),
        "/guarded/schemas/types" => Response::builder().status(401).body(Vec::new()),
        "/thousand" => Response::builder().body(vec![b'a'; 1000]),
        "/moved" => Response::builder()
            .status(302)
            .header("location", "/thousand")
            .body(Vec::new()),
        "/busy" => Response::builder().status(503).body(b"later\r\n".to_vec()),
        "/query?v=1" => Response::builder().body(b"v=1".to_vec()),
        _ => Response::builder().status(404).body(b"no".to_vec()),
    };
    Ok(response.expect("a response").map(Full::from))
}

fn client(policy: AddressPolicy) -> HttpClient {
    let dialer = Dialer::new(Arc::new(SystemLookup), policy);
    HttpClient::new(dialer, TlsRoots::system())
}

async fn get(path: &str, limit: usize) -> Result<Bytes, HttpError> {
    let url = Url::parse(&format!("http://{}{path}", serve().await)).expect("a URL");
    let client = client(AddressPolicy::unrestricted());
    client.get(&url, limit).await
}

#[tokio::test]
async fn what_is_there_is_fetched_up_to_its_limit() {
    let thousand = get("/thousand", 1000).await.expect("a document");
    assert_eq!(thousand.len(), 1000);
    let query = get("/query?v=1", 1000).await.expect("a document");
    assert_eq!(query, "v=1");
    let error = get("/thousand", 999).await.expect_err("too long");
    assert!(matches!(error, HttpError::TooLarge { limit: 999, .. }));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn redirections_are_not_followed_and_refusals_say_why() {
    let moved = get("/moved", 1000).await.expect_err("elsewhere");
    assert!(moved.to_string().contains("redirections are not followed"));
    assert!(!moved.is_transient());
    let absent = get("/absent", 1000).await.expect_err("nothing");
    assert!(matches!(absent, HttpError::Refused { status: 404, .. }));
    let busy = get("/busy", 1000).await.expect_err("later");
    assert!(busy.is_transient(), "{busy}");
}

#[tokio::test]
async fn only_permitted_addresses_are_asked() {
    let url = Url::parse(&format!("http://{}/thousand", serve().await)).expect("a URL");
    let refused = client(AddressPolicy::new(Vec::new())).get(&url, 1000).await;
    let refused = refused.expect_err("loopback");
    assert!(
        refused.to_string().contains("not a public address"),
        "{refused}"
    );
    assert!(!refused.is_transient());
}

#[tokio::test]
async fn a_server_without_tls_is_no_https_server() {
    let url = Url::parse(&format!("https://{}/thousand", serve().await)).expect("a URL");
    let error = client(AddressPolicy::unrestricted()).get(&url, 1000).await;
    assert!(matches!(error, Err(HttpError::Tls { .. })), "{error:?}");
}

#[tokio::test]
async fn a_registry_is_asked_with_a_login() {
    let server = serve().await;
    let check = async |path: &str, authorization| {
        let url = Url::parse(&format!("http://{server}{path}")).expect("a URL");
        let http = client(AddressPolicy::unrestricted());
        Registry::new(http, url, authorization).check().await
    };
    let token = Authorization::Bearer("token".into());
    check("/guarded/", Some(token)).await.expect("let in");
    let basic = Authorization::Basic {
        username: "alice".to_owned(),
        password: "wonderland".into(),
    };
    let denied = check("/guarded", Some(basic)).await.expect_err("not her");
    assert!(matches!(denied, RegistryError::Denied { .. }), "{denied:?}");
    let text = denied.to_string();
    assert!(
        text.ends_with("does not allow that: not you (40301)"),
        "{text}"
    );
    let refused = check("/guarded", None).await.expect_err("nobody");
    assert!(matches!(refused, RegistryError::Unauthenticated { .. }));
    let elsewhere = check("/elsewhere", None).await.expect_err("no registry");
    assert!(!elsewhere.is_transient());
    assert!(elsewhere.to_string().contains("answers 404"), "{elsewhere}");
}
