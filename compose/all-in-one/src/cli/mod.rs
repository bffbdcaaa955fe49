//! What the operator's commands do. Their names, options and exit codes are a contract, described in docs/cli.md.

pub mod accounts;
pub mod calls;
pub mod check;
pub mod events;
pub mod explain;
pub mod explain_ani;
pub mod explain_email;
pub mod explain_iif;
mod fail;
pub mod pool;
mod price;
pub mod print;
pub mod privacy;
pub mod ready;
pub mod routes;
pub mod setup;
pub mod site_key;
pub mod status;
pub mod version;
mod view;
mod world;

use std::path::PathBuf;

use clap::Args;

pub use calls::{oldest_first as view_cdrs, print_cdrs};
pub use fail::Fail;
pub use view::CdrView;
pub use world::{World, drain_file, make_data_folder, settings};

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The settings; `ringback init` writes them
    #[arg(long, global = true, env = "RINGBACK_CONFIG", value_name = "FILE", default_value = world::DEFAULT_NAME)]
    pub config: PathBuf,
    /// Answer in JSON (field names: docs/cli.md)
    #[arg(long, global = true)]
    pub json: bool,
}
