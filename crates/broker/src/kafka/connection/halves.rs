//! The two tasks of a connection: one writes requests, the other reads their answers.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::BrokerError;
use crate::kafka::frames::Frames;

/// Requests that may wait for their turn or their answer on one connection.
const PIPELINE: usize = 64;

/// The largest answer that is read: beyond it the length is taken for damage.
const MAX_RESPONSE: usize = 128 << 20;

/// How much is read at once while nothing large is expected.
const READ_AHEAD: usize = 4096;

/// What ended a connection, once something has.
#[derive(Default)]
pub(super) struct Failure(OnceLock<String>);

impl Failure {
    pub(super) fn set(&self, cause: String) {
        // The first cause is the one that matters; what follows from it is noise.
        let _ = self.0.set(cause);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    pub(super) fn error(&self, server: &str) -> BrokerError {
        BrokerError::Unreachable {
            server: server.to_owned(),
            cause: self
                .0
                .get()
                .map_or("the connection was closed", String::as_str)
                .to_owned(),
        }
    }
}

/// A request, and who waits for its answer.
pub(super) struct Outgoing {
    pub(super) frames: Frames,
    pub(super) waiting: Waiting,
}

/// Who waits for the answer to a request.
pub(super) struct Waiting {
    pub(super) correlation: i32,
    pub(super) reply: oneshot::Sender<Bytes>,
}

/// Starts both halves of a connection. Whatever ends one is in `failure`, and ends the other.
pub(super) fn spawn<R, W>(
    (reader, writer): (R, W),
    failure: &Arc<Failure>,
) -> (mpsc::Sender<Outgoing>, [AbortHandle; 2])
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (outgoing, requests) = mpsc::channel(PIPELINE);
    let (waiting, answers) = mpsc::channel(PIPELINE);
    let write = watch(write_requests(writer, requests, waiting), failure.clone());
    let read = watch(read_responses(reader, answers), failure.clone());
    let tasks = [tokio::spawn(write), tokio::spawn(read)].map(|task| task.abort_handle());
    (outgoing, tasks)
}

async fn watch(half: impl Future<Output = io::Result<()>>, failure: Arc<Failure>) {
    match half.await {
        Ok(()) => failure.set("the connection was closed".to_owned()),
        Err(cause) => failure.set(cause.to_string()),
    }
}

/// Ends when the other half has: then nobody takes the waiting any more.
async fn write_requests(
    mut writer: impl AsyncWrite + Unpin,
    mut requests: mpsc::Receiver<Outgoing>,
    waiting: mpsc::Sender<Waiting>,
) -> io::Result<()> {
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            () = waiting.closed() => None,
        };
        let Some(mut request) = request else {
            return Ok(());
        };
        if waiting.send(request.waiting).await.is_err() {
            return Ok(());
        }
        writer.write_all_buf(&mut request.frames).await?;
        writer.flush().await?;
    }
}

async fn read_responses(
    mut reader: impl AsyncRead + Unpin,
    mut waiting: mpsc::Receiver<Waiting>,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        let response = read_frame(&mut reader, &mut buffer).await?;
        let expected = waiting
            .try_recv()
            .map_err(|_| damaged("an answer that nobody asked for"))?;
        let correlation = response.get(..4).map(|mut head| head.get_i32());
        if correlation != Some(expected.correlation) {
            return Err(damaged("an answer to another request"));
        }
        // Whoever asked may have gone away meanwhile.
        let _ = expected.reply.send(response);
    }
}

async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Bytes> {
    while buffer.len() < 4 {
        buffer.reserve(READ_AHEAD);
        // No more than this, so that little of a large answer has to be moved to its own memory.
        let room = READ_AHEAD - buffer.len();
        if reader.read_buf(&mut (&mut *buffer).limit(room)).await? == 0 {
            return Err(io::Error::other("the broker closed the connection"));
        }
    }
    let size = buffer.get_u32() as usize;
    if size > MAX_RESPONSE {
        return Err(damaged("an answer of impossible size"));
    }
    buffer.reserve(size.saturating_sub(buffer.len()));
    while buffer.len() < size {
        let missing = size - buffer.len();
        if reader.read_buf(&mut (&mut *buffer).limit(missing)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.split_to(size).freeze())
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the broker sent {what}"),
    )
}
