//! Writing `current-agent:` into the file, and leaving the rest of it as the user wrote it.

use std::io::{self, Write};
use std::path::Path;

use crate::failure::Failure;

const KEY: &str = "current-agent:";

/// Stores the choice of `set agent` in the file.
///
/// # Errors
/// When the file can't be read or replaced; then it is as it was.
pub(crate) fn set_current_agent(path: &Path, agent: &str) -> Result<(), Failure> {
    replace(path, agent)
        .map_err(|cause| Failure::usage(format!("{} can't be changed: {cause}", path.display())))
}

/// Writes a new file beside the old one and renames it, so that there is always a whole one.
fn replace(path: &Path, agent: &str) -> io::Result<()> {
    // A link is followed: what it points to is replaced, not the link.
    let path = path.canonicalize()?;
    let text = with_current_agent(&std::fs::read_to_string(&path)?, agent)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(std::fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

fn with_current_agent(text: &str, agent: &str) -> io::Result<String> {
    let scalar = serde_yaml_ng::to_string(agent).map_err(io::Error::other)?;
    let line = format!("{KEY} {}", scalar.trim_end());
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter().position(|line| line.starts_with(KEY)) {
        Some(at) => lines[at] = &line,
        None => lines.insert(end_of_content(&lines), &line),
    }
    Ok(lines.join("\n") + "\n")
}

/// Before `...`, which ends a YAML document.
fn end_of_content(lines: &[&str]) -> usize {
    let end = lines.iter().position(|line| line.trim_end() == "...");
    end.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, agent: &str) -> String {
        with_current_agent(text, agent).expect("written")
    }

    #[test]
    fn comments_and_order_stay() {
        let text = "# mine\nagents: []\ncurrent-agent: a # old\nnamespaces: []\n";
        assert_eq!(
            changed(text, "b"),
            "# mine\nagents: []\ncurrent-agent: b\nnamespaces: []\n"
        );
        assert_eq!(changed("agents: []", "b"), "agents: []\ncurrent-agent: b\n");
        assert_eq!(changed("a: 1\n...\n", "b"), "a: 1\ncurrent-agent: b\n...\n");
    }

    #[test]
    fn names_that_yaml_takes_for_something_else_are_quoted() {
        for name in ["fnaa-unix", "true", "7", "a: b", "x # y"] {
            let text = changed("", name);
            let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).expect("YAML");
            assert_eq!(value["current-agent"].as_str(), Some(name), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_stays_private() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(".flow.yml");
        std::fs::write(&path, "agents: []\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        set_current_agent(&path, "a").expect("changed");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(text, "agents: []\ncurrent-agent: a\n");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
