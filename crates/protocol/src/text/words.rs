//! Taking a command line apart into words and options.

use std::borrow::Cow;

use super::error::{ArgumentError, CommandError, SyntaxError, excerpt};
use crate::{FlowUri, Name, Principal};

/// One word of a line: an argument, or an option when there is a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word<'a> {
    /// As it stands in the line.
    raw: &'a str,
    key: Option<&'a str>,
    value: Cow<'a, str>,
}

/// Splits a line at blanks, minding quoted strings.
fn split(line: &str) -> Result<Vec<Word<'_>>, SyntaxError> {
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(SyntaxError::Control);
    }
    let mut words = Vec::new();
    let mut rest = line.trim_start_matches(BLANKS);
    while !rest.is_empty() {
        let (word, after) = next_word(rest)?;
        words.push(word);
        rest = after.trim_start_matches(BLANKS);
    }
    Ok(words)
}

const BLANKS: [char; 2] = [' ', '\t'];

fn next_word(text: &str) -> Result<(Word<'_>, &str), SyntaxError> {
    let key = option_key(text);
    let value_start = key.map_or(0, |key| key.len() + 1);
    let (value, end) = match text[value_start..].strip_prefix('"') {
        Some(quoted) => {
            let (value, length) = unquoted(quoted)?;
            (value, value_start + 1 + length)
        }
        None => {
            let end = text.find(BLANKS).unwrap_or(text.len());
            (Cow::Borrowed(&text[value_start..end]), end)
        }
    };
    let (raw, rest) = text.split_at(end);
    let stray = matches!(&value, Cow::Borrowed(bare) if bare.contains('"'));
    if stray || !(rest.is_empty() || rest.starts_with(BLANKS)) {
        return Err(SyntaxError::StrayQuote);
    }
    Ok((Word { raw, key, value }, rest))
}

/// The key when the text begins with `key=`.
fn option_key(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))?;
    let key = &text[..end];
    (text[end..].starts_with('=') && key.starts_with(|c: char| c.is_ascii_alphabetic()))
        .then_some(key)
}

/// The value of a quoted string behind its first quote, and its length with the last quote.
fn unquoted(text: &str) -> Result<(Cow<'_, str>, usize), SyntaxError> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Cow::Owned(value), at + 1)),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return Err(SyntaxError::BadEscape),
            },
            _ => value.push(character),
        }
    }
    Err(SyntaxError::Unclosed)
}

/// The words behind a command's verb and noun. A parser takes what it knows; what is left over
/// is an error.
pub(super) struct Arguments<'a> {
    command: &'static str,
    words: Vec<Word<'a>>,
}

/// A line whose verb has not been looked at yet.
pub(super) struct Words<'a>(std::vec::IntoIter<Word<'a>>);

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Result<Self, SyntaxError> {
        Ok(Self(split(line)?.into_iter()))
    }

    /// The next word as it stands in the line.
    pub(super) fn next_raw(&mut self) -> Option<&'a str> {
        self.0.next().map(|word| word.raw)
    }

    /// The rest as arguments and options of `command`.
    pub(super) fn arguments_of(self, command: &'static str) -> Arguments<'a> {
        Arguments {
            command,
            words: self.0.collect(),
        }
    }
}

impl<'a> Arguments<'a> {
    fn missing(&self, what: &'static str) -> CommandError {
        ArgumentError::Missing {
            command: self.command,
            what,
        }
        .into()
    }

