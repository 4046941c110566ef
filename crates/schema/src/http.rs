//! Documents from HTTP servers that somebody else may have named.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use eson_client::{BadTlsName, DialError, Dialer, TlsName, TlsRoots};
use futures::future::{Either, select};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::Url;

/// How long one request may take, from the first packet on.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches from HTTP servers, within the address policy of its dialer. Redirections are not followed: they
/// would lead where nobody has looked.
#[derive(Clone)]
pub struct HttpClient {
    dialer: Dialer,
    roots: TlsRoots,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No certificate can be valid for the host.
    #[error(transparent)]
    Name(#[from] BadTlsName),
    /// The server's certificate is not believed, or TLS failed.
    #[error("{host}: TLS: {cause}")]
    Tls {
        /// The host.
        host: String,
        /// What the handshake met.
        cause: std::io::Error,
    },
    /// The server does not speak HTTP, or the connection broke.
    #[error("{host} does not answer as HTTP has it: {cause}")]
    Http {
        /// The host.
        host: String,
        /// What went wrong.
        cause: String,
    },
    /// The server took too long.
    #[error("{0} did not answer within 10 seconds")]
    Late(String),
    /// The answer is longer than asked for.
    #[error("the answer of {host} has more than {limit} octets")]
    TooLarge {
        /// The host.
        host: String,
        /// The most that it may have.
        limit: usize,
    },
    /// The server refuses.
    #[error("{url} is answered {status}{}", hint(.status))]
    Refused {
        /// What was asked.
        url: String,
        /// The status code.
        status: u16,
    },
}

fn hint(status: &u16) -> &'static str {
    match status {
        300..=399 => "; redirections are not followed, name the place itself",
        _ => "",
    }
}

impl HttpError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dial(DialError::Forbidden { .. }) | Self::Name(_) | Self::TooLarge { .. } => {
                false
            }
            Self::Refused { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            _ => true,
        }
    }
}

impl HttpClient {
    /// A client that connects where `dialer` may and believes certificates of `roots`.
    #[must_use]
    pub fn new(dialer: Dialer, roots: TlsRoots) -> Self {
        Self { dialer, roots }
    }

    /// What is at a URL, at most `limit` octets.
    ///
    /// # Errors
    /// [`HttpError`]; every status but 2xx is [`HttpError::Refused`].
    pub async fn get(&self, url: &Url, limit: usize) -> Result<Bytes, HttpError> {
        let exchange = timeout(TIMEOUT, self.exchange(url, limit));
        exchange
            .await
            .unwrap_or_else(|_| Err(HttpError::Late(url.host().to_owned())))
    }

    async fn exchange(&self, url: &Url, limit: usize) -> Result<Bytes, HttpError> {
        let request = request(url).map_err(|cause| broken(url, cause))?;
        let stream = self.dialer.connect(url.host(), url.port()).await?;
        if !url.is_tls() {
            return talk(url, stream, request, limit).await;
        }
        let name = TlsName::parse(url.host())?;
        let stream = self.roots.handshake(&name, stream).await;
        let stream = stream.map_err(|cause| HttpError::Tls {
            host: url.host().to_owned(),
            cause,
        })?;
        talk(url, stream, request, limit).await
    }
}

fn request(url: &Url) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    Request::get(url.target())
        .header(HOST, url.authority())
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
}

/// One request on a connection of its own.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    url: &Url,
    stream: S,
    request: Request<Empty<Bytes>>,
    limit: usize,
) -> Result<Bytes, HttpError> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|cause| broken(url, cause))?;
    let answer = async {
        let response = sender.send_request(request).await;
        read(url, response.map_err(|cause| broken(url, cause))?, limit).await
    };
    match select(pin!(answer), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // All that came is there for the answer, which tells what is wrong with it.
        Either::Right((_, answer)) => answer.await,
    }
}

async fn read(url: &Url, response: Response<Incoming>, limit: usize) -> Result<Bytes, HttpError> {
    let status = response.status();
    if !status.is_success() {
        return Err(HttpError::Refused {
            url: url.to_string(),
            status: status.as_u16(),
        });
    }
    let body = Limited::new(response.into_body(), limit).collect().await;
    let body = body.map_err(|cause| match cause.is::<LengthLimitError>() {
        true => HttpError::TooLarge {
            host: url.host().to_owned(),
            limit,
        },
        false => broken(url, cause),
    })?;
    Ok(body.to_bytes())
}

fn broken(url: &Url, cause: impl std::fmt::Display) -> HttpError {
    HttpError::Http {
        host: url.host().to_owned(),
        cause: cause.to_string(),
    }
}
