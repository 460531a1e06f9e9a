//! The command line against a running server.

mod cli_support;

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use cli_support::*;

fn with_bundle() -> (tempfile::TempDir, Server) {
    let bundle = bundle();
    let server = Server::start(&["--models", &bundle.path().to_string_lossy()]);
    (bundle, server)
}

/// First nobody listens, then a server says that it is starting, and then it is ready.
#[test]
fn a_command_waits_for_a_server_that_is_not_there_yet_or_still_starting() {
    let listener = TcpListener::bind("127.0.0.4:0").unwrap(); // no other test takes its port meanwhile
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let versions = |address: &str, more: &[&str]| {
        let url = format!("http://{address}");
        run(&[&["versions", "a_wealth", "--server", &url], more].concat())
    };
    let begun = Instant::now();
    versions(&address, &["--wait=1"]).ended(2).says(&["no server at", "connection refused"]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    versions(&address, &["--wait=0"]).ended(2).says(&["0 is not in 1..=3600"]);
    let waiting = std::thread::spawn({
        let address = address.clone();
        move || versions(&address, &["--wait=60"])
    });
    std::thread::sleep(Duration::from_millis(300));
    let starting = TcpListener::bind(&address).unwrap();
    for _ in 0..2 {
        let said = "503 Service Unavailable\r\ncontent-type: application/problem+json\r\nconnection: close";
        answer_next(&starting, said, "{\"detail\": \"the node is still starting; try again in a second\"}");
    }
    drop(starting);
    let bundle = bundle();
    let _server = Server::start_on(&address, &["--models", &bundle.path().to_string_lossy()]);
    waiting.join().unwrap().ended(0).says(&["version 1: active"]);
}

#[test]
fn serves_a_bundle_and_stops_when_asked() {
    let (_bundle, server) = with_bundle();
    server.run(&["health"]).ended(0).says(&["ready"]);
    server.run(&["decide", "nobody", "home_banner"]).ended(0).says(&[
        "not known",
        "home_banner (fallback)",
        "brand",
    ]);
    assert_eq!(server.terminate(), 0);
}

#[test]
fn a_wrong_bundle_is_not_served() {
    let bundle = bundle();
    write(bundle.path(), "rule-sets/a_wealth.yaml", WEALTH.replace("risk ==", "riks =="));
    let run =
        run(&["serve", "--listen", "127.0.0.1:0", "--models", bundle.path().to_str().unwrap()]).ended(2);
    run.says(&["did you mean `risk`?", "usher check"]);
}

#[test]
fn a_port_that_is_taken_says_so() {
    let (_bundle, server) = with_bundle();
    let address = server.url.trim_start_matches("http://");
    run(&["serve", "--listen", address]).ended(2).says(&["in use", "127.0.0.1:0"]);
}

#[test]
fn a_version_keeps_its_author_and_message_through_restarts() {
    let bundle = bundle();
    let data = tempfile::tempdir().unwrap();
    let start = || {
        Server::start(&["--data", data.path().to_str().unwrap(), "--models", bundle.path().to_str().unwrap()])
    };
    let server = start();
    let file = write(bundle.path(), "rule-sets/a_wealth.yaml", WEALTH.replace("500000", "600000"));
    let file = file.to_str().unwrap();
    server.run(&["push", file, "--author", "An Nguyễn", "-m", "Raise the floor"]).ended(0);
    let told =
        ["version 2: active", "by An Nguyễn: Raise the floor", "version 1: ", "tag of the active version"];
    server.run(&["versions", "a_wealth"]).ended(0).says(&told);
    let schema = bundle.path().join("schema.yaml");
    let schema = schema.to_str().unwrap();
    for (flags, said) in [
        (&["--author", "An"][..], "schema.yaml: versions of rule sets keep --author, and this is a schema"),
        (&["-m", "Why"], "schema.yaml: versions of rule sets keep --message, and this is a schema"),
    ] {
        server.run(&[&["push", schema], flags].concat()).ended(2).says(&[said]);
    }
    server.run(&["push", schema]).ended(0);
    server.run(&["compact"]).ended(0);
    assert_eq!(server.terminate(), 0);
    let server = start();
    server.run(&["versions", "a_wealth", "--wait"]).ended(0).says(&told);
    server.run(&["versions"]).ended(0).says(&["a_wealth: version 2 is active, 2 versions kept"]);
    server.run(&["versions", "a_welth"]).ended(1).says(&["did you mean `a_wealth`?"]);
}

#[test]
fn versions_are_compared_by_meaning() {
    let (bundle, server) = with_bundle();
    let same = WEALTH
        .replace("risk == 'steady' && aum >= 500000", "\"risk=='steady'  &&  aum >= 500000\" # as before");
    let file = write(bundle.path(), "same.yaml", same);
    server.run(&["diff", "a_wealth", "active", file.to_str().unwrap()]).ended(0).says(&["say the same"]);
    let other = WEALTH.replace("500000", "600000").replace("  steady_r2:", "  new_one:")
        + &WEALTH.replacen("rule_set: a_wealth\noffers:\n", "", 1).replace("500000", "600000");
    let file = write(bundle.path(), "other.yaml", other);
    let file = file.to_str().unwrap();
    let told = [
        "+ offer new_one",
        "~ offer steady_r2",
        "when: risk == 'steady' && aum >= 500000  →  risk == 'steady' && aum >= 600000",
    ];
    server.run(&["diff", "a_wealth", "1", file]).ended(1).says(&told);
    let json = server.run(&["diff", "a_wealth", "1", file, "--json"]).ended(1);
    assert!(json.out.contains("\"kind\":\"changed\""), "{}", json.out);
    server.run(&["diff", "a_wealth"]).ended(1).says(&["has no previous version"]);
    server.run(&["diff", "a_wealth", "7", file]).ended(1).says(&["no version 7"]);
}

#[test]
fn an_offer_is_explained_in_two_sentences() {
    let (_bundle, server) = with_bundle();
    for (args, told) in [
        (
            &["nobody", "home_banner", "steady_r2"][..],
            &[
                "`nobody`, who is not known, is not shown `steady_r2` on `home_banner`, because",
                "It would pass here with",
            ][..],
        ),
        (
            &["nobody", "home_banner", "stedy_r2"],
            &["no active rule set has an offer `stedy_r2`", "did you mean `steady_r2`?"],
        ),
        (
            &["nobody", "home_baner", "steady_r2"],
            &["PLACEMENT: unknown placement", "did you mean `home_banner`?"],
        ),
    ] {
        let code = i32::from(args != ["nobody", "home_banner", "steady_r2"]);
        server.run(&[&["explain"], args].concat()).ended(code).says(told);
    }
    let json = server.run(&["explain", "nobody", "home_banner", "steady_r2", "--json"]).ended(0);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json["shown"].as_bool(), json["sentences"].as_array().map(Vec::len)), (Some(false), Some(2)));
}

