//! The rows of `compare` on trioxide alone, for criterion: to notice that something has become slower.
//!
//! One iteration is one repetition of a row at its small size, timed by the row itself; the throughput is its operations.
//! `bash benches/regressions REVISION` compares with that revision; by hand: `cargo bench -p trioxide-benches -- --save-baseline NAME`, later
//! `-- --baseline NAME`.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use trioxide_benches::contenders::Trioxide;
use trioxide_benches::rows::{ROWS, Scale};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = rows
}
criterion_main!(benches);

fn rows(criterion: &mut Criterion) {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Trioxide::new(workers).expect("the runtime can be built");
    let mut group = criterion.benchmark_group("trioxide");
    group.sampling_mode(SamplingMode::Flat);
    // A row that looks at the memory of its process cannot be repeated inside one, and another program's load is no bench of ours.
    for row in ROWS.iter().filter(|row| !row.own_process && row.needs.is_none()) {
        let repeat = || (row.trioxide)(&runtime, Scale::Quick).cost;
        group.throughput(Throughput::Elements(repeat().operations));
        group.bench_function(row.name, |bencher| {
            bencher.iter_custom(|iterations| (0..iterations).map(|_| repeat().wall).sum());
        });
    }
    group.finish();
}
