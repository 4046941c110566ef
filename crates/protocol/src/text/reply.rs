//! Status lines and data lines.

use super::MAX_COMMAND_LENGTH;
use crate::{DataLine, Reason, Status};

/// Why a line is no status line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no status line: it should begin with three digits and a space")]
pub struct StatusError(pub String);

/// Reads a status line without its end. Three digits alone are taken too.
///
/// # Errors
/// [`StatusError`] when it does not begin with three digits.
pub fn parse_status(line: &str) -> Result<Status, StatusError> {
    let (digits, rest) = line.split_at_checked(3).unwrap_or((line, ""));
    let is_code = digits.len() == 3 && digits.bytes().all(|octet| octet.is_ascii_digit());
    let text = match rest.strip_prefix(' ') {
        Some(text) => Some(text),
        None => rest.is_empty().then_some(""),
    };
    let code = digits.parse().ok().filter(|_| is_code);
    let (Some(code), Some(text)) = (code, text) else {
        return Err(StatusError(super::error::excerpt(line)));
    };
    let (reason, text) = split_reason(text);
    Ok(Status {
        code,
        reason: reason.map(|word| Reason(word.to_owned())),
        text: text.to_owned(),
    })
}

/// `[WORD] text`, the word in capitals.
fn split_reason(text: &str) -> (Option<&str>, &str) {
    let split = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .filter(|(word, _)| is_reason(word));
    match split {
        Some((word, text)) => (Some(word), text),
        None => (None, text),
    }
}

fn is_reason(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_uppercase())
}

/// Writes a status line without its end. Control characters become blanks, so that no text can
/// begin a line of its own; a text that is too long for a line is cut.
#[must_use]
pub fn format_status(status: &Status) -> String {
    let mut line = without_controls(status.to_string());
    let mut end = line.len().min(MAX_COMMAND_LENGTH - "\r\n".len());
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line
}

/// Reads a data line without its end, or tells that it is not one but the status that ends the
/// data.
///
/// # Errors
/// The status.
pub fn parse_data_line(line: &str) -> Result<DataLine, Status> {
    match ending_status(line) {
        Some(status) => Err(status),
        None => Ok(unescaped_data_line(line)),
    }
}

/// The status, if the line is the one that ends the data.
pub(crate) fn ending_status(line: &str) -> Option<Status> {
    looks_like_status(line.as_bytes()).then(|| parse_status(line).ok())?
}

/// The data line of a line that is not the status: one leading `=` is not part of it.
pub(crate) fn unescaped_data_line(line: &str) -> DataLine {
    let text = line.strip_prefix('=').unwrap_or(line);
    match text.split_once('=') {
        Some((key, value)) if is_key(key) => DataLine::Attribute(key.to_owned(), value.to_owned()),
        _ => DataLine::Text(text.to_owned()),
    }
}

fn is_key(key: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    !key.is_empty() && key.bytes().all(allowed)
}

/// Three digits and a space: what a data line may not begin with.
pub(crate) fn looks_like_status(line: &[u8]) -> bool {
    matches!(line, [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', ..])
}

/// Writes a data line without its end, with a `=` in front where it could be taken for something
/// else. Control characters become blanks.
#[must_use]
pub fn format_data_line(line: &DataLine) -> String {
    let text = without_controls(match line {
        DataLine::Attribute(key, value) => format!("{key}={value}"),
        DataLine::Text(text) => text.clone(),
    });
    if needs_escape(&text) {
        format!("={text}")
    } else {
        text
    }
}

/// Whether a data line needs a `=` in front.
pub(crate) fn needs_escape(text: &str) -> bool {
    text.starts_with('=') || looks_like_status(text.as_bytes())
}

fn without_controls(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn status_lines() {
        let status = parse_status("550 [NOTFOUND] there is no flow a.example").expect("a status");
        assert_eq!(
            status,
            Status::new(Code::NotFound, "there is no flow a.example")
        );
        let odd = parse_status("799 [x] y").expect("a status");
        assert_eq!(
            (odd.code, odd.reason, odd.text.as_str()),
            (799, None, "[x] y")
        );
        assert_eq!(
            parse_status("220").map(|status| status.text),
            Ok(String::new())
        );
        for wrong in ["", "22", "2200 OK", "22x OK", "220-OK", "+20 OK", "ééé"] {
            assert!(parse_status(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_text_cannot_begin_a_line() {
        let status = Status::not_found("no flow a\r\n220 OK");
        assert_eq!(format_status(&status), "550 [NOTFOUND] no flow a  220 OK");
        let line = DataLine::Attribute("schema".to_owned(), "x\n220 OK".to_owned());
        assert_eq!(format_data_line(&line), "schema=x 220 OK");
    }

    #[test]
    fn data_lines_are_told_from_the_status() {
        for (text, written) in [
            ("220 OK", "=220 OK"),
            ("=x", "==x"),
            ("", ""),
            ("220", "220"),
            ("a.example", "a.example"),
        ] {
            let line = DataLine::Text(text.to_owned());
            assert_eq!(format_data_line(&line), written);
            assert_eq!(parse_data_line(written), Ok(line));
        }
        assert_eq!(parse_data_line("220 OK"), Err(Status::done()));
        assert_eq!(
            parse_data_line("limits.event=1"),
            Ok(DataLine::Attribute(
                "limits.event".to_owned(),
                "1".to_owned()
            ))
        );
        let json = r#"{"data":"a=b"}"#;
        assert_eq!(parse_data_line(json), Ok(DataLine::Text(json.to_owned())));
    }
}
