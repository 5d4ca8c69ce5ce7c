//! What is read of `/proc`.

use crate::generator::process::{CpuTime, Process, kibibytes, ticks};

#[test]
fn ticks_are_found_behind_any_name() {
    let stat = "17 (a ) b (c)) S 1 17 17 0 -1 4194560 900 0 0 0 31 12 0 0 20 0 1 0 1 2 3";
    assert_eq!(ticks(stat), Some(43));
    assert_eq!(ticks("17 (a) S 1"), None);
}

#[test]
fn memory_is_in_bytes() {
    assert_eq!(kibibytes("VmPeak:\t 9 kB\nVmHWM:\t    12 kB\n", "VmHWM:"), Some(12_288));
    assert_eq!(kibibytes("VmPeak:\t 9 kB\n", "VmHWM:"), None);
}

#[test]
fn threads_count_exactly_and_ticks_stand_in_where_one_has_ended() {
    let cpu = |ticks_ns, threads: &[(u32, u64)]| CpuTime { ticks_ns, threads: threads.iter().copied().collect() };
    let earlier = cpu(100, &[(1, 10), (2, 20)]);
    assert_eq!(cpu(900, &[(1, 15), (2, 20), (3, 7)]).since_ns(&earlier), 12);
    assert_eq!(cpu(900, &[(1, 15), (3, 7)]).since_ns(&earlier), 800);
    assert_eq!(cpu(900, &[]).since_ns(&cpu(100, &[])), 800);
}

#[test]
fn the_busiest_thread_is_told_apart() {
    let cpu = |threads: &[(u32, u64)]| CpuTime { ticks_ns: 0, threads: threads.iter().copied().collect() };
    let earlier = cpu(&[(1, 100), (2, 20)]);
    assert_eq!(cpu(&[(1, 105), (2, 50), (3, 7)]).busiest_since_ns(&earlier), Some(30));
    assert_eq!(cpu(&[]).busiest_since_ns(&earlier), None);
}

#[test]
fn the_own_process_has_memory_and_uses_time() {
    let own = Process::new(std::process::id());
    let before = own.cpu_time().unwrap();
    let burnt = (0..20_000_000_u64).fold(1_u64, |sum, number| std::hint::black_box(sum ^ number));
    assert!(burnt < u64::MAX);
    assert!(own.cpu_time().unwrap().since_ns(&before) > 0);
    let memory = own.memory().unwrap();
    assert!(memory.resident > 0 && memory.peak >= memory.resident);
}

#[test]
fn a_process_that_is_not_there_is_named() {
    let error = Process::new(u32::MAX).memory().unwrap_err();
    assert!(error.to_string().contains("/proc/4294967295/status"), "{error}");
}
