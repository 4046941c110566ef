//! Reads a password without showing it, and never from the command line, which everybody on the
//! machine can see.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Longer lines are no passwords.
const MAX_LENGTH: u64 = 4096;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Standard input can't be read, or the terminal not be set.
    #[error("the password can't be read: {0}")]
    Io(#[from] io::Error),
    /// There was an empty line, or none.
    #[error("there is no password on standard input")]
    Empty,
    /// The two differ.
    #[error("the passwords are not the same")]
    Different,
}

/// Asks twice on a terminal, or takes the first line of standard input.
pub(crate) fn read_password(user: &str) -> Result<String, PasswordError> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    let _hidden = Hidden::begin()?;
    prompt(&format!("password of {user}: "))?;
    let password = read_line()?;
    prompt("\nthe same again: ")?;
    let again = read_line()?;
    prompt("\n")?;
    match password == again {
        true => Ok(password),
        false => Err(PasswordError::Different),
    }
}

fn prompt(text: &str) -> io::Result<()> {
    let mut out = io::stderr();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn read_line() -> Result<String, PasswordError> {
    let mut line = String::new();
    io::stdin().lock().take(MAX_LENGTH).read_line(&mut line)?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(PasswordError::Empty),
        password => Ok(password.to_owned()),
    }
}

/// The terminal shows nothing of what is typed as long as this lives.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Err(cause) = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0) {
            eprintln!("fnaad: the terminal stays silent ({cause}); type `stty echo`");
        }
    }
}
