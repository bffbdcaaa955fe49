//! The main of the small binaries. Their command line names the settings file, and nothing else.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, Role};
use crate::opening::{self, OpenError, Opened};
use crate::service::{self, Failure, Service};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "ringback.toml";

/// Reads the settings, opens store, queue and site key, watches them for `/readyz`, and runs the part of this name until it ends.
pub fn trigger<Run, Running, E>(part: &'static str, run: Run) -> ExitCode
where
    Run: FnOnce(Config, Opened, Service) -> Running,
    Running: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    let config = match settings(&format!("ringback-trigger-{part}"), Role::Trigger) {
        Ok(config) => config,
        Err(code) => return code,
    };
    service::main(&format!("trigger-{part}"), &config.service.clone(), async |service| {
        let opened = opening::open(&config).await?;
        service.needs(&opened.store, &opened.queue);
        run(config, opened, service).await.map_err(Stopped::Run)
    })
}

/// Why the process of one part ended.
#[derive(Debug, thiserror::Error)]
pub enum Stopped<E: fmt::Display> {
    /// It could not begin.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The part said so.
    #[error("{0}")]
    Run(E),
}

impl<E: fmt::Display> Failure for Stopped<E> {
    fn exit_code(&self) -> u8 {
        match self {
            Stopped::Open(error) => error.exit_code(),
            Stopped::Run(_) => 1,
        }
    }
}

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
