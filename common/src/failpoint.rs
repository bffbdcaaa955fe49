//! Failpoints: named places where a test lets the process die, as `kill -9` would.
//!
//! `FAIL=<name>` kills at the first passage, `FAIL=<name>:<n>` at the n-th. Without the feature `failpoints`
//! a point compiles to nothing.

/// Dies here if the environment variable `FAIL` names this point. Does nothing without the feature `failpoints`.
#[inline]
pub fn failpoint(name: &'static str) {
    #[cfg(feature = "failpoints")]
    armed::pass(name);
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Fuse {
        name: String,
        passes_left: AtomicI64,
    }

    static FUSE: OnceLock<Option<Fuse>> = OnceLock::new();

    fn fuse() -> Option<Fuse> {
        let armed = std::env::var("FAIL").ok()?;
        let (name, passes) = match armed.split_once(':') {
            Some((name, passes)) => (name.to_owned(), passes.parse().unwrap_or(1)),
            None => (armed, 1),
        };
        Some(Fuse { name, passes_left: AtomicI64::new(passes) })
    }

    pub fn pass(name: &str) {
        let Some(fuse) = FUSE.get_or_init(fuse) else { return };
        if fuse.name == name && fuse.passes_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            die();
        }
    }

    #[allow(unsafe_code)]
    fn die() {
        // SAFETY: both calls take no pointers; the process ends here, as under `kill -9`.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
        loop {
            std::thread::park();
        }
    }
}
