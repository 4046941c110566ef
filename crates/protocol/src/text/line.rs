//! Putting a command line together.

use std::fmt::{Display, Write as _};

use super::MAX_COMMAND_LENGTH;
use super::error::{UnwritableError, excerpt};

/// A command line that grows from the left.
#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    refused: Option<UnwritableError>,
}

impl Line {
    /// A line that begins with a command's words, which need no quotes.
    pub(super) fn of(words: &str) -> Self {
        Self {
            text: words.to_owned(),
            refused: None,
        }
    }

    /// Adds a keyword or a value that never needs quotes, such as a name.
    pub(super) fn word(mut self, word: impl Display) -> Self {
        // Writing to a String can't fail.
        let _ = write!(self.text, " {word}");
        self
    }

    /// Adds a word if it is there.
    pub(super) fn optional_word(self, word: Option<impl Display>) -> Self {
        match word {
            Some(word) => self.word(word),
            None => self,
        }
    }

    /// Adds an argument, in quotes where it needs them.
    pub(super) fn argument(mut self, value: &str) -> Self {
        let plain = value.chars().all(|c| c != '=' && needs_no_quotes(c));
        self.text.push(' ');
        self.push_value(value, plain);
        self
    }

    /// Adds `key=value`, in quotes where the value needs them, if there is a value.
    pub(super) fn option(mut self, key: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            let value = value.to_string();
            self.text.push(' ');
            self.text.push_str(key);
            self.text.push('=');
            self.push_value(&value, value.chars().all(needs_no_quotes));
        }
        self
    }

    fn push_value(&mut self, value: &str, plain: bool) {
        if value.chars().any(|c| c.is_control() && c != '\t') {
            self.refused = Some(UnwritableError::Control(excerpt(value)));
        }
        if plain && !value.is_empty() {
            self.text.push_str(value);
            return;
        }
        self.text.push('"');
        for character in value.chars() {
            if matches!(character, '"' | '\\') {
                self.text.push('\\');
            }
            self.text.push(character);
        }
        self.text.push('"');
    }

    /// The line without its end.
    pub(super) fn finish(self) -> Result<String, UnwritableError> {
        let octets = self.text.len() + "\r\n".len();
        match self.refused {
            Some(error) => Err(error),
            None if octets > MAX_COMMAND_LENGTH => Err(UnwritableError::TooLong(octets)),
            None => Ok(self.text),
        }
    }
}

fn needs_no_quotes(character: char) -> bool {
    !matches!(character, ' ' | '\t' | '"')
}
