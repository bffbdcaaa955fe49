//! `ringback site-key`: the way out when the site key is lost.

use clap::{Args, Subcommand};
use ringback_common::config::Config;
use ringback_common::opening::OpenError;
use ringback_common::secret::SiteKey;
use ringback_common::store::Store;

use super::{Common, Fail, make_data_folder, print, settings};

/// `ringback site-key ...`
#[derive(Subcommand)]
pub enum SiteKeyCommand {
    /// Make a new site key and forget every PIN and trunk password that the old one sealed
    Renew(RenewArgs),
}

/// That it is meant.
#[derive(Args)]
pub struct RenewArgs {
    /// Yes, forget them: PINs and trunk passwords have to be set anew
    #[arg(long, required = true)]
    forget: bool,
}

/// Makes a new key. The old file stays beside it, under another name.
pub async fn renew(common: &Common) -> Result<(), Fail> {
    let config = settings(&common.config)?;
    make_data_folder(&config)?;
    let store = Store::open(&config.store).await?;
    let forgotten = store.forget_sealed().await?;
    let old = put_aside(&config)?;
    let key = SiteKey::create(&config.secrets.site_key_file).map_err(OpenError::from)?;
    store.keep_fingerprint(&key).await?;
    if common.json {
        let mut answer = serde_json::to_value(&forgotten).unwrap_or_default();
        answer["old_key"] = old.into();
        print::json(&answer);
        return Ok(());
    }
    print::line(&format!("{} is a new site key. Restart what runs.", config.secrets.site_key_file.display()));
    if let Some(old) = old {
        print::line(&format!("What was there is {old} now."));
    }
    for name in &forgotten.accounts {
        print::line(&format!("Account {name} has no PIN now: ringback account set {name} --pin-stdin"));
    }
    for name in &forgotten.trunks {
        print::line(&format!(
            "Trunk {name} has no password now: ringback trunk set {name} --user USER --password-stdin"
        ));
    }
    Ok(())
}

fn put_aside(config: &Config) -> Result<Option<String>, Fail> {
    let file = &config.secrets.site_key_file;
    if !file.exists() {
        return Ok(None);
    }
    let aside = format!("{}.{}", file.display(), chrono::Utc::now().format("%Y%m%dT%H%M%S"));
    std::fs::rename(file, &aside)
        .map_err(|error| Fail::Refused(format!("cannot put {} aside: {error}; move it yourself", file.display())))?;
    Ok(Some(aside))
}
