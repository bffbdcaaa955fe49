//! `ringback`: the gateway in one process, and the operator's command line.

// What is said of an argument is help for a terminal, where [service] is a section of the settings.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

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
