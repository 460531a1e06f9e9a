//! Every bundle that comes with Usher passes its own check, golden decisions included.

mod cli_support;

use cli_support::*;

#[test]
fn the_bundles_that_come_along_are_right() {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut checked = 0;
    for entry in std::fs::read_dir(models).unwrap() {
        let path = entry.unwrap().path();
        if path.join("schema.yaml").exists() {
            run(&["check", path.to_str().unwrap()]).ended(0).says(&["right", "golden decision"]);
            checked += 1;
        }
    }
    assert!(checked > 0, "there is no bundle");
}
