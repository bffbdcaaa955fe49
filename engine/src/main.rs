//! The engine as a process of its own.

use std::process::ExitCode;

use ringback_common::config::Role;
use ringback_common::lock::EngineLock;
use ringback_common::queue::Queue;
use ringback_common::store::Store;
use ringback_common::{binary, service};
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
        let store = Store::open(&config.store).await?;
        let queue = Queue::open(&config.queue).await?;
        run(&config, Surroundings { store, queue, endpoint: None }, service).await
    })
}
