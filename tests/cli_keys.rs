//! Keys of proposition tokens: `usher keys`, `--token-keys`, and the key of a data directory.
#![allow(clippy::unwrap_used)] // a helper that cannot go on fails its test

mod cli_support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use cli_support::*;

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A server that has read its state back, and its key with it.
fn ready(args: &[&str]) -> Server {
    let server = Server::start(args);
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.run(&["health"]).code != 0 {
        assert!(Instant::now() < deadline, "not ready after 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// The ids in a file of keys, in the order of the file.
fn ids(path: &Path) -> Vec<String> {
    let text = text(path);
    let keys = text.lines().filter(|line| !line.starts_with('#'));
    keys.map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn a_file_is_made_once_and_rotated_as_often_as_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token.keys");
    let file = path.to_str().unwrap();
    run(&["keys", "new", file]).ended(0).says(&["made ", "--token-keys"]);
    assert_eq!((fs::metadata(&path).unwrap().mode() & 0o777, ids(&path)), (0o600, vec!["1".to_owned()]));
    let made = text(&path);
    run(&["keys", "new", file]).ended(2).says(&["is there already", "usher keys rotate"]);
    assert_eq!(text(&path), made);
    run(&["keys", "rotate", file]).ended(0).says(&[
        "key 2 is new",
        "key 1 are still accepted",
        "one after the other",
    ]);
    assert_eq!(ids(&path), ["2", "1"]);
    assert_eq!(text(&path).lines().last(), made.lines().last(), "the former key is as it was");
    assert!(text(&path).contains("# checksum: "));
    run(&["keys", "rotate", file]).ended(0).says(&["key 3 is new", "Key 1 is dropped", "refused"]);
    assert_eq!(
        (ids(&path), fs::metadata(&path).unwrap().mode() & 0o777),
        (vec!["3".into(), "2".into()], 0o600)
    );
}

#[test]
fn what_is_no_file_of_keys_is_refused_without_showing_it() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c7";
    let file = write(folder.path(), "k", format!("# ours\n1:{secret}\n"));
    let file = file.to_str().unwrap();
    for command in
        [&["keys", "rotate", file][..], &["serve", "--listen", "127.0.0.1:0", "--token-keys", file]]
    {
        let run = run(command).ended(2).says(&["k:2: expected ID:KEY", "found 62 digits"]);
        assert!(!run.err.contains(&secret[..8]), "{}", run.err);
    }
    run(&["keys", "rotate", "/nowhere/k"]).ended(2).says(&["cannot read /nowhere/k", "usher keys new"]);
    run(&["serve", "--token-keys", "/nowhere/k"])
        .ended(2)
        .says(&["cannot read /nowhere/k", "usher keys new"]);
    run(&["keys"]).ended(2).says(&["new", "rotate"]);
}

#[test]
fn settings_of_tokens_come_from_everywhere() {
    run(&["serve", "--token-life", "91d"]).ended(2).says(&["--token-life: expected from 1m to 90d"]);
    let mut command = program(&["serve"]);
    command.env("USHER_TOKEN_LIFE", "30").env("USHER_TOKEN_KEYS", "/nowhere/k");
    run_command(command, b"").ended(2).says(&["USHER_TOKEN_LIFE: expected"]);
    let mut command = program(&["serve"]);
    command.env("USHER_TOKEN_KEYS", "/nowhere/k");
    run_command(command, b"").ended(2).says(&["cannot read /nowhere/k"]);
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "usher.toml", "token_life = '12x'\ntoken_keys = '/nowhere/k'\n");
    run(&["serve", "--config", file.to_str().unwrap()])
        .ended(2)
        .says(&["usher.toml:1: token_life: expected"]);
}

#[test]
fn a_data_directory_gets_a_key_once_and_stays_whole() {
    let (bundle, folder) = (bundle(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let directory = data.to_str().unwrap();
    let args = ["--models", bundle.path().to_str().unwrap(), "--data", directory];
    let key = data.join("token.keys");
    let mut before = None;
    for _ in 0..2 {
        let server = ready(&args);
        assert_eq!((fs::metadata(&key).unwrap().mode() & 0o777, ids(&key).len()), (0o600, 1));
        server.run(&["compact"]).ended(0);
        assert_eq!(server.terminate(), 0);
        let kept = text(&key);
        assert_eq!(*before.get_or_insert(kept.clone()), kept);
        run(&["verify", directory]).ended(0);
    }
    for (damaged, says) in [
        (Some("nonsense\n".to_owned()), "token.keys:1: expected"),
        (
            Some(before.clone().unwrap().replace("1:", "2:")),
            "token.keys:2: the keys do not match their checksum",
        ),
        (None, "token.keys: it is gone, and this directory had one"),
    ] {
        match &damaged {
            Some(text) => drop(write(&data, "token.keys", text)),
            None => fs::remove_file(&key).unwrap(),
        }
        for (command, code) in
            [(&["serve", "--listen", "127.0.0.1:0", "--data", directory][..], 2), (&["verify", directory], 1)]
        {
            run(command).ended(code).says(&[says, "usher keys new ", "token.keys` makes a new key"]);
        }
        run(&["repair", directory, "--cut-at", "1"]).ended(2).says(&["there is nothing to give up"]);
        assert_eq!(fs::read_to_string(&key).ok(), damaged, "nothing was touched");
    }
    run(&["keys", "new", key.to_str().unwrap()]).ended(0);
    assert_eq!(ready(&args).terminate(), 0);
    run(&["verify", directory]).ended(0).says(&["keys      1 that sign"]);
}

#[test]
fn keys_of_an_earlier_release_get_a_checksum_at_the_start() {
    let (bundle, folder) = (bundle(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let directory = data.to_str().unwrap();
    let args = ["--models", bundle.path().to_str().unwrap(), "--data", directory];
    assert_eq!(ready(&args).terminate(), 0);
    let sealed = text(&data.join("token.keys"));
    let old: Vec<&str> = sealed.lines().filter(|line| !line.starts_with("# checksum")).collect();
    write(&data, "token.keys", old.join("\n"));
    run(&["verify", directory]).ended(0);
    assert_eq!(ready(&args).terminate(), 0);
    assert_eq!(text(&data.join("token.keys")), sealed);
}

#[test]
fn a_damaged_copy_of_a_small_file_is_reported_and_mended_by_a_start() {
    let (bundle, folder) = (bundle(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let directory = data.to_str().unwrap();
    let args = ["--models", bundle.path().to_str().unwrap(), "--data", directory];
    assert_eq!(ready(&args).terminate(), 0);
    for (file, at) in [("mark", 20), ("mark", 4_096 + 20), ("usher.id", 20), ("usher.id", 4_096 + 20)] {
        let mut bytes = fs::read(data.join(file)).unwrap();
        bytes[at] ^= 1;
        fs::write(data.join(file), bytes).unwrap();
        let says = format!("{file}, byte {}: one of its two copies is damaged", at - 20);
        run(&["verify", directory]).ended(1).says(&[&says, "it writes both anew"]);
        run(&["repair", directory, "--cut-at", "2"]).ended(2).says(&["there is nothing to give up"]);
        assert_eq!(ready(&args).terminate(), 0);
        run(&["verify", directory]).ended(0);
    }
}

#[test]
fn a_named_file_takes_the_place_of_the_directorys_own() {
    let (bundle, folder) = (bundle(), tempfile::tempdir().unwrap());
    let [data, file] = ["data", "shared.keys"].map(|name| folder.path().join(name));
    let [data_path, file] = [&data, &file].map(|path| path.to_str().unwrap());
    run(&["keys", "new", file]).ended(0);
    let args = ["--models", bundle.path().to_str().unwrap(), "--data", data_path, "--token-keys", file];
    let server = ready(&args);
    assert!(!data.join("token.keys").exists());
    assert_eq!(server.terminate(), 0);
}
