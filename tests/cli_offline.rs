//! The command line without a server: help, exit codes, `usher check`, settings.

mod cli_support;

use cli_support::*;

#[test]
fn help_shows_examples_and_every_command() {
    let help = run(&["--help"]).ended(0);
    help.says(&[
        "usher demo",
        "usher check models/retail-bank",
        "Exit codes",
        "push",
        "rollback",
        "load",
        "decide",
        "health",
    ]);
    run(&["--version"]).ended(0).says(&["usher "]);
    for command in ["serve", "check", "push", "rollback", "load", "decide", "demo", "eval", "health"] {
        let help = run(&[command, "--help"]).ended(0).says(&["Usage: usher"]);
        assert!(command == "demo" || help.out.contains("Example"), "{}", help.out);
    }
    let serve = run(&["serve", "--help"]).ended(0);
    let (_, variables) = serve.out.split_once("\nVariables: ").unwrap();
    let list = variables.trim_end().strip_suffix('.').unwrap();
    for name in list.split(',').map(str::trim) {
        let is_variable = |c: char| c.is_ascii_uppercase() || c == '_';
        assert!(name.starts_with("USHER_") && name.chars().all(is_variable), "{name:?} in {variables}");
    }
}

#[test]
fn what_cannot_run_ends_with_2() {
    run(&[]).ended(2).says(&["Usage"]);
    run(&["chek", "x"]).ended(2).says(&["similar subcommand exists", "check"]);
    run(&["check", "/nowhere"]).ended(2).says(&["cannot read /nowhere"]);
    run(&["push", "/nowhere"]).ended(2).says(&["cannot read /nowhere"]);
    run(&["decide", "c-1001"]).ended(2).says(&["PLACEMENT"]);
    run(&["demo", "--customers", "0"]).ended(2).says(&["0 is not in 1.."]);
    run(&["serve", "--dta", "x"]).ended(2).says(&["--data"]);
}

#[test]
fn a_server_that_is_not_there_says_how_to_start_one() {
    let gone = "http://127.0.0.1:1";
    for (command, code) in
        [(&["decide", "c-1", "home_banner"][..], 2), (&["rollback", "wealth"], 2), (&["health"], 1)]
    {
        let run = run(&[command, &["--server", gone]].concat()).ended(code);
        run.says(&["no server at http://127.0.0.1:1: connection refused", "usher serve"]);
    }
    run(&["health", "--server", "https://x"]).ended(2).says(&["only http"]);
    let mut command = program(&["health"]);
    command.env("USHER_SERVER", gone);
    run_command(command, b"").ended(1).says(&[gone]);
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "usher.toml", "listn = 'x'\n");
    let file = file.to_str().unwrap();
    run(&["serve", "--config", file])
        .ended(2)
        .says(&["usher.toml:1:1: unknown setting", "did you mean `listen`?"]);
    run(&["serve", "--config", "/nowhere.toml"]).ended(2).says(&["cannot read /nowhere.toml"]);
    run(&["serve", "--listen", "0.0.0.0:0"]).ended(2).says(&["--allow-anonymous"]);
    run(&["serve", "--listen", "8080", "--threads", "0"])
        .ended(2)
        .says(&["--listen: expected", "--threads: expected"]);
    let mut command = program(&["serve"]);
    command.env("USHER_LISTEN", "nonsense");
    run_command(command, b"").ended(2).says(&["USHER_LISTEN: expected an address"]);
}

#[test]
fn empty_variables_count_as_not_set() {
    let mut command = program(&["serve", "--listen", "nonsense"]);
    command.env("USHER_CONFIG", "");
    run_command(command, b"").ended(2).says(&["--listen: expected an address"]);
    let mut command = program(&["health"]); // whoever listens on the usual port, it is asked
    command.env("USHER_SERVER", "");
    assert!(!run_command(command, b"").err.contains("not the address of a server"));
    run(&["health", "--server", ""]).ended(2).says(&["not the address of a server"]);
}

