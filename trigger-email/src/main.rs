//! The e-mail trigger as a process of its own.

use std::process::ExitCode;

use ringback_common::config::Role;
use ringback_common::intake::Rules;
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::store::Store;
use ringback_common::{binary, service};
use ringback_trigger_email::{RunError, World, run};

/// The system's allocator takes a quarter more CPU for a callback and a third more memory (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match binary::settings("ringback-trigger-email", Role::Trigger) {
        Ok(config) => config,
        Err(code) => return code,
    };
    service::main("trigger-email", &config.service, async |service| {
        let store = Store::open(&config.store).await?;
        let queue = Queue::open(&config.queue).await?;
        let site_key = SiteKey::load_or_create(&config.secrets.site_key_file)?;
        service.health.part("email").set(true);
        service.needs(&store, &queue);
        let world = World { store, queue, site_key, rules: Rules::from(&config) };
        run(config.email.clone(), world, service.shutdown).await?;
        Ok::<(), RunError>(())
    })
}