#[test]
fn a_change_is_made_only_over_what_it_was_made_from() {
    let (bundle, server) = with_bundle();
    let versions = server.run(&["versions", "a_wealth", "--json"]).ended(0);
    let versions: serde_json::Value = serde_json::from_str(&versions.out).unwrap();
    let tag = versions["tag"].as_str().unwrap().trim_matches('"').to_owned();
    let file = write(bundle.path(), "rule-sets/a_wealth.yaml", WEALTH.replace("500000", "600000"));
    let file = file.to_str().unwrap();
    server.run(&["push", file, "--if-match", &tag]).ended(0);
    server.run(&["push", file, "--if-match", &tag]).ended(1).says(&["version 2 is active"]);
    server.run(&["rollback", "a_wealth", "--if-match", &tag]).ended(1).says(&["version 2 is active"]);
    server
        .run(&["push", bundle.path().to_str().unwrap(), "--if-match", &tag])
        .ended(2)
        .says(&["is for one file"]);
}

#[test]
fn push_load_decide_and_roll_back() {
    let bundle = bundle();
    let server = Server::start(&[]);
    let path = bundle.path().to_str().unwrap();
    let pushed = server.run(&["push", path]).ended(0);
    pushed.says(&[
        "schema: in force",
        "a_rails: version 1 active",
        "slots: version 1 active",
        "a_wealth: version 1 active",
        "compiled in ",
    ]);

    let file = write(
        bundle.path(),
        "c.csv",
        "customer,risk,aum,consent\nc-1,steady,600000,true\nc-2,balanced,5,true\n",
    );
    server.run(&["load", file.to_str().unwrap()]).ended(0).says(&["2 accepted, 0 rejected"]);
    server.run(&["decide", "c-1", "home_banner"]).ended(0).says(&["steady_r2", "Matches your profile"]);
    server.run(&["decide", "c-1", "home_banner", "--locale", "zh-CN"]).ended(0).says(&["符合您的风险偏好"]);
    let raw = server.run(&["decide", "c-2", "home_banner", "--json"]).ended(0);
    let raw: serde_json::Value = serde_json::from_str(&raw.out).unwrap();
    assert_eq!(raw["placements"][0]["fallback"], true);
    server.run(&["decide", "c-2", "home_banner", "--explain"]).ended(0).says(&[
        "steady_r2",
        "when",
        "steady",
    ]);

    let wealth = write(bundle.path(), "w.yaml", WEALTH.replace("500000", "700000"));
    let wealth = wealth.to_str().unwrap();
    server.run(&["push", wealth, "--no-activate"]).ended(0).says(&["version 2 published, not active"]);
    server.run(&["decide", "c-1", "home_banner"]).ended(0).says(&["steady_r2"]);
    server.run(&["push", wealth, "--json"]).ended(0).says(&["\"version\":2", "\"new\":false"]);
    server.run(&["decide", "c-1", "home_banner"]).ended(0).says(&["fallback"]);
    server.run(&["rollback", "a_wealth"]).ended(0).says(&["version 1"]);
    server.run(&["decide", "c-1", "home_banner"]).ended(0).says(&["steady_r2"]);
    server.run(&["rollback", "nothing"]).ended(1);
    server.run(&["rollback", "nothing", "--json"]).ended(1).problems();
}

