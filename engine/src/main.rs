//! The engine as a process of its own.

use std::process::ExitCode;

use ringback_common::binary::{self, Stopped};
use ringback_common::config::Role;
use ringback_common::lock::EngineLock;
use ringback_common::{opening, service};
use ringback_engine::{Surroundings, run};

/// The system's allocator takes a quarter more CPU for a callback and a third more memory (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match binary::settings("ringback-engine", Role::Engine) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let lock = config.embedded().then(|| EngineLock::take(&config.lock_file())).transpose();
    let _lock = match lock {
        Ok(lock) => lock,
        Err(error) => {
            eprintln!("ringback-engine: {error}");
            return ExitCode::FAILURE;
        }
    };
    service::main("engine", &config.service, async |service| {
        let opened = opening::open(&config).await?;
        run(&config, Surroundings { opened, endpoint: None }, service).await.map_err(Stopped::Run)
    })
}
