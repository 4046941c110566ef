//! Passwords that stand in files of their own.

use std::io;
use std::path::{Path, PathBuf};

use eson_broker::Secret;

/// A file that holds a password and nothing else. The configuration itself holds none, so that
/// it can be shown and kept under version control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

/// A password file can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the password file {} can't be read: {cause}", file.display())]
pub struct SecretFileError {
    /// The file.
    pub file: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

impl SecretFile {
    /// The password stands in `file`.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// Where the password stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the password: the whole file, without the line's end.
    ///
    /// # Errors
    /// When the file can't be read, is no text, or is empty.
    pub fn read(&self) -> Result<Secret, SecretFileError> {
        let password = std::fs::read_to_string(&self.0).and_then(|text| {
            match text.trim_end_matches(['\r', '\n']) {
                "" => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
                password => Ok(Secret::new(password.to_owned())),
            }
        });
        password.map_err(|cause| SecretFileError {
            file: self.0.clone(),
            cause,
        })
    }
}
