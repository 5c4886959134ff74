//! Python's `ProcessPoolExecutor`, where there is a `python3`.

use std::process::{Command, Stdio};

use super::Outcome;

const HEAD: &str = "
import sys, time
from concurrent.futures import ProcessPoolExecutor
def one(): return 1
def back(data): return data
def filled(many): return bytes(range(256)) * (many // 256)
def main():
    now = time.perf_counter_ns
";

fn run(body: &str) -> Outcome {
    let mut script = HEAD.to_owned();
    for line in body.lines() {
        script += &format!("    {line}\n");
    }
    script += "main()\n";
    let output = Command::new("python3").args(["-c", &script]).stderr(Stdio::null()).output();
    let output = output.map_err(|error| format!("no python3: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| "python3 could not measure it".to_owned())
}

pub fn start() -> Outcome {
    run("
times = 10
begin = now()
for _ in range(times):
    with ProcessPoolExecutor(1) as pool: pool.submit(one).result()
print((now() - begin) / times)")
}

pub fn echo(bytes: usize, flying: u64) -> Outcome {
    run(&format!(
        "
times, flying, data = 5000, {flying}, b'x' * {bytes}
with ProcessPoolExecutor(1) as pool:
    pool.submit(back, data).result()
    begin = now()
    for _ in range(times // flying):
        for future in [pool.submit(back, data) for _ in range(flying)]: future.result()
    print((now() - begin) / (times // flying * flying))"
    ))
}

pub fn result() -> Outcome {
    run("
times = 3
with ProcessPoolExecutor(1) as pool:
    pool.submit(one).result()
    begin = now()
    for _ in range(times):
        data = pool.submit(filled, 64 << 20).result()
        assert len(data) == 64 << 20
    print((now() - begin) / times)")
}
