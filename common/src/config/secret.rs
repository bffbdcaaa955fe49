//! A secret that prints as a mask.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Mistake;

/// A password, token or shared secret. `Debug` tells only whether there is one.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret that is known.
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }

    /// The secret itself: for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secret(none)" } else { "Secret(***)" })
    }
}

/// Fills a secret from the file that was named instead of it; one final line end is not part of it.
pub(super) fn from_file(
    secret: &mut Secret,
    file: &Path,
    folder: &Path,
    key: &str,
    place: &str,
    mistakes: &mut Vec<Mistake>,
) {
    if file.as_os_str().is_empty() {
        return;
    }
    let mut wrong = |what: String| {
        mistakes.push(Mistake { place: place.to_owned(), key: format!("{key}_file"), what });
    };
    if !secret.is_empty() {
        return wrong("the secret is given twice; keep either the secret or the file".to_owned());
    }
    let path: PathBuf = folder.join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            *secret = Secret::new(text.strip_suffix('\r').unwrap_or(text));
        }
        Err(error) => wrong(format!("{} cannot be read: {error}", path.display())),
    }
}
