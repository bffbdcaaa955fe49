//! How a command fails: a sentence that says what to do, and an exit code.

use std::process::ExitCode;

use ringback_common::config::ConfigErrors;
use ringback_common::opening::OpenError;
use ringback_common::queue::QueueError;
use ringback_common::store::StoreError;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Fail {
    /// It was understood, and refused or failed: exit code 1.
    #[error("{0}")]
    Refused(String),
    /// Wrong usage, wrong settings, or not in this version: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The store or the queue does not answer: exit code 3.
    #[error("{0}")]
    Unreachable(String),
    /// No such account, trunk or request: exit code 4.
    #[error("{0}")]
    Unknown(String),
}

impl Fail {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Fail::Refused(_) => 1,
            Fail::Usage(_) => 2,
            Fail::Unreachable(_) => 3,
            Fail::Unknown(_) => 4,
        }
    }

    /// Says it on standard error and gives the exit code.
    pub fn tell(&self, json: bool) -> ExitCode {
        if json {
            eprintln!("{}", serde_json::json!({ "error": self.to_string(), "code": self.code() }));
        } else {
            eprintln!("ringback: {self}");
        }
        ExitCode::from(self.code())
    }
}

impl From<ConfigErrors> for Fail {
    fn from(errors: ConfigErrors) -> Fail {
        let count = errors.0.len();
        let words = if count == 1 { "one mistake".to_owned() } else { format!("{count} mistakes") };
        Fail::Usage(format!("the settings have {words}:\n{errors}"))
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Fail {
        match error {
            StoreError::Locked(_) => Fail::Unreachable(error.to_string()),
            StoreError::Unavailable(_) => Fail::Unreachable(format!("{error}, then try again")),
            StoreError::NotFound(_) => Fail::Unknown(error.to_string()),
            _ => Fail::Refused(error.to_string()),
        }
    }
}

impl From<OpenError> for Fail {
    fn from(error: OpenError) -> Fail {
        match error {
            OpenError::Store(error) => error.into(),
            OpenError::Queue(error) => error.into(),
            OpenError::SiteKey(error) => Fail::Usage(error.to_string()),
            OpenError::Folder(_) => Fail::Refused(error.to_string()),
        }
    }
}

impl From<QueueError> for Fail {
    fn from(error: QueueError) -> Fail {
        match error {
            QueueError::Config(_) => Fail::Usage(error.to_string()),
            QueueError::Unavailable(_) => Fail::Unreachable(error.to_string()),
        }
    }
}
