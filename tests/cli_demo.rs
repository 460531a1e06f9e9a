//! `usher demo` in a folder without models: it must use the bundle that is built in.

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
        "2,004 synthetic customers",
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
    run.says(&["4 features", "11 synthetic customers"]);
}

#[test]
fn a_usual_port_that_is_taken_is_no_reason_to_fail() {
    let _holder = std::net::TcpListener::bind("127.0.0.1:8080"); // if that fails, somebody else holds it
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    let run = run(&["demo", "--once", "--customers", "10", "--models", path]).ended(0);
    run.says(&["127.0.0.1:8080 is taken"]);
}

#[test]
fn a_demo_answers_as_the_pages_say_after_its_stories_and_after_a_reset() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Server::demo(folder.path());
    let ask = ["decide", "c-1001", "home_banner", "--locale", "zh-CN"];
    demo.run(&ask).ended(0).says(&["steady_r2"]);
    let dismiss = serde_json::json!({"type": "dismiss", "customer": "c-1001", "offer": "steady_r2", "placement": "home_banner", "channel": "app"});
    demo.post("/v1/events", &dismiss.to_string());
    assert!(!demo.run(&ask).ended(0).out.contains("steady_r2"));
    let mut reset = program(&["demo", "--reset", "--listen", demo.url.trim_start_matches("http://")]);
    reset.current_dir(folder.path());
    run_command(reset, b"").ended(0).says(&["as they were in the beginning"]);
    let port = demo.url.rsplit(':').next().unwrap();
    run(&["demo", "--reset", "--listen", &format!(":{port}")]).ended(0);
    demo.run(&ask).ended(0).says(&["steady_r2"]);
}
