//! How much memory this process has, and how much it may have.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// Bytes of a page, as the system counts the memory of a process.
fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

/// What this process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    /// Bytes of memory.
    pub(crate) resident: u64,
    /// Bytes of addresses, most of which have no memory.
    pub(crate) addresses: u64,
}

/// Where the system tells what this process has. The file stays open, so a look needs no free descriptor.
pub(crate) struct Meter(Option<fs::File>);

impl Meter {
    pub(crate) fn of_process() -> Meter {
        Meter(fs::File::open("/proc/self/statm").ok())
    }

    /// One whose every look fails.
    #[cfg(test)]
    pub(crate) fn broken() -> Meter {
        Meter(fs::File::open("/").ok()) // a directory cannot be read
    }

    /// What this process has now; `None` where the system does not tell.
    pub(crate) fn held(&self) -> Option<Held> {
        let mut text = [0; 256]; // seven numbers of at most 20 digits
        let length = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        let mut bytes = str::from_utf8(&text[..length])
            .ok()?
            .split_ascii_whitespace()
            .map(|pages| Some(pages.parse::<u64>().ok()? * page_bytes()));
        let (addresses, resident) = (bytes.next()??, bytes.next()??);
        Some(Held { resident, addresses })
    }
}

/// The most bytes of addresses that this process may have (`ulimit -v`); `None` for no bound.
pub(crate) fn most_addresses() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// The bytes of memory that this process may have at most: what the machine has, or less where a control
/// group or a limit of the process (`ulimit -v`) says so. `None` where the system does not tell.
pub fn of_machine() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_limit(&text));
    let space = [Resource::As, Resource::Data].into_iter().filter_map(|of| getrlimit(of).current);
    [machine, group].into_iter().flatten().chain(space).min()
}

/// The memory of the machine in `/proc/meminfo`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// The least limit of the control groups in `/proc/self/cgroup`, of either version.
fn group_limit(groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            named if named.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let of =
            |path: &Path| -> Option<u64> { fs::read_to_string(path.join(file)).ok()?.trim().parse().ok() };
        // Within a container the path is that of the host, and the group lies at the root.
        let within = Path::new(root).join(path.trim_start_matches('/'));
        within.ancestors().take_while(|path| path.starts_with(root)).filter_map(of).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_machine_is_read_as_the_system_writes_it() {
        assert_eq!(total_of("MemTotal:       24689764 kB\nMemFree: 1 kB\n"), Some(24_689_764 << 10));
        assert_eq!(total_of("nothing"), None);
        assert_eq!(group_limit("3:cpuset:/\n1:name=systemd:/\n"), None);
    }

    #[test]
    fn this_process_has_some_memory_and_may_have_more() {
        let (has, may) = (Meter::of_process().held().unwrap().resident, of_machine().unwrap());
        assert!(has > 1 << 20 && has < may, "{has} of {may}");
        assert_eq!(Meter::broken().held(), None);
    }

    #[test]
    fn each_look_is_a_new_one() {
        let meter = Meter::of_process();
        let before = meter.held();
        let grown = |mib: usize| {
            let _more = std::hint::black_box(vec![0_u8; mib << 20]);
            meter.held() != before
        };
        assert!((1..64).any(grown), "{before:?}");
    }
}