#[test]
fn a_server_that_is_starting_is_waited_for() {
    let bundle = bundle();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let client = std::thread::spawn(move || run(&["decide", "c-1", "home_banner", "--server", &url]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let _server = Server::start_on(&free.to_string(), &["--models", bundle.path().to_str().unwrap()]);
    client.join().unwrap().ended(0).says(&["brand"]);
}

#[test]
fn a_right_bundle_is_summed_up() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    let text = run(&["check", path]).ended(0);
    text.says(&[
        "right",
        "4 features",
        "3 rule sets",
        "1 placement",
        "2 offers",
        "3 golden decisions came out",
        "1 import",
    ]);
    let json = run(&["check", path, "--json"]).ended(0);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["right"], &json["offers"]), (&true.into(), &2.into()));
    run(&["check", bundle.path().join("rule-sets/a_wealth.yaml").to_str().unwrap()]).ended(0);
    run(&["check", bundle.path().join("schema.yaml").to_str().unwrap()]).ended(0).says(&["4 features"]);
    run(&["check", bundle.path().join("golden.yaml").to_str().unwrap()]).ended(1);
}

#[test]
fn what_is_hardly_meant_is_told_and_no_failure() {
    let bundle = bundle();
    write(
        bundle.path(),
        "rule-sets/slots.yaml",
        PLACEMENTS.to_owned() + "tags:\n  idle: age > 3 && age < 2\n",
    );
    let path = bundle.path().to_str().unwrap();
    let place = "slots.yaml:";
    run(&["check", path]).ended(0).says(&[
        place,
        "warning: `age > 3 && age < 2` is never true: `age` would have to be at least 4 and at most 1 at once",
        "warning: nothing uses tag `idle`",
        "^",
        "2 warnings",
        "right",
    ]);
    let json = run(&["check", path, "--json"]).ended(0);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let kinds: Vec<_> = json["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning["kind"].as_str().unwrap())
        .collect();
    assert_eq!((&json["right"], kinds), (&true.into(), vec!["unused_tag", "never_true"]), "{json}");
}

#[test]
fn a_check_says_how_each_guardrail_was_understood_and_whom_it_stops() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    run(&["check", path]).ended(0).says(&[
        "guardrails, as they were understood, with whom they stop of 10,001 customers of the population:",
        "rails.yaml:3): consent || offer.product == 'service'",
        "passes if `consent` is true; without `consent`: stopped",
        "of 10,001 on steady_r2",
        "always passes on 1 offer",
    ]);
    let json = run(&["check", path, "--json"]).ended(0);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let guardrail = &json["guardrails"][0];
    assert_eq!(
        (&guardrail["name"], &guardrail["golden_decisions"]),
        (&"consent".into(), &1.into()),
        "{json}"
    );
    let form = &guardrail["forms"][0];
    assert_eq!(form["passes_if"], serde_json::json!([[{"term": "consent", "needs": "true"}]]), "{json}");
    assert_eq!(form["missing"][0]["then"], "stopped", "{json}");
    let offer = &form["offers"][0];
    assert_eq!((&offer["name"], &offer["customers"]), (&"steady_r2".into(), &10_001.into()), "{json}");
    assert!((4_500..5_500).contains(&offer["stopped"].as_u64().unwrap()), "half of them: {json}");
}

#[test]
fn a_guardrail_without_a_golden_decision_that_it_stops_is_told() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    let untested = "warning: no golden decision shows that guardrail `consent` stops an offer";
    for (stopped, told) in [
        ("customer: {risk: steady, aum: 600000}", false),
        ("customer: {risk: steady, aum: 600000, consent: false}", false),
        // Something else stops the offer as well, or nothing does.
        ("customer: {risk: steady, aum: 400000}", true),
        ("customer: {risk: balanced, aum: 600000, consent: false}", true),
        ("customer: null", true),
    ] {
        write(bundle.path(), "golden.yaml", GOLDEN.replace("customer: {risk: steady, aum: 600000}", stopped));
        let run = run(&["check", path]).ended(0);
        assert_eq!(run.err.contains(untested), told, "{stopped}: {run:#?}");
    }
    std::fs::remove_file(bundle.path().join("golden.yaml")).unwrap();
    run(&["check", path]).ended(0).says(&[untested]);
}