    /// The next argument, if there is one.
    pub(super) fn optional(&mut self) -> Option<Cow<'a, str>> {
        let at = self.words.iter().position(|word| word.key.is_none())?;
        Some(self.words.remove(at).value)
    }

    /// The next word as it stands in the line, whatever it looks like.
    pub(super) fn optional_raw(&mut self) -> Option<&'a str> {
        (!self.words.is_empty()).then(|| self.words.remove(0).raw)
    }

    /// The next argument; `what` says what it should be.
    pub(super) fn argument(&mut self, what: &'static str) -> Result<Cow<'a, str>, CommandError> {
        let next = self.optional().filter(|value| !value.is_empty());
        next.ok_or_else(|| self.missing(what))
    }

    /// The next argument as a name; a flow may also be given by its URI.
    pub(super) fn name(&mut self, what: &'static str) -> Result<Name, CommandError> {
        parse_name(&self.argument(what)?)
    }

    /// The next argument as a name, if there is one.
    pub(super) fn optional_name(&mut self) -> Result<Option<Name>, CommandError> {
        self.optional().map(|text| parse_name(&text)).transpose()
    }

    /// The next argument as a principal.
    pub(super) fn principal(&mut self) -> Result<Principal, CommandError> {
        let text = self.argument("a principal")?;
        Ok(Principal::parse(&text).map_err(ArgumentError::from)?)
    }

    /// The next argument as a keyword, in upper case.
    pub(super) fn keyword(&mut self, what: &'static str) -> Result<String, CommandError> {
        Ok(self.argument(what)?.to_ascii_uppercase())
    }

    /// Takes exactly this keyword.
    pub(super) fn expect(&mut self, keyword: &'static str) -> Result<(), CommandError> {
        let found = self.argument(keyword)?;
        if found.eq_ignore_ascii_case(keyword) {
            return Ok(());
        }
        Err(self.unexpected(&found))
    }

    /// Takes this keyword if it is what comes next.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let next = self.words.iter().position(|word| word.key.is_none());
        let is_keyword = |at: &usize| self.words[*at].value.eq_ignore_ascii_case(keyword);
        match next.filter(is_keyword) {
            Some(at) => {
                self.words.remove(at);
                true
            }
            None => false,
        }
    }

    /// The value of an option that may be given once.
    pub(super) fn option(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Cow<'a, str>>, CommandError> {
        let mut values = self.options(key);
        let value = values.pop();
        if values.is_empty() {
            Ok(value)
        } else {
            Err(ArgumentError::Repeated(key).into())
        }
    }

    /// The values of an option that may be repeated.
    pub(super) fn options(&mut self, key: &str) -> Vec<Cow<'a, str>> {
        let is_key = |word: &Word<'_>| word.key.is_some_and(|k| k.eq_ignore_ascii_case(key));
        self.words
            .extract_if(.., |word| is_key(word))
            .map(|word| word.value)
            .collect()
    }

    /// The value of an option, as text.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, CommandError> {
        Ok(self.option(key)?.map(Cow::into_owned))
    }

    /// The value of an option, read by `parse`.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ArgumentError>,
    ) -> Result<Option<T>, CommandError> {
        match self.option(key)? {
            Some(value) => Ok(Some(parse(&value)?)),
            None => Ok(None),
        }
    }

    /// The value of an option that the command can't do without.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ArgumentError>,
    ) -> Result<T, CommandError> {
        let value = self.parsed(key, parse)?;
        value.ok_or_else(|| self.missing(key))
    }

    /// Nothing may be left over, and what is left over may be a secret: it is not quoted.
    pub(super) fn nothing_more(&self) -> Result<(), CommandError> {
        match self.words.is_empty() {
            true => Ok(()),
            false => Err(ArgumentError::TooMany {
                command: self.command,
            }
            .into()),
        }
    }

    fn unexpected(&self, found: &str) -> CommandError {
        ArgumentError::Unexpected {
            command: self.command,
            found: excerpt(found),
        }
        .into()
    }

    /// Ends the reading: nothing may be left over.
    pub(super) fn finish(self) -> Result<(), CommandError> {
        match self.words.first() {
            None => Ok(()),
            Some(Word {
                key: None, value, ..
            }) => Err(self.unexpected(value)),
            Some(Word { key: Some(key), .. }) => Err(ArgumentError::UnknownOption {
                command: self.command,
                option: excerpt(key),
            }
            .into()),
        }
    }
}

pub(super) fn parse_name(text: &str) -> Result<Name, CommandError> {
    let uri = FlowUri::parse_lenient(text).map_err(|error| match error {
        crate::UriError::Name(error) => ArgumentError::Name(error),
        error => ArgumentError::Uri(error),
    })?;
    Ok(uri.into_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<(Option<String>, String)> {
        let words = split(line).expect("words");
        words
            .into_iter()
            .map(|word| (word.key.map(str::to_owned), word.value.into_owned()))
            .collect()
    }

    fn argument(value: &str) -> (Option<String>, String) {
        (None, value.to_owned())
    }

    fn option(key: &str, value: &str) -> (Option<String>, String) {
        (Some(key.to_owned()), value.to_owned())
    }

    #[test]
    fn blanks_separate_and_quotes_hold_together() {
        assert_eq!(
            words("\tREAD  a.example from=latest queue=\"a b\" \"c=d\" "),
            [
                argument("READ"),
                argument("a.example"),
                option("from", "latest"),
                option("queue", "a b"),
                argument("c=d"),
            ]
        );
        assert_eq!(
            words(r#"a="\"\\" b="#),
            [option("a", r#""\"#), option("b", "")]
        );
        assert_eq!(words(r#""" C:\x"#), [argument(""), argument(r"C:\x")]);
        assert_eq!(words(r#"a="\"x""#), [option("a", "\"x")]);
    }

    #[test]
    fn broken_quoting_is_named() {
        for (line, error) in [
            ("a=\"b", SyntaxError::Unclosed),
            ("\"", SyntaxError::Unclosed),
            (r#"a="\n""#, SyntaxError::BadEscape),
            (r#"a="\"#, SyntaxError::BadEscape),
            ("a\"b", SyntaxError::StrayQuote),
            ("a=b\"", SyntaxError::StrayQuote),
            ("\"a\"b", SyntaxError::StrayQuote),
            ("a\u{1b}", SyntaxError::Control),
        ] {
            assert_eq!(split(line), Err(error), "{line}");
        }
    }
}
