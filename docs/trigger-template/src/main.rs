//! The template as a process of its own.

use std::process::ExitCode;

use ringback_common::binary;
use ringback_common::intake::Rules;
use ringback_common::opening::Opened;
use ringback_trigger_template::{World, run};

fn main() -> ExitCode {
    binary::trigger("template", async |config, opened, service| {
        let Opened { store, queue, site_key } = opened;
        service.health.part("template").set(true);
        service.needs(&store, &queue);
        let world = World { store, queue, site_key, rules: Rules::from(&config) };
        run(config.folder.join("drop"), world, service.shutdown).await
    })
}
