//! How much memory the process has needed.

/// Peak resident memory of this process in bytes since it started (`VmHWM` of `/proc/self/status`; getrusage's `ru_maxrss` would
/// also count what the parent held before it started us). Zero where there is no such file.
pub fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    peak_of(&status).unwrap_or(0)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
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

    #[test]
    fn the_line_is_found_among_others() {
        assert_eq!(
            peak_of("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n"),
            Some(1234 * 1024)
        );
        assert_eq!(peak_of("Name:\tx\n"), None);
    }
}
