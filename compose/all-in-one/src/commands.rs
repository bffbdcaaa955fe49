//! The operator's command line: names, options and exit codes are a contract, described in docs/cli.md.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::{
    Common, Fail, accounts, calls, check, events, explain, explain_ani, explain_email, explain_iif, pool, privacy,
    ready, routes, setup, site_key, status, version,
};
use crate::{demo, run};

/// Ringback calls you, then calls the person you want, joins both calls, and stops before the money runs out.
#[derive(Parser)]
#[command(name = "ringback", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused or failed; 2 wrong usage or settings, or not in this version; \
3 the store or the queue does not answer (try again); 4 no such account, trunk or request.";

#[derive(Subcommand)]
enum Command {
    /// Write a commented ringback.toml that works as it stands
    Init,
    /// Run the gateway
    Run(run::RunArgs),
    /// Read the settings and say everything that is wrong
    Check,
    /// Show a whole callback on this machine, with two phones of our own
    Demo(demo::DemoArgs),
    /// Who may call, from which numbers, with what money
    #[command(subcommand)]
    Account(accounts::AccountCommand),
    /// Where calls leave
    #[command(subcommand)]
    Trunk(routes::TrunkCommand),
    /// What a missed call starts
    #[command(subcommand)]
    App(pool::AppCommand),
    /// Numbers that may be rung, and what they lead to
    #[command(subcommand)]
    Did(pool::DidCommand),
    /// What calls cost
    #[command(subcommand)]
    Rate(routes::RateCommand),
    /// Call A, then B, and join them
    Call(calls::CallArgs),
    /// Callbacks asked for
    #[command(subcommand)]
    Request(calls::RequestCommand),
    /// Call detail records
    #[command(subcommand)]
    Cdr(calls::CdrCommand),
    /// What happens, as it happens
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Engines, live calls, backlog, holds and trunks
    Status,
    /// Say whether the gateway or the part with these settings is ready for work
    Ready,
    /// Let live calls end, take no new ones, then stop the gateway on this machine
    Drain(status::DrainArgs),
    /// Numbers that must not be rung
    #[command(subcommand)]
    Dnc(privacy::DncCommand),
    /// Show what is kept of a number or a mail address and erase it; amounts stay, without the number
    Erase(privacy::EraseArgs),
    /// The key that PINs and trunk passwords are sealed with
    #[command(subcommand)]
    SiteKey(site_key::SiteKeyCommand),
    /// Which version this is: number, commit, and the schema it brings its database to
    Version,
    /// Write the manual pages and the shells' completions into a folder, for packages
    #[command(hide = true)]
    Pages {
        /// The folder; it has to be there
        folder: PathBuf,
    },
    /// How a message would be read and what would happen; dials and books nothing
    #[command(subcommand)]
    Explain(explain::ExplainCommand),
}

/// Reads the command line, does what it says, and says how it went by the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") => {
            let told = error.to_string();
            return Fail::Usage(told.trim().trim_start_matches("error: ").to_owned()).tell(true);
        }
        Err(error) => error.exit(),
    };
    let common = &cli.common;
    let done = match cli.command {
        Command::Init => setup::init(common),
        Command::Check => block(check::check(common)),
        Command::Run(args) => return run::main(common, &args).unwrap_or_else(|fail| fail.tell(common.json)),
        Command::Demo(args) => return demo::main(common, &args).unwrap_or_else(|fail| fail.tell(common.json)),
        Command::Account(command) => block(accounts::account(common, command)),
        Command::Trunk(command) => block(routes::trunk(common, command)),
        Command::App(command) => block(pool::app(common, command)),
        Command::Did(command) => block(pool::did(common, command)),
        Command::Rate(command) => block(routes::rate(common, command)),
        Command::Call(args) => block(calls::call(common, args)),
        Command::Request(command) => block(calls::request(common, command)),
        Command::Cdr(calls::CdrCommand::List(args)) => block(calls::cdrs(common, args)),
        Command::Events(events::EventsCommand::Tail(args)) => block(events::tail(common, args)),
        Command::Dnc(command) => block(privacy::dnc(common, command)),
        Command::Erase(args) => block(privacy::erase(common, args)),
        Command::SiteKey(site_key::SiteKeyCommand::Renew(_)) => block(site_key::renew(common)),
        Command::Status => block(status::status(common)),
        Command::Ready => ready::ready(common),
        Command::Drain(args) => status::drain(common, &args),
        Command::Version => version::version(common),
        Command::Pages { folder } => version::pages(Cli::command(), &folder),
        Command::Explain(explain::ExplainCommand::Sms(args)) => block(explain::sms(common, args)),
        Command::Explain(explain::ExplainCommand::Ani(args)) => block(explain_ani::ani(common, args)),
        Command::Explain(explain::ExplainCommand::Email(args)) => block(explain_email::email(common, args)),
        Command::Explain(explain::ExplainCommand::Iif(args)) => block(explain_iif::iif(common, args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => fail.tell(common.json),
    }
}

fn block(work: impl Future<Output = Result<(), Fail>>) -> Result<(), Fail> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fail::Refused(format!("this machine gives no threads or sockets: {error}")))?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    done
}
