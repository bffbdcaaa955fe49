//! `ringback`: the gateway in one process, and the operator's command line.

mod cli;
mod demo;
mod phones;
mod run;

fn main() -> std::process::ExitCode {
    cli::main()
}
