//! `ringback check`: what is wrong with a site before anybody calls it. Every finding says what to do; nothing is mended here.

mod reach;

use ringback_common::config::Config;
use ringback_common::opening::{OpenError, private_files, site_key};
use ringback_common::private;
use ringback_common::store::Store;
use serde::Serialize;

use super::{Common, Fail, make_data_folder, print, settings};

/// What was found.
#[derive(Default, Serialize)]
pub struct Findings {
    ok: bool,
    problems: Vec<String>,
    warnings: Vec<String>,
    /// The exit code of the worst: what one has to settle before the rest can be seen.
    #[serde(skip)]
    code: u8,
}

impl Findings {
    /// Something that cannot work.
    fn problem(&mut self, what: String) {
        self.fail(&Fail::Refused(what));
    }

    /// Something that works and should be known.
    fn warn(&mut self, what: String) {
        self.warnings.push(what);
    }

    fn fail(&mut self, fail: &Fail) {
        self.problems.push(fail.to_string());
        self.code = self.code.max(fail.code());
    }
}

/// Reads the settings and looks at what they name.
pub async fn check(common: &Common) -> Result<(), Fail> {
    let config = match settings(&common.config) {
        Ok(config) => config,
        Err(fail) if common.json => {
            let told = fail.to_string();
            let problems =
                told.lines().filter(|line| !line.starts_with("the settings have ")).map(str::to_owned).collect();
            print::json(&Findings { problems, ..Findings::default() });
            return Err(fail);
        }
        Err(fail) => return Err(fail),
    };
    let mut found = Findings::default();
    look_at_settings(&config, &mut found);
    for file in private::open_to_others(std::slice::from_ref(&common.config)) {
        found.warn(format!("{0} can be read by others, and passwords stand in it; run: chmod 600 {0}", file.display()));
    }
    look_at_files(&config, &mut found);
    let mut peers = reach::named(&config);
    match Store::open(&config.store).await {
        Ok(store) => {
            if let Err(error) = look_at_store(&config, &store, &mut found).await {
                found.fail(&error);
            }
            if let Ok(trunks) = store.trunks().await {
                peers.extend(reach::trunks(&config, &trunks));
            }
        }
        Err(error) => found.fail(&error.into()),
    }
    reach::look(&peers, &mut found).await;
    found.ok = found.problems.is_empty();
    if common.json {
        print::json(&found);
    } else {
        for warning in &found.warnings {
            print::line(&format!("Note: {warning}"));
        }
        if found.ok {
            let settings =
                if common.config.exists() { common.config.display().to_string() } else { "The environment".into() };
            print::line(&format!("{settings} is in order."));
        }
    }
    let told = found.problems.join("\n");
    match found.code {
        0 => Ok(()),
        2 => Err(Fail::Usage(told)),
        3 => Err(Fail::Unreachable(told)),
        _ => Err(Fail::Refused(told)),
    }
}

fn look_at_settings(config: &Config, found: &mut Findings) {
    found.warnings.extend(ringback_common::config::overlooked(std::env::vars_os()));
    found.warnings.extend(config.iif.warnings());
    if config.sms.generic.secret.is_empty() && !config.sms.generic.allow_unsigned {
        found.warn("[sms.generic] has no secret, so every text is refused; set one".to_owned());
    }
}

/// The folder of an embedded store: can we write there, and can nobody else read there?
fn look_at_files(config: &Config, found: &mut Findings) {
    if !config.embedded() {
        return;
    }
    if let Err(fail) = make_data_folder(config) {
        return found.fail(&fail);
    }
    let folder = config.data_folder();
    let probe = folder.join(format!("check.{}", std::process::id()));
    match private::file(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => {}
        Err(error) => found.problem(format!(
            "the data folder {} cannot be written: {error}; give it to the user that Ringback runs as, or choose another [store] url",
            folder.display()
        )),
    }
    for path in private::open_to_others(&private_files(config)) {
        found.warn(format!("{} can be opened by others on this machine; `ringback run` closes it", path.display()));
    }
}

/// What is in the store, and what the settings name there.
async fn look_at_store(config: &Config, store: &Store, found: &mut Findings) -> Result<(), Fail> {
    if let Some(damage) = store.damage().await? {
        found.problem(format!(
            "the database {} is damaged ({damage}): stop Ringback and put your last backup in its place, or save what can be read: \
             sqlite3 FILE .recover",
            config.store.url.trim_start_matches("sqlite://")
        ));
    }
    match site_key(config, store).await {
        Ok(_) => {}
        Err(error @ OpenError::SiteKey(_)) => found.fail(&error.into()),
        Err(error) => return Err(error.into()),
    }
    if store.accounts().await?.is_empty() {
        found.warn("there is no account yet; add one with `ringback account add`".to_owned());
    }
    let trunks = store.trunks().await?;
    if !trunks.iter().any(|trunk| trunk.enabled) {
        found.warn("there is no trunk yet, so nothing can be called; add one with `ringback trunk add`".to_owned());
    }
    for extension in &config.numbers.extensions {
        if !trunks.iter().any(|trunk| trunk.prefixes.contains(extension)) {
            found.warn(format!("no trunk has the prefix {extension}, so that extension cannot be called"));
        }
    }
    for (key, names) in [("trunks", &config.ani.trunks), ("cld_form", &config.ani.cld_form)] {
        for name in names.iter().filter(|name| !trunks.iter().any(|trunk| trunk.name == **name)) {
            found.problem(format!("[ani] {key}: there is no trunk {name}; add it or name another"));
        }
    }
    let iif = ringback_trigger_iif::peers::Setup::new(&config.iif);
    let payers = config.web.account.iter().map(|account| ("[web]", account.as_str()));
    for (section, account) in payers.chain(iif.accounts().into_iter().map(|account| ("[iif]", account))) {
        if store.account_by_name(account).await?.is_none() {
            found.problem(format!("{section} account: there is no account {account}; add it or name another"));
        }
    }
    Ok(())
}
