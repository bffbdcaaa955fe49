//! A clock that no one sets: milliseconds since the machine booted, and which boot it was.

use std::sync::OnceLock;

/// A moment of one boot of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootMoment {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// CLOCK_BOOTTIME.
    pub ms: i64,
}

impl BootMoment {
    /// Now; `None` where the system does not say.
    pub fn now() -> Option<BootMoment> {
        static BOOT: OnceLock<Option<String>> = OnceLock::new();
        let boot = BOOT.get_or_init(|| {
            let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            Some(id.trim().to_owned()).filter(|id| !id.is_empty())
        });
        Some(BootMoment { boot: boot.clone()?, ms: boottime_ms()? })
    }
}

#[allow(unsafe_code)]
fn boottime_ms() -> Option<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call and is the only memory it writes.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) } != 0;
    (!failed).then(|| time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_goes_forward_within_one_boot() {
        let (first, then) = (BootMoment::now().unwrap(), BootMoment::now().unwrap());
        assert_eq!(first.boot, then.boot);
        assert!(first.ms > 0 && then.ms >= first.ms);
    }
}
