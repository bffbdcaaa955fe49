//! The web trigger as a process of its own.

use std::process::ExitCode;

use ringback_common::binary;
use ringback_common::intake::Rules;
use ringback_common::opening::Opened;
use ringback_trigger_web::{World, run};

/// The system's allocator takes a quarter more CPU for a callback and a third more memory (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    binary::trigger("web", async |config, opened, service| {
        let Opened { store, queue, site_key } = opened;
        service.health.part("web").set(true);
        let world = World { store, queue, site_key, rules: Rules::from(&config) };
        run(config.web.clone(), world, service.shutdown).await
    })
}
