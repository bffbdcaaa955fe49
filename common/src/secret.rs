//! Trigger secrets (PINs and SMS passwords) and the site key that seals them.
//!
//! The store keeps HMAC-SHA256(site key, account id, secret). The site key lies beside the settings, outside the database, so
//! a stolen database tells no PIN. Passwords that we must know to use them, those of trunks, lie there sealed (`seal.rs`).

mod seal;

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use rand::TryRngCore;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use crate::store::Sealed;

pub use seal::{Place, SealError, mark, seal, unseal};

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
    #[error("the site key {0} cannot be read or made: {1}; look at who may read and write there")]
    Io(PathBuf, std::io::Error),
    /// Not 64 hexadecimal digits.
    #[error("{0} holds no site key (64 hexadecimal digits); {RESTORE}")]
    Damaged(PathBuf),
    /// Others may read it.
    #[error("{0} may be read by others; run: chmod 600 {0}")]
    Open(PathBuf),
    /// The file is gone, and there are secrets that only it opens.
    #[error("the site key {0} is missing, and PINs or passwords in the store are sealed with it; {RESTORE}")]
    Lost(PathBuf),
    /// The file holds another key than the one that sealed what is in the store.
    #[error("{0} is not the site key that PINs and passwords in the store are sealed with; {RESTORE}")]
    Other(PathBuf),
}

/// What to do about a key that is not the right one.
const RESTORE: &str = "put your copy of the file there (mode 0600). If there is no copy they are lost: `ringback site-key renew \
                       --forget` forgets them, makes a new key and says whose they were";

impl SiteKey {
    /// The key in this file; `None` if there is no file.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or open to others.
    pub fn load(path: &Path) -> Result<Option<SiteKey>, SiteKeyError> {
        let io = |error| SiteKeyError::Io(path.to_owned(), error);
        let mode = match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            answer => answer.map_err(io)?.permissions().mode(),
        };
        if mode & 0o077 != 0 {
            return Err(SiteKeyError::Open(path.to_owned()));
        }
        let text = std::fs::read(path).map_err(io)?;
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim_ascii(), &mut key).map_err(|_| SiteKeyError::Damaged(path.to_owned()))?;
        Ok(Some(SiteKey(key)))
    }

    /// Makes a key where there is none (mode 0600). Of two processes that make it at once, one key stays.
    ///
    /// # Errors
    /// It cannot be written, or read again.
    pub fn create(path: &Path) -> Result<SiteKey, SiteKeyError> {
        let io = |error| SiteKeyError::Io(path.to_owned(), error);
        let key = SiteKey::random().map_err(io)?;
        crate::private::file(path, format!("{}\n", hex::encode(key.0)).as_bytes()).map_err(io)?;
        SiteKey::load(path)?.ok_or_else(|| io(ErrorKind::NotFound.into()))
    }

    /// A key that is written nowhere: for what only looks, at a site that has sealed nothing yet.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn random() -> std::io::Result<SiteKey> {
        let mut key = [0; KEY_BYTES];
        rand::rngs::OsRng.try_fill_bytes(&mut key).map_err(std::io::Error::other)?;
        Ok(SiteKey(key))
    }

    /// Tells this key from another one without telling the key.
    pub fn fingerprint(&self) -> String {
        hex::encode(&mark(self, &[b"site key"])[..16])
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
        assert!(SiteKey::load(&path).unwrap().is_none(), "nothing is made by looking");
        let first = SiteKey::create(&path).unwrap();
        assert_eq!(first.0, SiteKey::load(&path).unwrap().unwrap().0);
        assert_eq!(first.0, SiteKey::create(&path).unwrap().0, "a second one takes the place of none");
        assert_ne!(first.fingerprint(), SiteKey::random().unwrap().fingerprint());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SiteKey::load(&path), Err(SiteKeyError::Open(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for bad in [&b"not a key"[..], b"", b"\xff\xfe"] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(SiteKey::load(&path), Err(SiteKeyError::Damaged(_))));
        }
    }
}
