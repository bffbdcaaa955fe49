//! The SMS trigger as a process of its own.

use std::process::ExitCode;

use ringback_common::config::Role;
use ringback_common::intake::Rules;
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::store::Store;
use ringback_common::{binary, service};
use ringback_trigger_sms::{RunError, World, listen, run_on};

/// The system's allocator takes a quarter more CPU for a callback and a third more memory (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match binary::settings("ringback-trigger-sms", Role::Trigger) {
        Ok(config) => config,
        Err(code) => return code,
    };
    service::main("trigger-sms", &config.service, async |service| {
        let store = Store::open(&config.store).await?;
        let queue = Queue::open(&config.queue).await?;
        let site_key = SiteKey::load_or_create(&config.secrets.site_key_file)?;
        let rules = Rules::from(&config);
        let listener = listen(&config.sms).await?;
        service.health.part("sms").set(true);
        service.needs(&store, &queue);
        let world = World { store, queue, site_key, rules };
        run_on(listener, config.sms.clone(), world, service.shutdown).await?;
        Ok::<(), RunError>(())
    })
}
