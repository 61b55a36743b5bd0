//! How much memory the process has needed.

/// Peak resident memory of this process in bytes since it started (`ru_maxrss` of getrusage(2), which Linux counts in KiB).
pub fn peak_memory_bytes() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    #[expect(
        unsafe_code,
        reason = "getrusage fills the struct that it is given and touches nothing else"
    )]
    let kibibytes = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init().ru_maxrss
    };
    u64::try_from(kibibytes).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_follows_what_is_touched() {
        let before = peak_memory_bytes();
        assert!(before > 100 * 1024);
        let touched = vec![1_u8; 64 * 1024 * 1024];
        assert!(std::hint::black_box(&touched).iter().all(|byte| *byte == 1));
        assert!(peak_memory_bytes() >= before + 32 * 1024 * 1024);
    }
}