#[test]
fn what_a_node_refuses_is_refused_by_a_check() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    write(bundle.path(), "rule-sets/z_copy.yaml", WEALTH.replace("steady_r2", "steady_too"));
    run(&["check", path])
        .ended(1)
        .says(&["z_copy.yaml", "a_wealth.yaml has the rule set `a_wealth` already"]);
    write(bundle.path(), "rule-sets/z_copy.yaml", format!("rule_set: long\n# {}\n", "x".repeat(8 << 20)));
    run(&["check", path]).ended(1).says(&["z_copy.yaml", "at most 8388608 are allowed"]);
}

#[test]
fn strict_takes_warnings_for_errors() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    run(&["check", "--strict", path]).ended(0).says(&["right"]);
    write(bundle.path(), "golden.yaml", "[]\n");
    let strict = run(&["check", "--strict", path]).ended(1);
    strict.says(&["no golden decision shows", "with --strict, a warning counts as an error", "not right"]);
    let json = run(&["check", "--strict", "--json", path]).ended(1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let kind = &json["warnings"][0]["kind"];
    assert_eq!((&json["right"], kind), (&false.into(), &"guardrail_untested".into()), "{json}");
    run(&["check", path]).ended(0).says(&["warning", "right"]);
}

#[test]
fn every_problem_of_a_bundle_is_printed_with_its_place() {
    let bundle = bundle();
    write(bundle.path(), "rule-sets/a_wealth.yaml", WEALTH.replace("risk ==", "riks =="));
    write(bundle.path(), "rule-sets/rails.yaml", "rule_set: a_rails\ngardrails: {}\n");
    write(bundle.path(), "population.yaml", POPULATION.replace("age:", "agee:"));
    write(bundle.path(), "imports/foreign.yaml", IMPORT.replace("feature: age", "feature: ages"));
    let path = bundle.path().to_str().unwrap();
    let text = run(&["check", path]).ended(1);
    text.says(&[
        "a_wealth.yaml:6:",
        "did you mean `risk`?",
        "rails.yaml:2:",
        "population.yaml:4:",
        "foreign.yaml:4:",
        "^",
        "problems",
    ]);
    let json = run(&["check", path, "--json"]).ended(1);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let files: Vec<_> =
        json["problems"].as_array().unwrap().iter().map(|p| p["file"].as_str().unwrap()).collect();
    assert!(json["right"] == false && files.iter().any(|file| file.ends_with("a_wealth.yaml")), "{json}");
}

#[test]
fn a_broken_schema_is_told_alone() {
    let bundle = bundle();
    write(bundle.path(), "schema.yaml", SCHEMA.replace("kind: int", "kind: itn"));
    run(&["check", bundle.path().to_str().unwrap()])
        .ended(1)
        .says(&["schema.yaml:3:", "unknown kind \"itn\""]);
}

#[test]
fn a_golden_decision_that_comes_out_otherwise_says_why() {
    let bundle = bundle();
    write(bundle.path(), "golden.yaml", GOLDEN.replace("aum: 600000", "aum: 400000"));
    let text = run(&["check", bundle.path().to_str().unwrap()]).ended(1);
    text.says(&[
        "golden.yaml:5:",
        "steady sees steady: expected steady_r2, got the fallback brand",
        "aum >= 500000",
        "400000",
    ]);
}

#[test]
fn one_rule_set_needs_a_schema() {
    let folder = tempfile::tempdir().unwrap();
    let rule_set = write(folder.path(), "wealth.yaml", WEALTH);
    let rule_set = rule_set.to_str().unwrap();
    run(&["check", rule_set]).ended(2).says(&["no schema to check", "--schema"]);
    let schema = write(folder.path(), "s/schema.yaml", SCHEMA);
    run(&["check", rule_set, "--schema", schema.to_str().unwrap()]).ended(0);
}

#[test]
fn expressions_are_evaluated_line_by_line() {
    let lines = b"{\"expression\": \"a + 1\", \"variables\": {\"a\": 2}}\n\n{\"expression\": \"a +\"}\n";
    let run = run_command(program(&["eval"]), lines).ended(1);
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "{\"value\":3}"));
    assert!(lines[1].starts_with("{\"error\":"), "{lines:?}");
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    let typed = b"{\"expression\": \"risk == 'steady' && aum >= 500000\", \"variables\": {\"risk\": \"steady\", \"aum\": 600000}}";
    run_command(program(&["eval", "--models", path]), typed).ended(0).says(&["{\"value\":true}"]);
}

