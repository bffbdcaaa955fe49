//! The file of an embedded store: what is deleted leaves it, and damage is found. On PostgreSQL there is nothing to do here.
//!
//! SQLite overwrites what is deleted (`secure_delete`), but a copy of it may stand in the write-ahead log until that is emptied, and in
//! files that were written before it overwrote anything.

use super::Store;
use super::backend::{Backend, Sqlite};
use super::error::StoreError;

/// Where it stands in `meta` that nothing deleted is left in the file.
const REWRITTEN: &str = "rewritten";

impl Store {
    /// Empties the write-ahead log, and with it what was deleted.
    ///
    /// # Errors
    /// Somebody reads in it for longer than we wait.
    pub async fn empty_log(&self) -> Result<(), StoreError> {
        let Some(db) = self.embedded() else { return Ok(()) };
        let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&db.write).await?;
        if busy == 0 {
            return Ok(());
        }
        Err(StoreError::Unavailable(
            "the write-ahead log of the file is being read, so it cannot be emptied".to_owned(),
        ))
    }

    /// Once in the life of a file: writes it anew, so that nothing is left of what was deleted before it was overwritten. Nobody else
    /// writes meanwhile, a second for some 200 MB.
    ///
    /// # Errors
    /// The store is away, or its disk has no room for a second copy.
    pub async fn rewrite_once(&self) -> Result<(), StoreError> {
        let Some(db) = self.embedded() else { return Ok(()) };
        let done = sqlx::query("SELECT 1 FROM meta WHERE key = $1").bind(REWRITTEN).fetch_optional(&db.read).await?;
        if done.is_none() {
            sqlx::query("VACUUM").execute(&db.write).await?;
            let keep = sqlx::query("INSERT INTO meta (key, value) VALUES ($1, '1') ON CONFLICT (key) DO NOTHING");
            keep.bind(REWRITTEN).execute(&db.write).await?;
            self.empty_log().await?;
        }
        Ok(())
    }

    /// What SQLite finds broken in the file; `None`: it is whole.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub async fn damage(&self) -> Result<Option<String>, StoreError> {
        let Some(db) = self.embedded() else { return Ok(None) };
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&db.read).await?;
        Ok(Some(found).filter(|found| found != "ok"))
    }

    fn embedded(&self) -> Option<&Sqlite> {
        match &self.inner.backend {
            Backend::Sqlite(db) => Some(db),
            Backend::Postgres(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{NewAccount, StoreConfig};

    const NUMBER: &str = "+447700900321";

    /// How often it stands in the file and those beside it.
    fn traces(folder: &std::path::Path) -> usize {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.map(|bytes| bytes.windows(NUMBER.len()).filter(|run| *run == NUMBER.as_bytes()).count()).sum()
    }

    fn with_number(name: &str) -> NewAccount {
        let numbers = vec![NUMBER.to_owned()];
        NewAccount { name: name.to_owned(), currency: "USD".to_owned(), numbers, ..NewAccount::default() }
    }

    #[tokio::test]
    async fn an_erased_number_leaves_no_trace_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url)).await.unwrap();
        store.add_account(&with_number("alice")).await.unwrap();
        assert!(traces(folder.path()) > 0, "it is there, or this test shows nothing");
        store.erase(NUMBER).await.unwrap();
        assert_eq!(traces(folder.path()), 0, "in the file, its log and its index");
    }

    #[tokio::test]
    async fn what_was_deleted_before_deleted_content_was_overwritten_is_gone_once_the_file_is_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url)).await.unwrap();
        let Backend::Sqlite(db) = &store.inner.backend else { panic!("embedded") };
        sqlx::query("PRAGMA secure_delete = OFF").fetch_all(&db.write).await.unwrap();
        store.add_account(&with_number("alice")).await.unwrap();
        sqlx::query("DELETE FROM account_addresses").execute(&db.write).await.unwrap();
        store.empty_log().await.unwrap();
        assert!(traces(folder.path()) > 0, "as older versions left it");
        store.rewrite_once().await.unwrap();
        assert_eq!(traces(folder.path()), 0);
    }

    #[tokio::test]
    async fn damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ringback.db");
        let config = StoreConfig::new(format!("sqlite://{}", file.display()));
        let store = Store::open(&config).await.unwrap();
        assert_eq!(store.damage().await.unwrap(), None);
        store.close().await;
        let mut bytes = std::fs::read(&file).unwrap();
        let end = bytes.len();
        bytes[end - 4096..].fill(0x5a);
        std::fs::write(&file, &bytes).unwrap();
        let store = Store::open(&config).await.unwrap();
        assert!(store.damage().await.is_ok_and(|found| found.is_some()), "a page that is no page");
        store.close().await;
        std::fs::write(&file, vec![0x5a; 8192]).unwrap();
        assert!(matches!(Store::open(&config).await, Err(StoreError::Damaged(_))));
    }
}
