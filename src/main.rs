//! The program. See `pigeonhole --help`.

/// Receiver and worker allocate much for each message, in several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pigeonhole::cli::main()
}