#[test]
fn a_preview_supposes_features_and_a_draft() {
    let (bundle, server) = with_bundle();
    let rich = ["--feature", "risk=steady", "--feature", "aum=600000", "--feature", "consent=true"];
    let ask = |more: &[&str]| server.run(&[&["decide", "nobody", "home_banner"], &rich[..], more].concat());
    ask(&[]).ended(0).says(&["steady_r2"]);
    ask(&["--feature", "consent=null"]).ended(0).says(&["fallback"]);
    ask(&["--as-of", "2024-06-01"]).ended(0).says(&["steady_r2"]);
    ask(&["--as-of", "soon"]).ended(1).says(&["--as-of: expected a time"]);
    let draft = write(bundle.path(), "draft.yaml", WEALTH.replace("500000", "700000"));
    let draft = draft.to_str().unwrap();
    ask(&["--draft", draft, "--explain"]).ended(0).says(&["fallback", "aum >= 700000"]);
    let wrong = write(bundle.path(), "wrong.yaml", WEALTH.replace("risk ==", "riks =="));
    ask(&["--draft", wrong.to_str().unwrap()]).ended(1).says(&["wrong.yaml:6", "did you mean `risk`?"]);
    ask(&["--draft", bundle.path().join("schema.yaml").to_str().unwrap()])
        .ended(2)
        .says(&["this is a schema"]);
    server.run(&["decide", "nobody", "home_banner"]).ended(0).says(&["fallback"]);
}

#[test]
fn a_bundle_is_pushed_as_a_whole_or_not_at_all() {
    let (bundle, server) = with_bundle();
    let path = bundle.path().to_str().unwrap();
    // If several files name a placement and it gets another name, no order of pushing single files works.
    for (name, text) in [("slots", PLACEMENTS), ("a_wealth", WEALTH), ("golden", GOLDEN)] {
        let name = if name == "golden" { "../golden" } else { name };
        write(bundle.path(), &format!("rule-sets/{name}.yaml"), text.replace("home_banner", "start_banner"));
    }
    server.run(&["push", path]).ended(0).says(&["slots: version 2 active"]);
    server.run(&["decide", "c-1", "start_banner"]).ended(0).says(&["brand"]);
    write(bundle.path(), "rule-sets/rails.yaml", GUARDRAILS.replace("consent ||", "age > 17 ||"));
    write(bundle.path(), "rule-sets/slots.yaml", PLACEMENTS);
    std::fs::remove_file(bundle.path().join("golden.yaml")).unwrap(); // the server finds it, too
    server.run(&["push", path]).ended(1).says(&["a_wealth.yaml:", "start_banner", "nothing in"]);
    server.run(&["decide", "c-1", "start_banner"]).ended(0).says(&["brand"]);
    let explained = server.run(&["decide", "c-1", "start_banner", "--explain"]).ended(0);
    assert!(!explained.out.contains("age"), "the guardrails are as before: {}", explained.out);
}

