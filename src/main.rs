//! The `usher` program: see `usher --help`.

/// Threads that answer requests allocate and free all the time, and musl's own allocator serialises them.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    usher::cli::run()
}
