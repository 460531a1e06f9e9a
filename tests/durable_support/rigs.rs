//! File systems and system calls that fail. What a rig needs and does not find here (a right, a tool) is said, and the test
//! that asked for it is skipped.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Past the test harness, which shows what a test printed only when it failed.
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

/// Whether it ran and ended well; if not, the test is skipped.
fn ran(program: &str, arguments: &[&str]) -> Option<()> {
    match output(program, arguments) {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => {
            skip(&format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(e) => skip(&format!("{program}: {e}")),
    }
}

/// A file system of its own; gone when dropped.
pub struct Mounted {
    at: tempfile::TempDir,
    /// Of `mount`, without the place.
    arguments: Vec<String>,
    /// Where its image is, if it has one.
    image: Option<tempfile::TempDir>,
    /// What its image is on, if that is a file system of its own, too; unmounted after it.
    below: Option<Box<Mounted>>,
}

/// How a power cut is played: whether what the file system's own log has in memory is written before.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    WithLog = 1,
    WithoutLog = 2,
}

impl Mounted {
    /// One in memory.
    pub fn tmpfs(mib: u64) -> Option<Mounted> {
        let size = format!("size={mib}m");
        Mounted::mount(&["-t", "tmpfs", "-o", &size, "usher-test"])
    }

    /// ext4 in a file.
    pub fn ext4(mib: u64) -> Option<Mounted> {
        let folder = tempfile::tempdir().unwrap();
        let mut mounted = Mounted::image_in(folder.path(), mib)?;
        mounted.image = Some(folder);
        Some(mounted)
    }

    /// ext4 that believes to have `mib` of room, in a file system that has less: when that is full, what was written cannot
    /// be written back, and a sync fails.
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

    /// What the image is on.
    pub fn below(&self) -> &Path {
        self.below.as_ref().unwrap().path()
    }

    /// Gets ready to cut it off from its image, as if the power went. None where the kernel or perl cannot.
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

    /// Who was killed may hold it for a moment longer.
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
    /// Cuts; the file system must be mounted again then.
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
            let _ = self.unmount(&["-l"]); // at least nothing is left in sight
        }
    }
}

/// Takes all the room there is; gives it back when dropped.
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

/// What runs the server so that this is done to its calls of `fdatasync`, counted by thread. With -D the tracer is the
/// grandchild, so that the server is ours to kill.
pub fn strace(inject: &str) -> Option<Vec<String>> {
    ran("strace", &["-o", "/dev/null", "true"])?;
    let inject = format!("inject=fdatasync:{inject}");
    let arguments = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"];
    let calls = ["-e", "trace=fdatasync", "-e", &inject];
    Some(arguments.iter().chain(&calls).map(|&text| text.to_owned()).collect())
}