#[test]
fn a_bundle_may_be_published_before_it_decides() {
    let bundle = bundle();
    let server = Server::start(&[]);
    let path = bundle.path().to_str().unwrap();
    let pushed = server.run(&["push", path, "--no-activate"]).ended(0);
    pushed.says(&["a_wealth: version 1 published, not active"]);
    server.run(&["decide", "c-1", "home_banner"]).ended(1);
    server.run(&["push", path]).ended(0).says(&["a_wealth: version 1 active (the server had this text)"]);
    server.run(&["decide", "c-1", "home_banner"]).ended(0).says(&["brand"]);
}

#[test]
fn a_bundle_whose_golden_decisions_do_not_come_out_is_not_pushed() {
    let (bundle, server) = with_bundle();
    let path = bundle.path().to_str().unwrap();
    write(bundle.path(), "rule-sets/a_wealth.yaml", WEALTH.replace("500000", "700000000"));
    let refused = server.run(&["push", path]).ended(1);
    refused.says(&["golden.yaml:", "nothing in"]);
    server.run(&["push", path, "--json"]).ended(1).problems();
    server.run(&["rollback", "a_wealth"]).ended(1).says(&["no earlier version"]);
}

#[test]
fn what_a_folder_does_not_have_is_named_and_retired_on_request() {
    let (bundle, server) = with_bundle();
    let path = bundle.path().to_str().unwrap();
    std::fs::remove_file(bundle.path().join("golden.yaml")).unwrap();
    std::fs::remove_file(bundle.path().join("rule-sets/a_wealth.yaml")).unwrap();
    let pushed = server.run(&["push", path]).ended(0);
    pushed.says(&["not in ", "but still active on the server: a_wealth", "--prune` retires"]);
    let pruned = server.run(&["push", path, "--prune"]).ended(0);
    let pruned = pruned.says(&["a_wealth: retired"]);
    assert!(!pruned.err.contains("still active"), "{}", pruned.err);
    assert!(!server.run(&["push", path]).ended(0).err.contains("still active"));
    server
        .run(&["push", &format!("{path}/rule-sets/slots.yaml"), "--prune"])
        .ended(2)
        .says(&["this is a file"]);
    server.run(&["push", path, "--prune", "--no-activate"]).ended(2);
}

#[test]
fn a_schema_of_another_name_is_not_pushed_or_served_by_mistake() {
    let (bundle, server) = with_bundle();
    let path = bundle.path().to_str().unwrap();
    let name = SCHEMA.lines().find_map(|line| line.strip_prefix("schema: ")).unwrap();
    let schema =
        write(bundle.path(), "schema.yaml", SCHEMA.replace(&format!("schema: {name}"), "schema: other"));
    let schema = schema.to_str().unwrap();
    let why = format!("the schema in force is `{name}`, but this one is `other`");
    server.run(&["push", path]).ended(1).says(&["schema.yaml", &why, "--rename-schema", "nothing in"]);
    server.run(&["push", schema]).ended(1).says(&["schema.yaml", &why]);
    server.run(&["push", schema, "--rename-schema"]).ended(0).says(&["schema: in force"]);
    server.run(&["push", path]).ended(0);

    let data = bundle.path().join("data");
    let data = data.to_str().unwrap();
    assert_eq!(Server::start(&["--models", path, "--data", data]).terminate(), 0);
    assert_eq!(Server::start(&["--models", path, "--data", data]).terminate(), 0);
    write(bundle.path(), "schema.yaml", SCHEMA);
    let args = ["serve", "--listen", "127.0.0.1:0", "--models", path, "--data", data];
    run(&args).ended(2).says(&["the data directory has the schema `other`", &format!("is `{name}`")]);
}

