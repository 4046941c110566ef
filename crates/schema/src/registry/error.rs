//! Why a Schema Registry does not do what is asked.

use crate::HttpError;

/// Why a Schema Registry does not do what is asked. None carries a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Nobody answers, or nobody that may be asked.
    #[error("the Schema Registry does not answer: {0}")]
    Http(#[from] HttpError),
    /// It wants to know who asks, or does not believe it.
    #[error("the Schema Registry {registry} refuses our login{said}")]
    Unauthenticated {
        /// Its URL.
        registry: String,
        /// What it says, with a colon in front.
        said: String,
    },
    /// We may not do that there.
    #[error("the Schema Registry {registry} does not allow that{said}")]
    Denied {
        /// Its URL.
        registry: String,
        /// What it says, with a colon in front.
        said: String,
    },
    /// It refuses for another reason.
    #[error("the Schema Registry {registry} answers {status}{said}")]
    Refused {
        /// Its URL.
        registry: String,
        /// The status code.
        status: u16,
        /// What it says, with a colon in front.
        said: String,
    },
    /// What it answers is not what a registry answers.
    #[error("what {registry} answers is no answer of a Schema Registry: {cause}")]
    Answer {
        /// Its URL.
        registry: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl RegistryError {
    /// Whether the same question may be answered later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            Self::Unauthenticated { .. } | Self::Denied { .. } | Self::Answer { .. } => false,
        }
    }
}
