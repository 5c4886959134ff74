//! Figures: how they are taken, summed up and written.

use std::time::Instant;

/// A clock's time in nanoseconds.
pub fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live, writable timespec; the call writes nothing else.
    let result = unsafe { libc::clock_gettime(id, &mut time) };
    assert_eq!(result, 0, "clock_gettime({id}) failed: {}", std::io::Error::last_os_error());
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds per operation of `operation`, which is told how often to do it; a tenth as often before it
/// counts.
pub fn timed(times: u64, mut operation: impl FnMut(u64) -> Result<(), String>) -> Result<f64, String> {
    operation((times / 10).max(1))?;
    let begin = Instant::now();
    operation(times)?;
    Ok(begin.elapsed().as_nanos() as f64 / times as f64)
}

/// What is shown of a side's rounds.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// The one in the middle; between the two there, if the rounds are even.
    pub median: f64,
    /// The smallest.
    pub least: f64,
}

impl Summary {
    /// None if there is no round.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Summary> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let least = *values.first()?;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Summary { median, least })
    }
}

/// Three significant digits, as far as they stand behind the point.
pub fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The unit in which a time can be read, and how many nanoseconds it has.
pub fn unit(nanoseconds: f64) -> (&'static str, f64) {
    match nanoseconds {
        few if few < 1e3 => ("ns", 1.0),
        some if some < 1e6 => ("µs", 1e3),
        _ => ("ms", 1e6),
    }
}