#[test]
fn warnings_of_a_push_are_shown_in_the_local_file() {
    let (bundle, server) = with_bundle();
    // A condition that no customer can meet.
    let text = WEALTH.replace("risk ==", "age > 50 && age < 20 && risk ==");
    let file = write(bundle.path(), "mine.yaml", &text);
    server.run(&["push", file.to_str().unwrap()]).ended(0).says(&["mine.yaml:6:", "warning: ", "age < 20"]);
}

#[test]
fn a_refused_push_shows_the_local_file_and_changes_nothing() {
    let (bundle, server) = with_bundle();
    let wrong = write(bundle.path(), "wrong.yaml", WEALTH.replace("risk ==", "riks =="));
    let run = server.run(&["push", wrong.to_str().unwrap()]).ended(1);
    run.says(&["wrong.yaml:6:", "riks == 'steady'", "^", "did you mean `risk`?"]);
    server
        .run(&["push", write(bundle.path(), "no.yaml", "a: 1").to_str().unwrap()])
        .ended(1)
        .says(&["neither"]);
}

#[test]
fn wrong_requests_end_with_1_and_name_the_nearest() {
    let (_bundle, server) = with_bundle();
    server.run(&["decide", "c-1", "home_baner"]).ended(1).says(&["home_banner"]);
    server.run(&["decide", "c-1", "home_banner", "--channel", "ap"]).ended(1).says(&["app"]);
    server.run(&["decide", "c-1", "home_banner", "--context", "pge=home"]).ended(1).says(&["page"]);
    server.run(&["decide", "c-1", "home_banner", "--context", "page=home"]).ended(0);
    let problems = server.run(&["decide", "c-1", "home_baner", "--json"]).ended(1).problems();
    assert!(problems.contains("home_baner"), "{problems}");
}

#[test]
fn a_lost_quote_in_a_file_costs_its_own_row() {
    let (bundle, server) = with_bundle();
    let mut text = "customer,age\n".to_owned();
    for i in 0..12_000 {
        text.push_str(&if i == 100 { "lost,\"40\n".into() } else { format!("c-{i},40\n") });
    }
    let file = write(bundle.path(), "quote.csv", text);
    let run = server.run(&["load", file.to_str().unwrap()]).ended(1);
    run.says(&[
        "quote.csv:102: the quote opened on line 102 is never closed",
        "12,000 rows",
        "11,999 accepted, 1 rejected",
    ]);
}

#[test]
fn files_are_loaded_however_they_begin_and_end() {
    let (bundle, server) = with_bundle();
    let mapping = bundle.path().join("imports/foreign.yaml");
    let mapping = mapping.to_str().unwrap();
    let native = |text: &str| text.replace("years;default;y", "customer,age,consent").replace(';', ",");
    for (name, text, code, expected) in [
        ("bom", "\u{feff}years;default;y\n41;yes;no\n", 0, "1 accepted, 0 rejected"),
        ("bom and quotes", "\u{feff}\"years\";\"default\";\"y\"\n41;yes;no\n", 0, "1 accepted, 0 rejected"),
        ("crlf", "years;default;y\r\n41;yes;no\r\n42;no;no\r\n", 0, "2 accepted, 0 rejected"),
        ("no line end", "years;default;y\n41;yes;no", 0, "1 accepted, 0 rejected"),
        ("header only", "years;default;y\n", 0, "0 accepted, 0 rejected"),
        ("header without line end", "years;default;y", 0, "0 accepted, 0 rejected"),
        ("nothing", "", 2, "it is empty"),
        ("a bom only", "\u{feff}", 2, "it is empty"),
        ("blank lines", "\r\n\n", 2, "it is empty"),
    ] {
        let file = write(bundle.path(), "f.csv", text);
        let file = file.to_str().unwrap();
        let run = server.run(&["load", file, "--mapping", mapping]);
        assert!(run.code == code && format!("{}{}", run.out, run.err).contains(expected), "{name}: {run:?}");
        if name != "bom and quotes" {
            let text = native(text).replace(",yes,no", ",40,true").replace(",no,no", ",40,true");
            let file = write(bundle.path(), "n.csv", text);
            let run = server.run(&["load", file.to_str().unwrap()]);
            let right = run.code == code && format!("{}{}", run.out, run.err).contains(expected);
            assert!(right, "{name}, native: {run:?}");
        }
    }
}

