//! What a process works with is opened here and nowhere else: the store, the queue, the site key that fits what lies in the store.
//!
//! A key is made only where nothing is sealed yet: a new one in the place of a lost one would turn everybody's PIN into a wrong one.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::private;
use crate::queue::{Queue, QueueError};
use crate::secret::{SiteKey, SiteKeyError};
use crate::service::Failure;
use crate::store::{Store, StoreError};

/// Folders that may lie in the data folder.
const OURS: [&str; 3] = ["recordings", "wake.d", "lost+found"];

/// What a process works with.
#[derive(Clone)]
pub struct Opened {
    /// Owns every job.
    pub store: Store,
    /// Brings jobs, takes events.
    pub queue: Queue,
    /// Opens what is sealed in the store.
    pub site_key: SiteKey,
}

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder is not ours to close, or cannot be made.
    #[error("the data folder: {0}; choose another [store] url, or give the folder to the user that Ringback runs as")]
    Folder(std::io::Error),
    /// The store is away, or no store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue's settings are wrong, or its file cannot be opened.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// There is no site key that fits.
    #[error(transparent)]
    SiteKey(#[from] SiteKeyError),
}

impl Failure for OpenError {
    fn exit_code(&self) -> u8 {
        if matches!(self, OpenError::SiteKey(_)) { 2 } else { 1 }
    }
}

/// Opens everything for a process that runs, and mends what an older version left: files that others may read, passwords in plain
/// text.
///
/// # Errors
/// See [`OpenError`].
pub async fn open(config: &Config) -> Result<Opened, OpenError> {
    let files = private_files(config);
    private::close(&files).map_err(OpenError::Folder)?;
    let store = Store::open(&config.store).await?;
    let site_key = match site_key(config, &store).await? {
        Some(key) => key,
        None => SiteKey::create(&config.secrets.site_key_file)?,
    };
    store.keep_fingerprint(&site_key).await?;
    let sealed = store.seal_passwords(&site_key).await?;
    if sealed > 0 {
        store.empty_log().await?;
        tracing::info!(trunks = sealed, "passwords of trunks are sealed now");
    }
    let queue = Queue::open(&config.queue).await?;
    private::close(&files).map_err(OpenError::Folder)?;
    Ok(Opened { store, queue, site_key })
}

/// The site key that fits the store; `None` if there is none and nothing is sealed, so that one may be made.
///
/// # Errors
/// It is lost, bad, or another one than what is in the store was sealed with.
pub async fn site_key(config: &Config, store: &Store) -> Result<Option<SiteKey>, OpenError> {
    let file = &config.secrets.site_key_file;
    let kept = store.kept_of_key().await?;
    match SiteKey::load(file)? {
        None if kept.sealed => Err(SiteKeyError::Lost(file.clone()).into()),
        Some(key) if kept.sealed && kept.fingerprint.is_some_and(|known| known != key.fingerprint()) => {
            Err(SiteKeyError::Other(file.clone()).into())
        }
        key => Ok(key),
    }
}

/// The files of an embedded store and their folder, which nobody else may open.
pub fn private_files(config: &Config) -> Vec<PathBuf> {
    if !config.embedded() {
        return Vec::new();
    }
    let folder = config.data_folder();
    let lock = config.lock_file();
    let drain = lock.with_extension("drain");
    let mut files = vec![lock, drain, folder.join("wake.d")];
    let database = config.store.url.trim_start_matches("sqlite://");
    let database = database.split('?').next().unwrap_or(database);
    files.extend(["", "-wal", "-shm", "-journal"].map(|end| PathBuf::from(format!("{database}{end}"))));
    if is_its_own(&folder) {
        files.push(folder);
    }
    files
}

/// Whether a folder is the store's alone: a database may have been put into the operator's home, or into `/var/lib`.
fn is_its_own(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let inner = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(inner).all(|entry| OURS.iter().any(|name| entry.file_name() == *name))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::{Sealed, Trunk};

    fn config(folder: &Path) -> Config {
        Config::defaults(folder)
    }

    fn trunk(password: &str) -> Trunk {
        Trunk {
            name: "main".to_owned(),
            sip: "sip:192.0.2.1".to_owned(),
            username: Some("us".to_owned()),
            password: Some(Sealed(password.to_owned())),
            prefixes: Vec::new(),
            priority: 1,
            cli: None,
            enabled: true,
        }
    }

    fn modes(folder: &Path) -> Vec<(String, u32)> {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let mut all: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), mode(&entry.path()))).collect();
        all.push((".".to_owned(), mode(folder)));
        all.sort();
        all
    }

    #[tokio::test]
    async fn what_an_older_version_left_open_or_in_plain_text_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let (config, data) = (config(folder.path()), folder.path().join("data"));
        let store = Store::open(&config.store).await.unwrap();
        store.add_trunk(&trunk("hunter2")).await.unwrap();
        for (name, _) in modes(&data) {
            let mode = if name == "." { 0o755 } else { 0o644 };
            std::fs::set_permissions(data.join(name), Permissions::from_mode(mode)).unwrap();
        }
        let opened = open(&config).await.unwrap();
        let private =
            |(name, mode): &(String, u32)| *mode == if name == "." || name == "wake.d" { 0o700 } else { 0o600 };
        let modes = modes(&data);
        assert!(modes.len() >= 4 && modes.iter().all(private), "{modes:?}");
        let mended = opened.store.trunks().await.unwrap().remove(0);
        assert_eq!(mended.credentials(&opened.site_key), Ok(Some(("us".to_owned(), "hunter2".to_owned()))));
        assert!(mended.credentials(&SiteKey::from_bytes([1; 32])).is_err(), "it was sealed");
        let files = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(7).any(|run| run == b"hunter2"), "{} shows it", file.display());
        }
    }

    #[tokio::test]
    async fn a_key_is_made_only_while_nothing_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let file = &config.secrets.site_key_file;
        let opened = open(&config).await.unwrap();
        std::fs::remove_file(file).unwrap();
        let again = open(&config).await.unwrap();
        assert_ne!(opened.site_key.fingerprint(), again.site_key.fingerprint(), "nothing was lost with the first");

        let mut sealed = trunk("");
        sealed.keep_password(&again.site_key, "hunter2").unwrap();
        again.store.add_trunk(&sealed).await.unwrap();
        open(&config).await.unwrap();
        std::fs::remove_file(file).unwrap();
        let lost = open(&config).await.map(|_| ()).unwrap_err();
        assert!(matches!(lost, OpenError::SiteKey(SiteKeyError::Lost(_))) && lost.exit_code() == 2, "{lost}");
        assert!(!file.exists(), "no new one takes its place");
        SiteKey::create(file).unwrap();
        let other = open(&config).await.map(|_| ()).unwrap_err();
        assert!(matches!(other, OpenError::SiteKey(SiteKeyError::Other(_))), "{other}");
        again.store.forget_sealed().await.unwrap();
        open(&config).await.unwrap();
    }

    #[test]
    fn a_folder_that_holds_other_things_is_not_closed() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.store.url = format!("sqlite://{}/home/ringback.db", folder.path().display());
        let home = folder.path().join("home");
        std::fs::create_dir_all(home.join("wake.d")).unwrap();
        assert!(private_files(&config).contains(&home));
        std::fs::create_dir(home.join("letters")).unwrap();
        assert!(!private_files(&config).contains(&home));
    }
}
