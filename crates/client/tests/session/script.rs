//! A server that plays its side of a transcript, as the draft's transcripts are written.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;

/// The server's side of a transcript, and what it waits for: `S:` lines are sent, `C:` lines
/// must come, exactly so and with CRLF. At the end it must come to the end of the client's bytes.
pub(crate) struct Script(JoinHandle<()>);

impl Script {
    /// Begins to play.
    pub(crate) fn play(transcript: &'static str) -> (DuplexStream, Self) {
        let (client, server) = tokio::io::duplex(64 * 1024);
        (client, Self(tokio::spawn(perform(server, transcript))))
    }

    /// Waits until the transcript is at its end; panics where the client said something else.
    pub(crate) async fn end(self) {
        self.0.await.expect("the client keeps to the transcript");
    }
}

async fn perform(server: DuplexStream, transcript: &str) {
    let mut server = BufReader::new(server);
    let lines = transcript.lines().map(str::trim_start);
    for line in lines.filter(|line| !line.is_empty()) {
        let (side, text) = line.split_at(2);
        let text = text.strip_prefix(' ').unwrap_or(text);
        match side {
            "S:" => send(&mut server, text).await,
            "C:" => expect(&mut server, text).await,
            other => panic!("a transcript has S: and C: lines, not {other}"),
        }
    }
    let mut rest = Vec::new();
    let read = server.read_to_end(&mut rest).await;
    read.expect("memory can be read");
    assert_eq!(String::from_utf8_lossy(&rest), "", "behind the transcript");
}

async fn send(server: &mut BufReader<DuplexStream>, line: &str) {
    let line = format!("{line}\r\n");
    let sent = server.write_all(line.as_bytes()).await;
    sent.expect("the client still listens");
}

async fn expect(server: &mut BufReader<DuplexStream>, line: &str) {
    let mut came = String::new();
    let read = server.read_line(&mut came).await;
    read.expect("the client sends text");
    assert_eq!(came, format!("{line}\r\n"));
}
