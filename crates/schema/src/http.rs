//! Asking HTTP servers that somebody else may have named.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use eson_client::{BadTlsName, DialError, Dialer, TlsName, TlsRoots};
use futures::future::{Either, select};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::{Authorization, Url};

/// How long one request may take, from the first packet on.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks HTTP servers, within the address policy of its dialer. Redirections are not followed: they
/// would lead where nobody has looked.
#[derive(Clone)]
pub struct HttpClient {
    dialer: Dialer,
    roots: TlsRoots,
}

/// What is asked of a server.
pub(crate) struct Question<'a> {
    /// As whom, where it wants to know.
    pub(crate) authorization: Option<&'a Authorization>,
    /// The media types that the answer may have.
    pub(crate) accept: &'static str,
    /// What is posted, with its media type; without it, it is a GET.
    pub(crate) body: Option<(Bytes, &'static str)>,
}

/// What a server has answered, whatever it thinks of the question.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
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
        let question = Question {
            authorization: None,
            accept: "*/*",
            body: None,
        };
        let answered = self.ask(url, &question, limit).await?;
        match answered.status.is_success() {
            true => Ok(answered.body),
            false => Err(HttpError::Refused {
                url: url.to_string(),
                status: answered.status.as_u16(),
            }),
        }
    }

    /// What a server answers, at most `limit` octets, whatever the status.
    ///
    /// # Errors
    /// [`HttpError`], but for [`HttpError::Refused`].
    pub(crate) async fn ask(
        &self,
        url: &Url,
        question: &Question<'_>,
        limit: usize,
    ) -> Result<Answered, HttpError> {
        let exchange = timeout(TIMEOUT, self.exchange(url, question, limit));
        exchange
            .await
            .unwrap_or_else(|_| Err(HttpError::Late(url.host().to_owned())))
    }

    async fn exchange(
        &self,
        url: &Url,
        question: &Question<'_>,
        limit: usize,
    ) -> Result<Answered, HttpError> {
        let request = request(url, question).map_err(|cause| broken(url, cause))?;
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

fn request(url: &Url, question: &Question<'_>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let request = match question.body {
        None => Request::get(url.target()),
        Some((_, media_type)) => Request::post(url.target()).header(CONTENT_TYPE, media_type),
    };
    let request = request
        .header(HOST, url.authority())
        .header(ACCEPT, question.accept)
        .header(CONNECTION, "close");
    let request = match question.authorization {
        None => request,
        Some(authorization) => request.header(AUTHORIZATION, authorization.header()?),
    };
    let body = question.body.as_ref().map(|(body, _)| body.clone());
    request.body(Full::new(body.unwrap_or_default()))
}

/// One request on a connection of its own.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    url: &Url,
    stream: S,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Answered, HttpError> {
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

async fn read(
    url: &Url,
    response: Response<Incoming>,
    limit: usize,
) -> Result<Answered, HttpError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), limit).collect().await;
    let body = body.map_err(|cause| match cause.is::<LengthLimitError>() {
        true => HttpError::TooLarge {
            host: url.host().to_owned(),
            limit,
        },
        false => broken(url, cause),
    })?;
    Ok(Answered {
        status,
        body: body.to_bytes(),
    })
}

fn broken(url: &Url, cause: impl std::fmt::Display) -> HttpError {
    HttpError::Http {
        host: url.host().to_owned(),
        cause: cause.to_string(),
    }
}
