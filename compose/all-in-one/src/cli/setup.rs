//! `ringback init`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

use ringback_common::config::{Config, DEFAULT_FILE, Role};

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
