//! Who holds a delivery, and whether that process still lives.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of one consumer of one process: `boot/namespace/pid/start/number`. Two lives of a process never share it.
pub(super) fn new_holder() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}/{}", this_process(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether the process behind this name is certainly gone. Of a process that we cannot see (in another container) only
/// the lease can tell.
pub(super) fn is_gone(holder: &str) -> bool {
    let parts: Vec<&str> = holder.split('/').collect();
    let [boot, namespace, pid, start, _] = parts[..] else { return true };
    let (our_boot, our_namespace) = here();
    if boot != our_boot {
        return true;
    }
    namespace == our_namespace && start_of(pid).as_deref() != Some(start)
}

fn this_process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let (boot, namespace) = here();
        let pid = std::process::id().to_string();
        let start = start_of(&pid).unwrap_or_else(|| "unknown".to_owned());
        format!("{boot}/{namespace}/{pid}/{start}")
    })
}

/// This boot of the machine, and this namespace of process numbers.
fn here() -> (&'static str, &'static str) {
    static HERE: OnceLock<(String, String)> = OnceLock::new();
    let (boot, namespace) = HERE.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        (boot.trim().to_owned(), namespace.to_string_lossy().into_owned())
    });
    (boot, namespace)
}

/// When a process began, in ticks since boot; `None` if there is none. A zombie has ended.
fn start_of(pid: &str) -> Option<String> {
    if !pid.chars().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    const STATE: usize = 0;
    const START: usize = 19;
    match (fields.get(STATE), fields.get(START)) {
        (Some(&"Z" | &"X"), _) => None,
        (_, Some(start)) => Some((*start).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone_and_its_number_alone_proves_nothing() {
        let holder = new_holder();
        assert!(!is_gone(&holder), "{holder}");

        let mut parts: Vec<&str> = holder.split('/').collect();
        parts[3] = "1";
        assert!(is_gone(&parts.join("/")), "the number was taken over by a later process");
        parts[1] = "pid:[another]";
        assert!(!is_gone(&parts.join("/")), "a process in another container cannot be judged");
        parts[0] = "another-boot";
        assert!(is_gone(&parts.join("/")), "nothing lives through a reboot");
    }

    #[test]
    fn a_child_that_has_ended_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().to_string();
        let start = start_of(&pid);
        child.wait().unwrap();
        let (boot, namespace) = here();
        let holder = format!("{boot}/{namespace}/{pid}/{}/0", start.unwrap_or_else(|| "0".to_owned()));
        assert!(is_gone(&holder));
    }
}
