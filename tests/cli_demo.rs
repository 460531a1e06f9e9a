//! `usher demo`, from a folder without any models: the bundle built in.

mod cli_support;

use cli_support::*;

#[test]
fn the_demo_tells_the_truth_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(&["demo", "--once", "--customers", "2000", "--listen", "127.0.0.1:0"]);
    command.current_dir(folder.path());
    let run = run_command(command, b"").ended(0);
    assert!(run.out.starts_with("listening on http://127.0.0.1:"), "{}", run.out);
    assert!(!run.out.contains('\x1b'), "no colour where nobody looks");
    run.says(&[
        "built in",
        "2,004 made-up customers",
        "steady_r2",
        "study_finance",
        "flash_note",
        "suitability",
        "curl ",
    ]);
}

#[test]
fn the_demo_serves_any_bundle() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    let run =
        run(&["demo", "--once", "--customers", "10", "--listen", "127.0.0.1:0", "--models", path]).ended(0);
    run.says(&["4 features", "11 made-up customers"]);
}
