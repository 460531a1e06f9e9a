//! A page typed into bash, block by block.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, net, thread};

use super::compare::difference;
use super::page::{Block, Page, Role, commands};
use super::{root, tell};

/// How long the commands of one page may take; a debug build on a busy machine needs a tenth of it.
pub const TIME_LIMIT: Duration = Duration::from_secs(120);
/// The real data set that some pages load, and the place to look for it.
const BANK_CSV: &str = "bank-full.csv";

/// Put before each page: a `curl` that keeps its progress to itself, and fails with a refused request where
/// the page does not show the answer (`$strict`); how to wait for a server. `$work` is where outputs go.
const PRELUDE: &str = r#"
curl() { command curl --silent --show-error $strict "$@"; }
within_30_s() { for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; cat "$work/log"; return 1; }
port_is_free() { ! command curl "$USHER_SERVER/livez"; }
trap 'echo "$BASH_COMMAND" >>"$work/failed-$block"' ERR
"#;

/// A page's session: its folder, the folder of its outputs, and the port that stands for 8080.
struct Session<'p> {
    page: &'p Page,
    folder: tempfile::TempDir,
    work: tempfile::TempDir,
    port: u16,
    data: Option<PathBuf>,
}

pub fn has_program(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok()
}

/// Types a page's commands; one message for each block that does not do what is shown.
pub fn type_page(page: &Page) -> Vec<String> {
    if page.blocks.iter().any(|block| block.role == Role::Command) {
        type_with_data(page, bank_csv())
    } else {
        excerpts(page)
    }
}

fn type_with_data(page: &Page, data: Option<PathBuf>) -> Vec<String> {
    let port = net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let temporary = || tempfile::tempdir().unwrap();
    let session = Session { page, folder: temporary(), work: temporary(), port, data };
    copy(&root().join("models"), &session.folder.path().join("models"));
    if let Some(data) = &session.data {
        // A copy, never a link: a page that saves a file of this name would write through it.
        fs::copy(data, session.folder.path().join(BANK_CSV)).unwrap();
    }
    let started = Instant::now();
    let mut failures = excerpts(page);
    let ended = session.run();
    let mut before: Option<usize> = None;
    for (at, block) in page.blocks.iter().enumerate() {
        match block.role {
            _ if session.is_left_out(block) => {}
            Role::Command if !session.path("ended", at).exists() => {
                failures.push(session.unfinished(at, ended));
                break;
            }
            Role::Command => before = Some(at),
            Role::Output => failures.extend(before.and_then(|command| session.compare(command, block))),
            _ => {}
        }
    }
    failures.extend(session.silent_failures());
    tell(&format!("{}: {:.1} s", page.name, started.elapsed().as_secs_f64()));
    failures
}