#[test]
fn a_server_may_be_stopped_as_soon_as_it_says_where_it_is() {
    for _ in 0..5 {
        assert_eq!(Server::start(&[]).terminate(), 0);
    }
}

#[test]
fn a_server_that_stops_gives_notice_first() {
    let bundle = bundle();
    let server = Server::start(&["--models", &bundle.path().to_string_lossy(), "--stop-notice", "2"]);
    server.ask_to_stop();
    std::thread::sleep(Duration::from_millis(500));
    server.run(&["health"]).ended(1).says(&["not ready"]);
    server.run(&["decide", "nobody", "home_banner"]).ended(0).says(&["brand"]);
    assert_eq!(server.terminate(), 0);
}

#[test]
fn loading_translates_reports_lines_and_takes_the_good_rows() {
    let (bundle, server) = with_bundle();
    let mapping = bundle.path().join("imports/foreign.yaml");
    let mapping = mapping.to_str().unwrap();
    let mut text = "years;default;y\n".to_owned();
    for i in 0..12_000 {
        text.push_str(if i == 7_000 { "999;yes;no\n" } else { "40;yes;no\n" });
    }
    let file = write(bundle.path(), "foreign.csv", &text);
    let file = file.to_str().unwrap();
    let run = server.run(&["load", file, "--mapping", mapping]).ended(1);
    run.says(&["foreign.csv:7002: column years:", "0 to 120", "12,000 rows", "11,999 accepted, 1 rejected"]);
    server
        .run(&["load", file, "--mapping", mapping, "--dry-run", "--json"])
        .ended(1)
        .says(&["\"rejected\":1", "\"line\":7002"]);
    server.run(&["load", file]).ended(2).says(&["no column `customer`", "--mapping"]);
    let unknown = write(bundle.path(), "unknown.csv", "years,default,z\n1,yes,no\n");
    server
        .run(&["load", unknown.to_str().unwrap(), "--mapping", mapping])
        .ended(2)
        .says(&["\"z\" of the file is neither"]);
}

