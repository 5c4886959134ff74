//! Python's `ProcessPoolExecutor`, where there is a `python3`.

use std::process::{Command, Stdio};

use lwt_benches::sides::Outcome;

const HEAD: &str = "
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
def one(): return 1
def back(data): return data
def filled(many): return bytes(range(256)) * (many // 256)
WIDTH, HEIGHT = 160, 120
def row(row):
    steps = []
    for column in range(WIDTH):
        c = complex(column + 0.5 - WIDTH / 2, row + 0.5 - HEIGHT / 2) * 2.4 / HEIGHT - 0.75
        z, step = 0, 0
        while step < 1000 and abs(z) <= 2:
            z, step = z * z + c, step + 1
        steps.append(step)
    return steps
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
    waiting = deque(pool.submit(back, data) for _ in range(flying))
    for _ in range(times - flying):
        waiting.popleft().result()
        waiting.append(pool.submit(back, data))
    for future in waiting: future.result()
    print((now() - begin) / times)"
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

/// A smaller picture, so that it ends; see the example.
pub fn mandelbrot(workers: usize) -> Outcome {
    run(&format!(
        "
with ProcessPoolExecutor({workers}) as pool:
    list(pool.map(row, range(8)))
    begin = now()
    list(pool.map(row, range(HEIGHT)))
    print(now() - begin)"
    ))
}
