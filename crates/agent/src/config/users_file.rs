//! The file that `fnaad user add` writes: a list like `users` of the configuration.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use eson_identity::ScramVerifier;
use eson_protocol::Name;
use serde_yaml_ng::{Mapping, Value};

use super::reader::Reading;
use super::{User, participant};

/// Why a user can't be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersFileError {
    /// The file can't be read or written.
    #[error("the users file {} can't be read or written: {cause}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is no list of users.
    #[error("the users file {} is no list of users: {cause}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: String,
    },
}

/// The users in `file`; none when there is no such file. Problems go to `reading`.
pub(super) fn read(file: &Path, domain: &Name, reading: &Reading) -> Vec<User> {
    let own = Reading::new(Path::new(""));
    let prefix = file.display().to_string();
    let value = match load(file) {
        Ok(value) => value,
        Err(cause) => {
            reading.report(prefix, cause.to_string());
            return Vec::new();
        }
    };
    let items = own.root(&value).items().unwrap_or_default();
    let users = items
        .iter()
        .filter_map(|node| participant::user(node, domain));
    let users = users.collect();
    for problem in own.into_problems() {
        reading.report(format!("{prefix}: {}", problem.path), problem.text);
    }
    users
}

/// Adds a user, or replaces the one of that name. The file is replaced as a whole, readable by
/// its owner alone, so that a crash leaves the old one.
///
/// # Errors
/// [`UsersFileError`].
pub fn add_user(file: &Path, name: &str, verifier: &ScramVerifier) -> Result<(), UsersFileError> {
    let mut users = match load(file)? {
        Value::Sequence(users) => users,
        _ => {
            return Err(UsersFileError::Syntax {
                file: file.to_owned(),
                cause: "it has no list".to_owned(),
            });
        }
    };
    let is_other = |user: &Value| user.get("name").and_then(Value::as_str) != Some(name);
    users.retain(is_other);
    let mut user = Mapping::new();
    user.insert("name".into(), name.into());
    user.insert("scram-sha-256".into(), verifier.encode().into());
    users.push(Value::Mapping(user));
    let text = serde_yaml_ng::to_string(&users).map_err(|cause| UsersFileError::Syntax {
        file: file.to_owned(),
        cause: cause.to_string(),
    })?;
    replace(file, &text).map_err(|cause| UsersFileError::Io {
        file: file.to_owned(),
        cause,
    })
}

fn load(file: &Path) -> Result<Value, UsersFileError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Ok(Value::Sequence(vec![]));
        }
        Err(cause) => {
            return Err(UsersFileError::Io {
                file: file.to_owned(),
                cause,
            });
        }
    };
    serde_yaml_ng::from_str(&text).map_err(|cause| UsersFileError::Syntax {
        file: file.to_owned(),
        cause: cause.to_string(),
    })
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new(""));
    if !directory.as_os_str().is_empty() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let new = file.with_extension("new");
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&new, file)
}