/// Two days of a foreign file. What the second leaves out is kept, and what it says is not known is cleared.
#[test]
fn what_a_file_says_is_not_known_is_cleared_and_an_empty_cell_does_as_told() {
    let (bundle, server) = with_bundle();
    let case = std::path::Path::new("tests/cases/import-not-known");
    let case = |name: &str| case.join(name).to_str().unwrap().to_owned();
    let features = |id: &str| {
        let answer: serde_json::Value =
            serde_json::from_str(&server.get(&format!("/v1/customers/{id}"))).unwrap();
        answer["features"].clone()
    };
    let load = |day: &str, mapping: &str, more: &[&str]| {
        let (day, mapping) = (case(day), case(mapping));
        server.run(&[&["load", &day, "--mapping", &mapping][..], more].concat()).ended(0)
    };
    load("monday.csv", "keeping.yaml", &[]).says(&["2 accepted, 0 rejected\n"]);
    let known = serde_json::json!({"age": 40, "risk": "steady", "aum": 10.5, "consent": true});
    assert_eq!((features("n-1"), features("n-2")), (known.clone(), known.clone()));
    let said =
        ["2 right, 0 rejected; 2 empty cells keep what is known; 5 cells clear their features; nothing"];
    load("tuesday.csv", "keeping.yaml", &["--dry-run"]).says(&said);
    assert_eq!(features("n-1"), known, "a dry run changes nothing");
    load("tuesday.csv", "keeping.yaml", &["--json"]).says(&["\"cells_kept\":2", "\"cells_cleared\":5"]);
    assert_eq!(features("n-1"), serde_json::json!({"age": 41}));
    assert_eq!(features("n-2"), serde_json::json!({"aum": 10.5, "risk": "steady"}));
    load("monday.csv", "clearing.yaml", &[]).says(&["2 accepted"]);
    load("tuesday.csv", "clearing.yaml", &[]).says(&["1 empty cell keeps", "6 cells clear"]);
    assert_eq!(features("n-2"), serde_json::json!({"risk": "steady"}), "its column keeps");

    let native = write(bundle.path(), "n.csv", "customer,age,aum\nn-2,44,7\n");
    server.run(&["load", native.to_str().unwrap()]).ended(0);
    let native = write(bundle.path(), "n.csv", "customer,age,aum\nn-2,,8\n");
    let native = native.to_str().unwrap();
    server.run(&["load", native, "--empty", "keep"]).ended(0).says(&["1 empty cell keeps what is known"]);
    assert_eq!(features("n-2"), serde_json::json!({"age": 44, "risk": "steady", "aum": 8.0}));
    server.run(&["load", native, "--empty", "clear"]).ended(0).says(&["1 cell clears its feature"]);
    assert_eq!(features("n-2"), serde_json::json!({"risk": "steady", "aum": 8.0}));
    let both = server.run(&["load", native, "--empty", "keep", "--mode", "replace"]).ended(2);
    both.says(&["clears what a row does not give"]);
    let lines = write(bundle.path(), "n.ndjson", r#"{"customer": "n-2", "aum": null}"#);
    let lines = lines.to_str().unwrap();
    server.run(&["load", lines, "--empty", "clear"]).ended(2).says(&["NDJSON has no cells"]);
    server.run(&["load", lines]).ended(0);
    assert_eq!(features("n-2"), serde_json::json!({"risk": "steady"}), "null clears");
}

#[test]
fn loading_reads_compressed_files_and_ndjson() {
    let (bundle, server) = with_bundle();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"customer,age\na,40\n").unwrap();
    let zst = zstd::encode_all(
        &b"{\"customer\": \"b\", \"age\": 41}\n\n{\"customer\": \"c\", \"age\": 400}"[..],
        1,
    )
    .unwrap();
    let gz = write(bundle.path(), "c.csv.gz", gz.finish().unwrap());
    let zst = write(bundle.path(), "c.ndjson.zst", zst);
    server.run(&["load", gz.to_str().unwrap()]).ended(0).says(&["1 accepted"]);
    server
        .run(&["load", zst.to_str().unwrap()])
        .ended(1)
        .says(&["c.ndjson.zst:3:", "1 accepted, 1 rejected"]);
    server.run(&["load", "c.unknown"]).ended(2);
    let piped = run_command(
        program(&["load", "-", "--format", "csv", "--server", &server.url]),
        b"customer,age\nd,1\n",
    );
    piped.ended(0).says(&["1 accepted"]);
}

#[test]
fn loading_stops_at_too_many_errors() {
    let (bundle, server) = with_bundle();
    let file = write(bundle.path(), "c.csv", format!("customer,age\n{}", "x,999\n".repeat(9_000)));
    let run = server.run(&["load", file.to_str().unwrap(), "--max-errors", "3"]).ended(1);
    run.says(&["stopped: too many errors", "0 accepted"]);
    // One row with two problems counts as one row.
    let file = write(bundle.path(), "d.csv", "customer,age,aum\na,999,-1\nb,999,-1\nc,1,1\n");
    let run = server.run(&["load", file.to_str().unwrap(), "--max-errors", "0"]).ended(1);
    run.says(&["0 accepted, 2 rejected"]);
}

#[test]
fn a_bundle_is_pushed_in_one_request() {
    let bundle = bundle();
    let path = bundle.path().to_str().unwrap();
    let answer = r#"{"sequence": 1, "compiled_in_us": 77, "rule_sets": [{"name": "slots", "version": 4, "active": false}]}"#;
    let (url, served) = answer_once("200 OK", answer);
    let pushed = run(&["push", path, "--no-activate", "--server", &url]).ended(0);
    pushed.says(&["schema: in force", "slots: version 4 published, not active", "compiled in 77 µs"]);
    let (head, body) = served.join().unwrap();
    assert!(head.starts_with("PUT /v1/bundle?activate=false "), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["schema"], body["rule_sets"].as_array().unwrap().len()), (&SCHEMA.into(), 3));
    assert_eq!(body["rule_sets"][0], serde_json::json!({"file": "a_wealth.yaml", "text": WEALTH}));
}

