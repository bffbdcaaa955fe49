//! A secret that prints as a mask.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

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

/// Puts the password from the file that was named into each URL of a list.
pub(super) fn into_url(
    urls: &mut String,
    file: &Path,
    folder: &Path,
    key: &str,
    place: &str,
    mistakes: &mut Vec<Mistake>,
) {
    let (mut password, before) = (Secret::default(), mistakes.len());
    from_file(&mut password, file, folder, key, place, mistakes);
    if file.as_os_str().is_empty() || mistakes.len() > before {
        return;
    }
    let mut wrong = |what: &str| {
        mistakes.push(Mistake { place: place.to_owned(), key: format!("{key}_file"), what: what.to_owned() });
    };
    if password.is_empty() {
        return wrong("the file is empty; write the password into it");
    }
    let mut with_password = Vec::new();
    for one in urls.split(',') {
        let url = Url::parse(one.trim()).ok().filter(|url| !url.username().is_empty());
        let Some(mut url) = url else {
            return wrong("the password belongs to nobody; write the URL like postgres://USER@HOST/DATABASE");
        };
        if url.password().is_some() {
            return wrong("the password is given twice; keep either the one in the URL or the file");
        }
        if url.set_password(Some(password.reveal())).is_err() {
            return wrong("the password belongs to no host; write the URL like postgres://USER@HOST/DATABASE");
        }
        with_password.push(url.to_string());
    }
    *urls = with_password.join(",");
}
