#[trioxide::test(flavor = "current_thread")]
async fn an_unknown_option() {}

#[trioxide::test(seeds = 7)]
async fn a_single_seed() {}

#[trioxide::test(workers = [])]
async fn no_number() {}

#[trioxide::test(workers = [1, 0])]
async fn a_zero_among_numbers() {}

#[trioxide::test(workers = [1, "two"])]
async fn a_text_among_numbers() {}

#[trioxide::test(timeout = Duration::MAX, timeout = Duration::MAX)]
async fn an_option_twice() {}

#[trioxide::test(clock = MockClock::autojump())]
async fn a_clock_instead_of_what_makes_one() {}

#[trioxide::test(clock = "mock")]
async fn the_name_of_a_clock() {}

#[trioxide::test(timeout = 5)]
async fn a_number_without_a_unit() {}

#[trioxide::main(workers = [1, 2])]
async fn main() {}