#[test]
fn problems_of_a_bundle_are_shown_in_their_files() {
    let bundle = bundle();
    let answer = r#"{"errors": [{"detail": "there already", "source": "slots.yaml", "line": 3, "column": 3},
        {"detail": "also here", "source": "other", "line": 3, "column": 3}]}"#;
    for json in [false, true] {
        let (url, served) = answer_once("409 Conflict", answer);
        let args = ["push", bundle.path().to_str().unwrap(), "--server", &url, "--json"];
        let run = run(&args[..if json { 5 } else { 4 }]).ended(1);
        served.join().unwrap();
        if json {
            run.problems();
            continue;
        }
        let run = run.says(&[
            "slots.yaml:3:3: there already\n  3 |   home_banner",
            "other:3:3: also here\n2 problems",
        ]);
        assert!(run.says(&["nothing in"]).out.is_empty());
    }
}

#[test]
fn a_snapshot_is_taken_on_request() {
    let taken = r#"{"sequence": 1200, "customers": 7, "bytes": 9000, "digest": "00000000000000ab",
        "taken_at": "2026-11-21T10:00:00Z"}"#;
    for (args, expected) in [
        (&["compact"][..], "sequence 1,200, 7 customers, 9,000 bytes, digest 00000000000000ab"),
        (&["compact", "--json"], "\"digest\":\"00000000000000ab\""),
    ] {
        let (url, served) = answer_once("201 Created", taken);
        run(&[args, &["--server", &url]].concat()).ended(0).says(&[expected]);
        assert!(served.join().unwrap().0.starts_with("POST /v1/snapshots "));
    }
    let (url, served) = answer_once("507 Insufficient Storage", r#"{"detail": "the disk is full"}"#);
    run(&["compact", "--server", &url]).ended(2).says(&["the disk is full"]);
    served.join().unwrap();
}

#[test]
fn a_server_in_memory_takes_no_snapshot() {
    let server = Server::start(&[]);
    server.run(&["compact"]).ended(1).says(&["--data DIR"]);
    let problems = server.run(&["compact", "--json"]).ended(1).problems();
    assert!(problems.contains("--data DIR"), "{problems}");
}

#[test]
fn counts_audiences_and_shows_what_is_wrong_with_a_condition() {
    let (bundle, server) = with_bundle();
    let file = write(
        bundle.path(),
        "c.csv",
        "customer,risk,aum,consent\nc-1,steady,600000,true\nc-2,balanced,5,true\nc-3,,,\nc-4,steady,1,false\n",
    );
    server.run(&["load", file.to_str().unwrap()]).ended(0);
    server.run(&["count", "consent && aum < 1000"]).ended(0).says(&["1 of 4 customers (25.00 %)"]);
    let raw = server.run(&["count", "risk == 'steady'", "--json"]).ended(0);
    let raw: serde_json::Value = serde_json::from_str(&raw.out).unwrap();
    assert_eq!((&raw["matching"], &raw["total"]), (&2.into(), &4.into()));
    let wrong = server.run(&["count", "consent &&\n riks == 'steady'"]).ended(1);
    wrong.says(&[
        "condition:2:2: there is no feature",
        "  2 |  riks == 'steady'\n    |  ^^^^",
        "did you mean `risk`?",
    ]);
    server.run(&["count", "context.page == 'home'", "--json"]).ended(1).says(&["no request", "\"column\":1"]);
    server.run(&["count", "consent", "--rule-set", "a_welth"]).ended(1).says(&["did you mean `a_wealth`?"]);
}

#[test]
fn tells_what_was_decided() {
    let (_bundle, server) = with_bundle();
    for _ in 0..3 {
        server.run(&["decide", "nobody", "home_banner"]).ended(0);
    }
    let told = server.run(&["stats", "--by", "offer,channel"]).ended(0);
    told.says(&[
        "offer  channel  decisions",
        "brand  app              3",
        "total",
        "home_banner  app          3",
    ]);
    let raw = server.run(&["stats", "--by", "", "--channel", "app", "--json"]).ended(0);
    let raw: serde_json::Value = serde_json::from_str(&raw.out).unwrap();
    assert_eq!((&raw["rows"][0]["decisions"], &raw["rows"][0]["fallbacks"]), (&3.into(), &3.into()));
    server.run(&["stats", "--offer", "brnd"]).ended(2).says(&["unknown offer", "did you mean `brand`?"]);
    server.run(&["stats", "--by", "ofer"]).ended(2).says(&["did you mean `offer`?"]);
}
