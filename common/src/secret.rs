//! Trigger secrets (PINs and SMS passwords) and the site key that seals them.
//!
//! The store keeps HMAC-SHA256(site key, account id, secret). The site key lies beside the settings, outside the database, so
//! a stolen database tells no PIN.

mod seal;

use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use rand::TryRngCore;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use crate::store::Sealed;

pub use seal::{SealError, mark, seal, unseal};

type HmacSha256 = Hmac<Sha256>;

const KEY_BYTES: usize = 32;
const LONGEST_SECRET: usize = 64;

/// A PIN or SMS password as its owner types it, in NFC.
#[derive(Clone, PartialEq, Eq)]
pub struct TriggerSecret(String);

/// Why a text cannot be a trigger secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No character.
    #[error("the secret is empty; give 1 to 64 characters")]
    Empty,
    /// More than 64 characters.
    #[error("the secret is too long; give 1 to 64 characters")]
    TooLong,
    /// A line end, tab or other control character.
    #[error("the secret holds a control character, such as a line end; give 1 to 64 visible characters or spaces")]
    Control,
}

impl TriggerSecret {
    /// 1 to 64 characters of any kind but control characters; no other rule.
    pub fn read(text: &str) -> Result<TriggerSecret, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(SecretError::Control);
        }
        let normal: String = text.chars().take(4 * LONGEST_SECRET).nfc().collect();
        if normal.chars().count() > LONGEST_SECRET || text.chars().count() > 4 * LONGEST_SECRET {
            return Err(SecretError::TooLong);
        }
        Ok(TriggerSecret(normal))
    }

    /// Takes the place of a text that cannot be a secret, so that it is checked like any other.
    pub(crate) fn never() -> TriggerSecret {
        TriggerSecret("\0".to_owned())
    }
}

impl fmt::Debug for TriggerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TriggerSecret(***)")
    }
}

/// The key of the site; without it no stored secret can be checked.
#[derive(Clone)]
pub struct SiteKey([u8; KEY_BYTES]);

/// Why there is no site key.
#[derive(Debug, thiserror::Error)]
pub enum SiteKeyError {
    /// The file cannot be read or made.
    #[error("the site key {0} cannot be read or made: {1}")]
    Io(PathBuf, std::io::Error),
    /// Not 64 hexadecimal digits.
    #[error("{0} holds no site key (64 hexadecimal digits); restore it from your copy")]
    Damaged(PathBuf),
    /// Others may read it.
    #[error("{0} may be read by others; run: chmod 600 {0}")]
    Open(PathBuf),
}

impl SiteKey {
    /// Reads the key, or makes one on first use (mode 0600). Of two processes that make it at once, one key stays.
    pub fn load_or_create(path: &Path) -> Result<SiteKey, SiteKeyError> {
        match SiteKey::load(path) {
            Err(SiteKeyError::Io(_, error)) if error.kind() == ErrorKind::NotFound => {
                create(path).map_err(|error| SiteKeyError::Io(path.to_owned(), error))?;
                SiteKey::load(path)
            }
            answer => answer,
        }
    }

    fn load(path: &Path) -> Result<SiteKey, SiteKeyError> {
        let io = |error| SiteKeyError::Io(path.to_owned(), error);
        let mode = std::fs::metadata(path).map_err(io)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SiteKeyError::Open(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| SiteKeyError::Damaged(path.to_owned()))?;
        Ok(SiteKey(key))
    }

    /// A key for tests and demonstrations.
    pub const fn from_bytes(key: [u8; KEY_BYTES]) -> SiteKey {
        SiteKey(key)
    }
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteKey(***)")
    }
}

/// Writes a new key beside its place and links it there, so that nobody ever reads half a key.
fn create(path: &Path) -> std::io::Result<()> {
    let mut key = [0; KEY_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut key).map_err(std::io::Error::other)?;
    let draft = path.with_extension(format!("new.{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{}\n", hex::encode(key)).as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        answer => answer,
    }
}

/// What the store keeps of a secret.
pub fn seal_secret(key: &SiteKey, account_id: i64, secret: &TriggerSecret) -> Sealed<Vec<u8>> {
    Sealed(mac(key, account_id, &secret.0))
}

/// Whether this is the secret that was sealed; in the same time whether it is or not, and also when there is none.
pub fn verify_secret(key: &SiteKey, account_id: i64, sealed: Option<&Sealed<Vec<u8>>>, secret: &TriggerSecret) -> bool {
    let given = mac(key, account_id, &secret.0);
    let nothing = vec![0; given.len()];
    let kept = sealed.map_or(&nothing, |sealed| &sealed.0);
    bool::from(given.ct_eq(kept)) & sealed.is_some()
}

fn mac(key: &SiteKey, account_id: i64, secret: &str) -> Vec<u8> {
    let mut mac = HmacSha256::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    mac.update(&account_id.to_be_bytes());
    mac.update(secret.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> TriggerSecret {
        TriggerSecret::read(text).unwrap()
    }

    #[test]
    fn any_visible_text_up_to_64_characters_is_a_secret() {
        for good in ["1", "a b", "#\"quoted\"#", "пароль", "密码", "  ", &"x".repeat(64)] {
            assert!(TriggerSecret::read(good).is_ok(), "{good}");
        }
        assert_eq!(TriggerSecret::read(""), Err(SecretError::Empty));
        assert_eq!(TriggerSecret::read(&"x".repeat(65)), Err(SecretError::TooLong));
        assert_eq!(TriggerSecret::read(&"e\u{301}".repeat(64)), Ok(secret(&"é".repeat(64))), "counted in NFC");
        for control in ["a\n", "\t", "a\u{0}b", "\u{7f}", "\u{85}"] {
            assert_eq!(TriggerSecret::read(control), Err(SecretError::Control), "{control:?}");
        }
    }

    #[test]
    fn a_secret_fits_only_its_account_and_its_site() {
        let key = SiteKey::from_bytes([7; 32]);
        let sealed = seal_secret(&key, 1, &secret("caf\u{e9}"));
        assert!(verify_secret(&key, 1, Some(&sealed), &secret("cafe\u{301}")), "however it was typed");
        assert!(!verify_secret(&key, 1, Some(&sealed), &secret("cafe")));
        assert!(!verify_secret(&key, 2, Some(&sealed), &secret("café")));
        assert!(!verify_secret(&SiteKey::from_bytes([8; 32]), 1, Some(&sealed), &secret("café")));
        assert!(!verify_secret(&key, 1, None, &secret("café")), "an account without a secret");
        assert_eq!(format!("{key:?} {:?} {sealed:?}", secret("x")), "SiteKey(***) TriggerSecret(***) (sealed)");
    }

    #[test]
    fn the_site_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.key");
        let first = SiteKey::load_or_create(&path).unwrap();
        assert_eq!(first.0, SiteKey::load_or_create(&path).unwrap().0);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SiteKey::load_or_create(&path), Err(SiteKeyError::Open(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "not a key").unwrap();
        assert!(matches!(SiteKey::load_or_create(&path), Err(SiteKeyError::Damaged(_))));
    }
}