#[test]
fn a_line_that_cannot_be_read_does_not_end_an_evaluation() {
    let mut lines = b"{\"expression\": \"\xff\"}\n".to_vec();
    lines.extend_from_slice(&[b'a'; 3 << 20]);
    lines.extend_from_slice(b"\n{\"expression\": \"1 + 1\"}");
    let run = run_command(program(&["eval"]), &lines).ended(1);
    let expected = [
        "{\"error\":\"the line is not UTF-8\"}",
        "{\"error\":\"the line is longer than 1048576 bytes\"}",
        "{\"value\":2}",
    ];
    assert_eq!(run.out.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn golden_decisions_show_what_differs() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    run(&["test", path]).ended(0).says(&["3 of 3 golden decisions came out"]);
    run(&["test", path, "--only", "consent", "--all"]).ended(0).says(&["ok     without consent", "1 of 1"]);
    run(&["test", path, "--only", "nonsense"]).ended(2).says(&["no case has \"nonsense\" in its name"]);
    write(bundle.path(), "rule-sets/a_wealth.yaml", WEALTH.replace("500000", "700000"));
    let told = [
        "WRONG  steady sees steady (line 1)",
        "expected  steady_r2",
        "found     the fallback brand",
        "because   steady_r2: stopped by when: aum >= 700000",
        "2 of 3 golden decisions came out",
    ];
    run(&["test", path]).ended(1).says(&told);
    let json: serde_json::Value = serde_json::from_str(&run(&["test", path, "--json"]).ended(1).out).unwrap();
    assert_eq!(
        (json["wrong"].as_u64(), json["cases"][0]["differences"][0]["placement"].as_str()),
        (Some(1), Some("home_banner"))
    );
    write(bundle.path(), "golden.yaml", "[]\n");
    for args in [&["test", path][..], &["test", path, "--only", "x"]] {
        run(args).ended(2).says(&["golden.yaml of ", " has no cases"]);
    }
    std::fs::remove_file(bundle.path().join("golden.yaml")).unwrap();
    run(&["test", path]).ended(2).says(&["has no golden.yaml"]);
}

#[test]
fn a_warning_that_is_accepted_is_counted_and_does_not_stop_a_pipeline() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    let tag = "tags: {idle: age > 3}\n";
    write(bundle.path(), "rule-sets/a_wealth.yaml", WEALTH.to_owned() + tag);
    run(&["check", "--strict", path]).ended(1).says(&["nothing uses tag `idle` [unused_tag]"]);
    let accept = "accept:\n  - {warning: unused_tag, at: tags.idle, because: the next campaign needs it}\n";
    write(bundle.path(), "rule-sets/a_wealth.yaml", WEALTH.to_owned() + tag + accept);
    let run = run(&["check", path]).ended(0);
    assert!(!run.err.contains("unused_tag"), "{}", run.err);
    run.says(&["1 more is accepted"]);
}

#[test]
fn a_channel_without_a_placement_and_an_odd_locale_are_told() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    write(bundle.path(), "schema.yaml", SCHEMA.replace("features:", "channels: [app, fax]\nfeatures:"));
    write(
        bundle.path(),
        "golden.yaml",
        GOLDEN.replace("channel: app, placements", "channel: app, locale: english, placements"),
    );
    run(&["check", path]).ended(0).says(&[
        "schema.yaml:2:17: warning: no placement is on the channel `fax` [one_sided]",
        "warning: steady sees steady: `english` is not a language as requests name them [locale]",
    ]);
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("man1");
    run(&["man", path.to_str().unwrap()]).ended(0).says(&[" pages in "]);
    for name in ["usher", "usher-push", "usher-diff", "usher-keys-new"] {
        let page = std::fs::read_to_string(path.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}: {page}");
    }
    let page = std::fs::read_to_string(path.join("usher-push.1")).unwrap();
    assert!(page.contains("prune") && page.contains("Examples:"), "{page}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        run(&["completions", shell]).ended(0).says(&["usher", "explain", "rollback", "if-match"]);
    }
    let script = write(folder.path(), "usher.bash", run(&["completions", "bash"]).out);
    let checked = std::process::Command::new("bash").arg("-n").arg(script).status();
    assert!(checked.is_ok_and(|status| status.success()));
    run(&["completions", "tcsh"]).ended(2);
}
