//! What is wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, from the top: `brokers[1].type`.
    pub path: String,
    /// What is wrong with it and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration {} can't be read: {cause}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is no YAML.
    #[error("the configuration {} is no valid YAML: {cause}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What and where.
        cause: String,
    },
    /// Keys are missing, unknown or wrong: all of them, in the order of the file's sections.
    #[error("the configuration {} has {} problem(s):{}", file.display(), problems.len(), lines(problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
}

fn lines(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| format!("\n  {problem}"));
    lines.collect()
}
