//! `ringback`: the gateway in one process, and the operator's command line.

mod cli;
mod commands;
mod demo;
mod phones;
mod run;

/// The system's allocator takes a quarter more CPU for a callback and a third more memory (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    commands::main()
}