/// Where the data set is, if the environment names it.
fn bank_csv() -> Option<PathBuf> {
    fs::canonicalize(root().join(env::var_os("USHER_BANK_CSV")?)).ok()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// Blocks that are said to stand in a file of `models/`, and do not.
fn excerpts(page: &Page) -> Vec<String> {
    let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let quotes = page.blocks.iter().filter_map(|block| match &block.role {
        Role::File(path) if path.starts_with("models/") => Some((block, path)),
        _ => None,
    });
    let wrong = quotes.filter(|(block, path)| {
        let file = fs::read_to_string(root().join(path)).unwrap_or_default();
        !trimmed(&file).contains(&trimmed(&block.text))
    });
    wrong.map(|(block, path)| format!("{}:{}: {path} has no such lines", page.name, block.line)).collect()
}

impl Session<'_> {
    /// A file of the session's own, of the block at this place.
    fn path(&self, what: &str, at: usize) -> PathBuf {
        self.work.path().join(format!("{what}-{at}"))
    }

    fn read(&self, what: &str, at: usize) -> String {
        String::from_utf8_lossy(&fs::read(self.path(what, at)).unwrap_or_default()).into_owned()
    }

    /// Runs the whole page; whether it came to its end in time.
    fn run(&self) -> bool {
        let programs = Path::new(env!("CARGO_BIN_EXE_usher")).parent().unwrap();
        let address = format!("127.0.0.1:{}", self.port);
        let script = self.work.path().join("script");
        fs::write(&script, self.script()).unwrap();
        let mut bash = Command::new("bash")
            .arg(script)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:{}", programs.display(), env::var("PATH").unwrap()))
            .env("HOME", env::var_os("HOME").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .env("USHER_LISTEN", &address)
            .env("USHER_SERVER", format!("http://{address}"))
            .env("work", self.work.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // with everything it starts, so that all of it can be ended
            .spawn()
            .unwrap();
        let ended = ends_in_time(&mut bash);
        let group = format!("-{}", bash.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = bash.wait();
        ended
    }

    /// The script: files are written and blocks typed in the order of the page, each with an output file of
    /// its own.
    fn script(&self) -> String {
        let mut script = PRELUDE.to_owned();
        for (at, block) in self.page.blocks.iter().enumerate() {
            match &block.role {
                Role::Command if self.is_left_out(block) => {
                    tell(&format!("{}:{}: left out, there is no {BANK_CSV}", self.page.name, block.line));
                }
                Role::Command => {
                    fs::write(self.path("block", at), self.typed(&block.text)).unwrap();
                    let strict = if self.is_shown(at) { "" } else { "--fail-with-body" };
                    script += &format!("block={at}; strict={strict}; exec >\"$work/printed-{at}\" 2>&1\n");
                    script += &format!("source \"$work/block-{at}\"\ntouch \"$work/ended-{at}\"\n");
                }
                Role::File(path) if !path.starts_with("models/") => {
                    fs::write(self.path("file", at), self.with_port(&block.text)).unwrap();
                    let folder = Path::new(path).parent().unwrap().display();
                    script += &format!(
                        "mkdir -p './{folder}'; cp --remove-destination \"$work/file-{at}\" '{path}'\n"
                    );
                }
                _ => {}
            }
        }
        script
    }

    fn with_port(&self, text: &str) -> String {
        text.replace("8080", &self.port.to_string())
    }

    /// A block as it is typed: servers in the background are waited for, what needs data that is not here is
    /// left out.
    fn typed(&self, text: &str) -> String {
        let text = self.with_port(text);
        let mut typed = String::new();
        let mut command = String::new();
        for line in text.lines() {
            command.extend([line, "\n"]);
            if line.ends_with('\\') {
                continue;
            }
            let bare = commands(&command).concat();
            if let Some(server) = bare.strip_suffix('&').filter(|bare| starts_server(bare)) {
                typed += &format!(
                    "within_30_s port_is_free\n{server} 2>>\"$work/log\" &\nwithin_30_s usher health\n"
                );
            } else {
                // In a script, bash now and then gives a job the number 2 although job 1 has ended.
                typed +=
                    &if command.starts_with("kill ") { command.replace("%1", "$!") } else { command.clone() };
            }
            command.clear();
        }
        typed + &command
    }

    /// Whether a block stands in a section that needs the data set, where neither this machine nor the page
    /// has it.
    fn is_left_out(&self, block: &Block) -> bool {
        let blocks = &self.page.blocks;
        let needs = |other: &Block| other.section == block.section && other.text.contains(BANK_CSV);
        let is_saved = blocks.iter().any(|other| other.role == Role::File(BANK_CSV.to_owned()));
        let commands = blocks.iter().filter(|other| other.role == Role::Command);
        self.data.is_none() && !is_saved && commands.into_iter().any(needs)
    }

    /// Whether the page shows what a block prints.
    fn is_shown(&self, at: usize) -> bool {
        self.page.blocks.get(at + 1).is_some_and(|next| next.role == Role::Output)
    }

    /// What a block printed, as the page would show it.
    fn printed(&self, at: usize) -> String {
        let printed = self.read("printed", at).replace(&format!("127.0.0.1:{}", self.port), "127.0.0.1:8080");
        let own = self.work.path().display().to_string();
        // What bash tells of a killed job; a terminal words it otherwise.
        let of_bash = |line: &&str| line.starts_with(&own) && line.contains(" Killed ");
        printed.lines().filter(|line| !of_bash(line)).map(|line| format!("{line}\n")).collect()
    }

    fn compare(&self, command: usize, shown: &Block) -> Option<String> {
        let printed = self.printed(command);
        let greeting = "listening on http"; // of a server in the background: part of it only where it is shown
        let is_shown = shown.text.contains(greeting);
        let lines = printed.lines().filter(|line| is_shown || !line.starts_with(greeting));
        let printed: String = lines.map(|line| format!("{line}\n")).collect();
        let why = difference(&shown.info, &shown.text, &printed)?;
        Some(format!("{}:{}: {why}", self.page.name, shown.line))
    }

    /// Commands that failed though the page shows nothing of it.
    fn silent_failures(&self) -> Vec<String> {
        let blocks = &self.page.blocks;
        let silent = (0..blocks.len()).filter(|at| self.path("failed", *at).exists() && !self.is_shown(*at));
        let message = |at: usize| {
            let (name, line) = (&self.page.name, blocks[at].line);
            let (failed, printed) = (self.read("failed", at), self.printed(at));
            format!("{name}:{line}: a command failed: {failed}--- it printed\n{}", printed.trim_end())
        };
        silent.map(message).collect()
    }

    fn unfinished(&self, at: usize, ended: bool) -> String {
        let why = if ended { "ended the session" } else { "took too long" };
        let (name, line) = (&self.page.name, self.page.blocks[at].line);
        format!("{name}:{line}: this block {why}\n--- it printed\n{}", self.printed(at).trim_end())
    }
}

fn starts_server(command: &str) -> bool {
    command.contains("usher serve") || command.contains("usher demo")
}

fn ends_in_time(bash: &mut Child) -> bool {
    let deadline = Instant::now() + TIME_LIMIT;
    while Instant::now() < deadline {
        if bash.try_wait().unwrap().is_some() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A page that saves a file under the name of the data set, or changes it, does so in its own folder alone.
#[test]
fn a_page_writes_nothing_outside_of_its_folder() {
    let data = tempfile::tempdir().unwrap();
    let original = data.path().join(BANK_CSV);
    fs::write(&original, "age\n58\n").unwrap();
    let saved = "Save this as `bank-full.csv`:\n```csv\nshort\n```\n";
    let typed = "```sh\necho more >>bank-full.csv; cat bank-full.csv\n```\n```text\nshort\nmore\n```\n";
    let page = Page::read("page.md".to_owned(), &format!("{saved}{typed}"));
    assert_eq!(type_with_data(&page, Some(original.clone())), Vec::<String>::new());
    assert_eq!(fs::read_to_string(original).unwrap(), "age\n58\n");
}
