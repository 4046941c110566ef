//! An FNAA that plays its side of one transcript over TCP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

/// What `fnua` says and hears before its command, with the user and password `test`.
pub(crate) const LOGIN: &str = "
    S: 220 fnaa.unix.ar FNAA
    C: AUTHENTICATE PLAIN
    S: 220 OK
    C: AHRlc3QAdGVzdA==
    S: 220 Authenticated
";

/// What it says and hears after it.
pub(crate) const QUIT: &str = "
    C: QUIT
    S: 220 Bye
";

/// An FNAA that plays its side of one transcript: `S:` lines are sent, `C:` lines must come.
pub(crate) struct Script {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    server: JoinHandle<()>,
}

impl Script {
    /// Listens, for one connection.
    pub(crate) fn play(transcript: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let transcript = transcript.to_owned();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            perform(stream, &transcript);
        });
        Self { port, server }
    }

    /// Plays the command's part between login and QUIT.
    pub(crate) fn logged_in(transcript: &str) -> Self {
        Self::play(&format!("{LOGIN}{transcript}{QUIT}"))
    }

    /// Waits until the client has gone; panics where it said something else.
    pub(crate) fn end(self) {
        self.server
            .join()
            .expect("the client keeps to the transcript");
    }
}

fn perform(stream: TcpStream, transcript: &str) {
    let mut output = stream.try_clone().expect("a second handle");
    let mut input = BufReader::new(stream);
    let lines = transcript.lines().map(str::trim_start);
    for line in lines.filter(|line| !line.is_empty()) {
        let (side, text) = line.split_at(2);
        let text = format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text));
        match side {
            "S:" => output
                .write_all(text.as_bytes())
                .expect("the client listens"),
            "C:" => assert_eq!(read_line(&mut input), text),
            other => panic!("a transcript has S: and C: lines, not {other}"),
        }
    }
    let mut rest = String::new();
    input.read_to_string(&mut rest).expect("the client closes");
    assert_eq!(rest, "", "behind the transcript");
}

fn read_line(input: &mut impl BufRead) -> String {
    let mut line = String::new();
    input.read_line(&mut line).expect("the client sends text");
    line
}
