//! What of the site key the store knows: its fingerprint, and whether anything is sealed with it. And what becomes of that without it.

use super::backend::{change, on};
use super::error::StoreError;
use super::{Store, Trunk};
use crate::secret::{Place, SealError, SiteKey};

/// Where the fingerprint stands in `meta`.
const FINGERPRINT: &str = "site_key";

/// What the store knows of the site key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The fingerprint of the key that was used last.
    pub fingerprint: Option<String>,
    /// Whether there are PINs or passwords that it sealed.
    pub sealed: bool,
}

/// Whose secrets were forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Forgotten {
    /// Accounts without a PIN now.
    pub accounts: Vec<String>,
    /// Trunks without a password now.
    pub trunks: Vec<String>,
}

impl Store {
    /// What is known of the site key.
    pub async fn kept_of_key(&self) -> Result<Kept, StoreError> {
        on!(self, read, pool => {
            let fingerprint = sqlx::query_scalar("SELECT value FROM meta WHERE key = $1").bind(FINGERPRINT);
            let fingerprint: Option<String> = fingerprint.fetch_optional(pool).await?;
            let sealed = sqlx::query(
                "SELECT 1 AS one FROM accounts WHERE trigger_secret IS NOT NULL
                 UNION ALL SELECT 1 FROM trunks WHERE password LIKE 'sealed:%' LIMIT 1",
            );
            Ok(Kept { fingerprint, sealed: sealed.fetch_optional(pool).await?.is_some() })
        })
    }

    /// From now on this is the key.
    pub async fn keep_fingerprint(&self, key: &SiteKey) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let keep = sqlx::query(
                "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            );
            keep.bind(FINGERPRINT).bind(key.fingerprint()).execute(pool).await?;
            Ok(())
        })
    }

    /// Seals the passwords that were written before passwords were sealed; answers how many.
    ///
    /// # Errors
    /// The store is away.
    pub async fn seal_passwords(&self, key: &SiteKey) -> Result<usize, StoreError> {
        let mut sealed = 0;
        for mut trunk in self.trunks().await? {
            let plain = trunk.password.as_ref().filter(|kept| !Place::is_sealed(&kept.0)).map(|kept| kept.0.clone());
            let Some(plain) = plain else { continue };
            trunk.keep_password(key, &plain).map_err(|SealError| StoreError::Invalid(NO_RANDOM.to_owned()))?;
            self.update_trunk(&trunk).await?;
            sealed += 1;
        }
        Ok(sealed)
    }

    /// Forgets everything that only the site key opens.
    pub async fn forget_sealed(&self) -> Result<Forgotten, StoreError> {
        change!(self, tx => {
            let accounts = "UPDATE accounts SET trigger_secret = NULL WHERE trigger_secret IS NOT NULL RETURNING name";
            let trunks = "UPDATE trunks SET password = NULL WHERE password LIKE 'sealed:%' RETURNING name";
            let mut accounts: Vec<String> = sqlx::query_scalar(accounts).fetch_all(&mut *tx).await?;
            let mut trunks: Vec<String> = sqlx::query_scalar(trunks).fetch_all(&mut *tx).await?;
            sqlx::query("DELETE FROM sms_parts").execute(&mut *tx).await?;
            sqlx::query("DELETE FROM meta WHERE key = $1").bind(FINGERPRINT).execute(&mut *tx).await?;
            accounts.sort();
            trunks.sort();
            Ok(Forgotten { accounts, trunks })
        })
    }
}

impl Trunk {
    /// Keeps a password, sealed for this trunk.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn keep_password(&mut self, key: &SiteKey, plain: &str) -> Result<(), SealError> {
        let sealed = self.password_place().seal(key, plain)?;
        self.password = Some(super::Sealed(sealed));
        Ok(())
    }

    /// User and password, where it has both.
    ///
    /// # Errors
    /// The password was sealed with another key.
    pub fn credentials(&self, key: &SiteKey) -> Result<Option<(String, String)>, SealError> {
        let Some((user, kept)) = self.username.as_ref().zip(self.password.as_ref()) else { return Ok(None) };
        Ok(Some((user.clone(), self.password_place().open(key, &kept.0)?)))
    }

    fn password_place(&self) -> Place<'_> {
        Place { table: "trunks", row: &self.name, column: "password" }
    }
}

const NO_RANDOM: &str = "this machine gives no random numbers, so nothing can be sealed";
