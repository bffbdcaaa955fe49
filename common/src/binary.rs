//! The command line of the small binaries: which settings file, and nothing else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, Role};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "ringback.toml";

/// Reads the settings of this process: `--config FILE`, else the environment's RINGBACK_CONFIG, else `./ringback.toml` if
/// there is one, else the defaults.
///
/// # Errors
/// The code is the process's exit code: 2 when something was wrong, which is on standard error already; 0 when only the version or
/// the usage was asked for.
pub fn settings(name: &str, role: Role) -> Result<Config, ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let named = match (arguments.next(), arguments.next(), arguments.next()) {
        (None, ..) => std::env::var_os("RINGBACK_CONFIG"),
        (Some(option), Some(file), None) if option == "--config" => Some(file),
        (Some(option), None, None) if option == "--version" => {
            println!("{name} {}", env!("CARGO_PKG_VERSION"));
            return Err(ExitCode::SUCCESS);
        }
        (Some(option), None, None) if option == "--help" || option == "-h" => {
            println!("{}", usage(name));
            return Err(ExitCode::SUCCESS);
        }
        _ => {
            eprintln!("{}", usage(name));
            return Err(ExitCode::from(2));
        }
    };
    let file = named.map(OsString::into).or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()));
    Config::load(file.as_deref(), role).map_err(|mistakes| {
        eprintln!("{name}: {mistakes}");
        ExitCode::from(2)
    })
}

fn usage(name: &str) -> String {
    format!(
        "usage: {name} [--config FILE | --version | --help]\nWithout --config RINGBACK_CONFIG names the file, else \
         ./{DEFAULT_FILE}."
    )
}
