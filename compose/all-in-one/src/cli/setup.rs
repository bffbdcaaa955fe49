//! `ringback init` and `ringback check`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

use ringback_common::config::{Config, DEFAULT_FILE, Role};
use ringback_common::store::Store;
use serde::Serialize;

use super::{Common, Fail, print};

/// Writes the commented settings.
pub fn init(common: &Common) -> Result<(), Fail> {
    let file = &common.config;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut written = options.open(file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Fail::Refused(format!(
            "{} is there already; it stays as it is. Delete it first for a new one",
            file.display()
        )),
        _ => Fail::Refused(format!("cannot write {}: {error}", file.display())),
    })?;
    written
        .write_all(first_settings().as_bytes())
        .and_then(|()| written.sync_all())
        .map_err(|error| Fail::Refused(format!("cannot write {}: {error}", file.display())))?;
    let config = Config::load(Some(file), Role::AllInOne)?;
    super::world::make_data_folder(&config)?;
    if common.json {
        print::json(&serde_json::json!({ "config": file, "data": config.data_folder() }));
        return Ok(());
    }
    print::line(&format!("Wrote {}. It works as it stands; next:", file.display()));
    for next in [
        "  printf 1234 | ringback account add alice --balance 10.00 --number +442071838750 --pin-stdin",
        "  ringback trunk add mytrunk --sip sip:sip.example.net:5060",
        "  ringback check",
        "  ringback run",
    ] {
        print::line(next);
    }
    Ok(())
}

/// The default file, made to work as it stands: a new site takes unsigned texts from its own machine.
fn first_settings() -> String {
    let closed = "# Take unsigned texts. Only while `listen` is a loopback address.\nallow_unsigned = false\n";
    let open = "# Take unsigned texts (default: false). Only while `listen` is a loopback address and there is no secret.\n\
                allow_unsigned = true\n";
    DEFAULT_FILE.replace(closed, open)
}

/// What `ringback check` found.
#[derive(Default, Serialize)]
struct Findings {
    ok: bool,
    problems: Vec<String>,
    warnings: Vec<String>,
}

/// Reads the settings and looks at what they name.
pub async fn check(common: &Common) -> Result<(), Fail> {
    let config = match super::world::settings(&common.config) {
        Ok(config) => config,
        Err(fail) if common.json => {
            let told = fail.to_string();
            let problems =
                told.lines().filter(|line| !line.starts_with("the settings have ")).map(str::to_owned).collect();
            print::json(&Findings { ok: false, problems, warnings: Vec::new() });
            return Err(fail);
        }
        Err(fail) => return Err(fail),
    };
    let mut found = Findings::default();
    let store = look_at_store(&config, &mut found).await;
    found.ok = store.is_ok() && found.problems.is_empty();
    if let Err(fail) = &store {
        found.problems.push(fail.to_string());
    }
    if common.json {
        print::json(&found);
    } else {
        for warning in &found.warnings {
            print::line(&format!("Note: {warning}"));
        }
        if found.ok {
            print::line(&format!("{} is in order.", common.config.display()));
        }
    }
    store?;
    match found.problems.as_slice() {
        [] => Ok(()),
        problems => Err(Fail::Refused(problems.join("\n"))),
    }
}

async fn look_at_store(config: &Config, found: &mut Findings) -> Result<(), Fail> {
    super::world::make_data_folder(config)?;
    let store = Store::open(&config.store).await?;
    if store.accounts().await?.is_empty() {
        found.warnings.push("there is no account yet; add one with `ringback account add`".to_owned());
    }
    let trunks = store.trunks().await?;
    if !trunks.iter().any(|trunk| trunk.enabled) {
        found
            .warnings
            .push("there is no trunk yet, so nothing can be called; add one with `ringback trunk add`".to_owned());
    }
    for extension in &config.numbers.extensions {
        if !trunks.iter().any(|trunk| trunk.prefixes.contains(extension)) {
            found.warnings.push(format!("no trunk has the prefix {extension}, so that extension cannot be called"));
        }
    }
    for (key, names) in [("trunks", &config.ani.trunks), ("cld_form", &config.ani.cld_form)] {
        for name in names.iter().filter(|name| !trunks.iter().any(|trunk| trunk.name == **name)) {
            found.problems.push(format!("[ani] {key}: there is no trunk {name}; add it or name another"));
        }
    }
    if let Some(account) = &config.web.account
        && store.account_by_name(account).await?.is_none()
    {
        found.problems.push(format!("[web] account: there is no account {account}; add it or name another"));
    }
    found.warnings.extend(ringback_common::config::overlooked(std::env::vars_os()));
    found.warnings.extend(config.iif.warnings());
    for account in ringback_trigger_iif::peers::Setup::new(&config.iif).accounts() {
        if store.account_by_name(account).await?.is_none() {
            found.problems.push(format!("[iif] account: there is no account {account}; add it or name another"));
        }
    }
    if config.sms.generic.secret.is_empty() && !config.sms.generic.allow_unsigned {
        found.warnings.push("[sms.generic] has no secret, so every text is refused; set one".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_settings_are_the_defaults_but_for_one() {
        let folder = std::path::Path::new("/srv");
        let mut first = Config::read(&first_settings(), "x", folder, Role::AllInOne, []).unwrap();
        assert!(first.sms.generic.allow_unsigned);
        first.sms.generic.allow_unsigned = false;
        assert_eq!(first, Config::defaults(folder));
    }
}
