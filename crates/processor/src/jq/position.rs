//! Where in a program something is.

/// `line 2, column 5` for a part of `code`; the last position where it is none.
pub(super) fn of(code: &str, part: &str) -> String {
    let begin = (part.as_ptr() as usize).checked_sub(code.as_ptr() as usize);
    let before = begin.and_then(|begin| code.get(..begin)).unwrap_or(code);
    let line = before.matches('\n').count() + 1;
    let in_line = before.rsplit('\n').next().unwrap_or_default();
    format!("line {line}, column {}", in_line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let code = "a\nbé c\n";
        assert_eq!(of(code, &code[..1]), "line 1, column 1");
        assert_eq!(of(code, &code[6..7]), "line 2, column 4");
        assert_eq!(of(code, &code[code.len()..]), "line 3, column 1");
        assert_eq!(of(code, "elsewhere"), "line 3, column 1");
    }
}
