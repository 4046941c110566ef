//! FNAP as a person at `telnet` speaks it: bytes out, lines in.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longer than any command may take: SUBSCRIBE answers after 30 seconds at the latest.
const PATIENCE: Duration = Duration::from_secs(90);

/// One connection to an FNAA.
#[derive(Debug)]
pub struct RawFnap {
    stream: BufReader<TcpStream>,
}

/// A reply: the data lines, if any, and the status line, all without line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The lines between `220 DATA` and the status, one leading `=` taken off.
    pub data: Vec<String>,
    /// The last line.
    pub status: String,
}

impl Answer {
    /// Whether the status is 220.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status.starts_with("220 ")
    }

    /// The three digits, and the bracketed word if there is one: `550 [NOTFOUND]`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self.status.find("] ") {
            Some(end) if self.status[3..].starts_with(" [") => &self.status[..=end],
            _ => self.status.get(..3).unwrap_or(&self.status),
        }
    }

    /// The value of a `key=value` data line.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes(key).next()
    }

    /// The values of all data lines with this key.
    pub fn attributes(&self, key: &str) -> impl Iterator<Item = &str> {
        self.data
            .iter()
            .filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

impl RawFnap {
    /// Connects, and reads nothing yet.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(server: SocketAddr) -> Self {
        Self::try_connect(server).unwrap_or_else(|cause| panic!("{server}: {cause}"))
    }

    /// Connects where somebody may listen.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Connects, reads the greeting and authenticates with PLAIN.
    ///
    /// # Panics
    /// When any of it is refused.
    #[must_use]
    pub fn login(server: SocketAddr, user: &str, password: &str) -> Self {
        Self::try_login(server, user, password).unwrap_or_else(|seen| panic!("{server}: {seen}"))
    }

    /// [`RawFnap::login`] where the server may be away.
    ///
    /// # Errors
    /// What was seen instead.
    pub fn try_login(server: SocketAddr, user: &str, password: &str) -> Result<Self, String> {
        let mut session = Self::try_connect(server).map_err(|cause| cause.to_string())?;
        session.try_line()?;
        session.try_send("AUTHENTICATE PLAIN")?;
        session.try_line()?;
        session.try_send(&plain(user, password))?;
        match session.try_line()? {
            line if line == "220 Authenticated" => Ok(session),
            line => Err(line),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.get_ref().write_all(bytes).unwrap();
    }

    /// Sends one line, ended by CRLF.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send(&mut self, line: &str) {
        self.try_send(line)
            .unwrap_or_else(|cause| panic!("{line}: {cause}"));
    }

    fn try_send(&mut self, line: &str) -> Result<(), String> {
        self.stream
            .get_ref()
            .write_all(format!("{line}\r\n").as_bytes())
            .map_err(|cause| cause.to_string())
    }

    /// One line, which has to end in CRLF.
    ///
    /// # Panics
    /// When none comes.
    pub fn line(&mut self) -> String {
        self.try_line().unwrap_or_else(|cause| panic!("{cause}"))
    }

    /// One line, or what there was instead.
    ///
    /// # Errors
    /// When the connection ends or nothing comes for a minute and a half.
    pub fn try_line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err("the server has closed the connection".to_owned()),
            Ok(_) => line
                .strip_suffix("\r\n")
                .map(str::to_owned)
                .ok_or_else(|| format!("{line:?} does not end in CRLF")),
            Err(cause) => Err(format!("no line from the server: {cause}")),
        }
    }

    /// Reads one line and compares it.
    ///
    /// # Panics
    /// When it is another one.
    pub fn expect(&mut self, line: &str) {
        assert_eq!(line, self.line());
    }

    /// Sends a command and reads its reply.
    ///
    /// # Panics
    /// When the connection ends first.
    pub fn ask(&mut self, command: &str) -> Answer {
        self.try_ask(command)
            .unwrap_or_else(|cause| panic!("{command}: {cause}"))
    }

    /// Sends a command and reads its reply, where the server may go away.
    ///
    /// # Errors
    /// What happened instead.
    pub fn try_ask(&mut self, command: &str) -> Result<Answer, String> {
        self.try_send(command)?;
        self.answer()
    }

    /// Sends a command that has to succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn ok(&mut self, command: &str) -> Answer {
        let answer = self.ask(command);
        assert!(answer.is_ok(), "{command}: {answer:?}");
        answer
    }

    /// Sends a command that has to fail with this code, as [`Answer::code`] gives it.
    ///
    /// # Panics
    /// When it does not.
    pub fn refused(&mut self, command: &str, code: &str) -> Answer {
        let answer = self.ask(command);
        assert_eq!(code, answer.code(), "{command}: {answer:?}");
        answer
    }

    /// Reads a whole reply.
    ///
    /// # Errors
    /// When the connection ends in it.
    pub fn answer(&mut self) -> Result<Answer, String> {
        let first = self.try_line()?;
        if first != "220 DATA" {
            return Ok(Answer {
                data: Vec::new(),
                status: first,
            });
        }
        let mut data = Vec::new();
        loop {
            let line = self.try_line()?;
            if is_status(&line) {
                return Ok(Answer { data, status: line });
            }
            data.push(line.strip_prefix('=').map_or(line.clone(), str::to_owned));
        }
    }

    /// Writes events, one JSON object a line, and returns the final answer.
    ///
    /// # Panics
    /// When the server doesn't want them.
    pub fn write_flow<'a>(
        &mut self,
        command: &str,
        events: impl IntoIterator<Item = &'a str>,
    ) -> Answer {
        self.send(command);
        let go_on = self.line();
        assert!(go_on.starts_with("354 "), "{command}: {go_on}");
        let mut body = String::new();
        for event in events {
            body.push_str(event);
            body.push_str("\r\n");
        }
        body.push_str(".\r\n");
        self.send_bytes(body.as_bytes());
        self.answer()
            .unwrap_or_else(|cause| panic!("{command}: {cause}"))
    }

    /// Whether the server has closed the connection; waits for it, and drops what comes before.
    pub fn closes(&mut self) -> bool {
        io::copy(&mut self.stream, &mut io::sink()).is_ok()
    }
}

/// Three digits and a blank.
fn is_status(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.len() >= 4 && bytes[..3].iter().all(u8::is_ascii_digit) && bytes[3] == b' '
}

/// The response of SASL PLAIN, in base64.
#[must_use]
pub fn plain(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(line: &str) -> Answer {
        Answer {
            data: vec!["server=a:1".into(), "server=b:2".into()],
            status: line.into(),
        }
    }

    #[test]
    fn a_code_comes_with_its_word() {
        assert_eq!("550 [NOTFOUND]", status("550 [NOTFOUND] no flow x").code());
        assert_eq!("220", status("220 OK [sic] x").code());
    }

    #[test]
    fn attributes_may_be_repeated() {
        let answer = status("220 OK");
        assert_eq!(Some("a:1"), answer.attribute("server"));
        assert_eq!(2, answer.attributes("server").count());
    }

    #[test]
    fn the_drafts_password_is_encoded_as_in_the_draft() {
        assert_eq!("AHRlc3QAdGVzdA==", plain("test", "test"));
    }
}
