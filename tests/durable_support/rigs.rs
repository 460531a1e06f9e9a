//! File systems and system calls that fail. If a right or a tool is missing, the rig says so and the test
//! that asked for it is skipped.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Prints past the test harness, which shows a test's output only if it fails.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn skip<T>(why: &str) -> Option<T> {
    say(&format!("skipped: {why}"));
    None
}

fn output(program: &str, arguments: &[&str]) -> io::Result<Output> {
    Command::new(program).args(arguments).stdin(Stdio::null()).output()
}

/// Runs a program. `None` if it could not run or failed; then the test is skipped.
fn ran(program: &str, arguments: &[&str]) -> Option<()> {
    match output(program, arguments) {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => {
            skip(&format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(e) => skip(&format!("{program}: {e}")),
    }
}

/// A file system of its own, unmounted when dropped.
pub struct Mounted {
    at: tempfile::TempDir,
    /// The arguments of `mount`, without the mount point.
    arguments: Vec<String>,
    /// The folder with its image, if it has one.
    image: Option<tempfile::TempDir>,
    /// The file system that the image is on, if that is a rig too; unmounted after this one.
    below: Option<Box<Mounted>>,
}

/// How a power cut is played: whether the file system writes out its own log, as far as it is in memory,
/// before it.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    WithLog = 1,
    WithoutLog = 2,
}

impl Mounted {
    /// A file system in memory.
    pub fn tmpfs(mib: u64) -> Option<Mounted> {
        let size = format!("size={mib}m");
        Mounted::mount(&["-t", "tmpfs", "-o", &size, "usher-test"])
    }

    /// An ext4 file system in a file.
    pub fn ext4(mib: u64) -> Option<Mounted> {
        let folder = tempfile::tempdir().unwrap();
        let mut mounted = Mounted::image_in(folder.path(), mib)?;
        mounted.image = Some(folder);
        Some(mounted)
    }

    /// An ext4 file system that believes it has `mib` of room, on a file system with only `below_mib`. When
    /// that is full, writing back fails, and so does a sync.
    pub fn ext4_on_sand(mib: u64, below_mib: u64) -> Option<Mounted> {
        let below = Mounted::tmpfs(below_mib)?;
        let mut mounted = Mounted::image_in(below.path(), mib)?;
        mounted.below = Some(Box::new(below));
        Some(mounted)
    }

    fn image_in(folder: &Path, mib: u64) -> Option<Mounted> {
        let image = folder.join("image");
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let image = image.to_str().unwrap();
        ran(
            "mkfs.ext4",
            &["-q", "-F", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0", image],
        )?;
        Mounted::mount(&["-o", "loop", image])
    }

    fn mount(arguments: &[&str]) -> Option<Mounted> {
        let at = tempfile::tempdir().unwrap();
        ran("mount", &[arguments, &[at.path().to_str().unwrap()]].concat())?;
        let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        Some(Mounted { at, arguments, image: None, below: None })
    }

    pub fn path(&self) -> &Path {
        self.at.path()
    }

    /// The mount point of the file system that the image is on.
    pub fn below(&self) -> &Path {
        self.below.as_ref().unwrap().path()
    }

    /// Prepares to cut it off from its image, as a power cut does. `None` if the kernel or perl cannot.
    pub fn arm(&self, how: Cut) -> Option<Armed> {
        // EXT4_IOC_SHUTDOWN, that is _IOR('X', 125, u32). Needs `unsafe` in Rust.
        let script = "open(my $f, '<', $ARGV[0]) or die $!; <STDIN>; ioctl($f, 0x8004587d, pack('L', $ARGV[1])) or die $!";
        let mut command = Command::new("perl");
        command.args(["-e", script]).arg(self.at.path()).arg((how as u32).to_string());
        match command.stdin(Stdio::piped()).spawn() {
            Ok(perl) => Some(Armed { perl }),
            Err(e) => skip(&format!("perl: {e}")),
        }
    }

    /// Unmounts it and mounts it again, as a restart of the machine does.
    pub fn remount(&self) {
        self.unmount(&[]).unwrap();
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        ran("mount", &[&arguments[..], &[self.at.path().to_str().unwrap()]].concat()).unwrap();
    }

    /// Unmounts it, with retries: a process that was just killed may hold it for a moment longer.
    fn unmount(&self, options: &[&str]) -> Result<(), String> {
        let arguments = [options, &[self.at.path().to_str().unwrap()]].concat();
        let mut said = String::new();
        for _ in 0..100 {
            match output("umount", &arguments) {
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) => said = String::from_utf8_lossy(&output.stderr).into_owned(),
                Err(e) => said = e.to_string(),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(said)
    }
}

/// A power cut that is about to happen.
pub struct Armed {
    perl: Child,
}

impl Armed {
    /// Cuts. Afterwards the file system must be mounted again.
    pub fn cut(mut self) -> Option<()> {
        drop(self.perl.stdin.take());
        match self.perl.wait() {
            Ok(status) if status.success() => Some(()),
            other => skip(&format!("perl cannot shut ext4 down: {other:?}")),
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let _ = self.perl.kill();
        let _ = self.perl.wait();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.unmount(&[]).is_err() {
            let _ = self.unmount(&["-l"]); // it is at least out of sight
        }
    }
}

/// Takes all the room there is, and gives it back when dropped.
pub struct Filler {
    path: PathBuf,
}

impl Filler {
    pub fn fill(folder: &Path) -> Filler {
        let path = folder.join("filler");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for chunk in [1 << 20, 4096, 1] {
            let bytes = vec![1; chunk];
            loop {
                match file.write(&bytes) {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::StorageFull => break,
                    Err(e) => panic!("{e}"),
                }
            }
        }
        Filler { path }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether strace may trace here. If not, the test is skipped.
pub fn has_strace() -> bool {
    ran("strace", &["-o", "/dev/null", "true"]).is_some()
}

/// A wrapper for the server that injects this into its calls of `fdatasync`, counted by thread. With -D the
/// tracer is the grandchild, so the server is our own child and we can kill it.
pub fn strace(inject: &str) -> Option<Vec<String>> {
    has_strace().then_some(())?;
    let inject = format!("inject=fdatasync:{inject}");
    let arguments = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"];
    let calls = ["-e", "trace=fdatasync", "-e", &inject];
    Some(arguments.iter().chain(&calls).map(|&text| text.to_owned()).collect())
}
