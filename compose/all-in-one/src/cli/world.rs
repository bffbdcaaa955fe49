//! What a command works with: the settings, and the store and queue behind them.

use std::path::{Path, PathBuf};

use ringback_common::config::{self, Config, Role};
use ringback_common::opening;
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::store::Store;

use super::{Common, Fail};

/// The file that is read when none is named.
pub const DEFAULT_NAME: &str = "ringback.toml";

/// The settings and the open store.
pub struct World {
    /// The settings.
    pub config: Config,
    /// The store.
    pub store: Store,
    /// The site key that fits the store, if there is one; what is sealed there opens with no other.
    key: Option<SiteKey>,
}

impl World {
    /// Opens what the settings name; with an embedded store its data folder is made.
    pub async fn open(common: &Common) -> Result<World, Fail> {
        let config = settings(&common.config)?;
        make_data_folder(&config)?;
        let store = Store::open(&config.store).await?;
        let key = opening::site_key(&config, &store).await?;
        Ok(World { config, store, key })
    }

    /// The site key; a site that has none yet gets one.
    pub async fn site_key(&self) -> Result<SiteKey, Fail> {
        let key = match &self.key {
            Some(key) => key.clone(),
            None => SiteKey::create(&self.config.secrets.site_key_file).map_err(opening::OpenError::from)?,
        };
        self.store.keep_fingerprint(&key).await?;
        Ok(key)
    }

    /// The site key, for a command that only looks: a site that has none yet has sealed nothing, so any key does.
    pub fn key_to_look(&self) -> Result<SiteKey, Fail> {
        match &self.key {
            Some(key) => Ok(key.clone()),
            None => SiteKey::random()
                .map_err(|error| Fail::Refused(format!("this machine gives no random numbers: {error}"))),
        }
    }

    /// Opens the queue too.
    pub async fn queue(&self) -> Result<Queue, Fail> {
        Ok(Queue::open(&self.config.queue).await?)
    }
}

/// The settings of this name: a file, or the environment alone where it sets anything and no file was named.
pub fn settings(file: &Path) -> Result<Config, Fail> {
    if !file.exists() {
        if file == Path::new(DEFAULT_NAME) && config::in_environment(std::env::vars_os()) {
            return Ok(Config::load(None, Role::AllInOne)?);
        }
        return Err(Fail::Usage(format!(
            "there is no {}; write one with `ringback init`, or name yours with --config FILE or RINGBACK_CONFIG",
            file.display()
        )));
    }
    Ok(Config::load(Some(file), Role::AllInOne)?)
}

/// Makes the folder of an embedded store.
pub fn make_data_folder(config: &Config) -> Result<(), Fail> {
    if !config.embedded() {
        return Ok(());
    }
    let folder = config.data_folder();
    ringback_common::private::folder(&folder).map_err(|error| {
        Fail::Refused(format!("cannot make {}: {error}; choose another [store] url", folder.display()))
    })
}

/// The file by which `drain` remembers whom it has asked already.
pub fn drain_file(config: &Config) -> PathBuf {
    config.lock_file().with_extension("drain")
}
