//! The program. See `pigeonhole --help`.

fn main() -> std::process::ExitCode {
    pigeonhole::cli::main()
}
