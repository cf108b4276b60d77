//! Medians, spreads and ratios.

/// What is kept of a series of repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The middle value, or the mean of the two middle ones.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Summary {
    /// Summarises `values`. `None` if there are none, or if one of them is not a finite number.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        if sorted.is_empty() || sorted.iter().any(|value| !value.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, min, max })
    }

    /// How far the smallest and the largest value lie from the median, in per cent of it: (-2.0, 5.0) is 2 % below to 5 % above.
    /// `None` for a median of zero.
    #[must_use]
    pub fn spread(&self) -> Option<(f64, f64)> {
        let per_cent = |value: f64| (value / self.median - 1.0) * 100.0;
        (self.median != 0.0).then(|| (per_cent(self.min), per_cent(self.max)))
    }
}

/// `ours / theirs` of the medians: below 1 we are better, as every figure is a cost. `None` if one is missing or theirs is zero.
#[must_use]
pub fn ratio(ours: Option<Summary>, theirs: Option<Summary>) -> Option<f64> {
    let (ours, theirs) = (ours?, theirs?);
    (theirs.median != 0.0).then(|| ours.median / theirs.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn median_of_an_odd_number_is_the_middle_one() {
        let summary = Summary::of([5.0, 1.0, 3.0]).unwrap();
        assert_eq!(summary, Summary { median: 3.0, min: 1.0, max: 5.0 });
    }

    #[test]
    fn median_of_an_even_number_lies_between_the_middle_two() {
        assert!(close(Summary::of([4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0));
    }

    #[test]
    fn median_ignores_one_outlier() {
        assert!(close(Summary::of([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1e9]).unwrap().median, 1.0));
    }

    #[test]
    fn one_value_is_its_own_summary() {
        let summary = Summary::of([7.0]).unwrap();
        assert_eq!(summary, Summary { median: 7.0, min: 7.0, max: 7.0 });
        assert_eq!(summary.spread(), Some((0.0, 0.0)));
    }

    #[test]
    fn nothing_and_what_is_no_number_have_no_summary() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([1.0, f64::NAN]), None);
        assert_eq!(Summary::of([1.0, f64::INFINITY]), None);
    }

    #[test]
    fn spread_is_in_per_cent_of_the_median() {
        let (below, above) = Summary { median: 200.0, min: 190.0, max: 230.0 }.spread().unwrap();
        assert!(close(below, -5.0) && close(above, 15.0));
        assert_eq!(Summary { median: 0.0, min: 0.0, max: 1.0 }.spread(), None);
    }

    #[test]
    fn ratio_needs_both_sides() {
        let of = |value| Summary::of([value]);
        assert!(close(ratio(of(50.0), of(200.0)).unwrap(), 0.25));
        assert_eq!(ratio(of(50.0), of(0.0)), None);
        assert_eq!(ratio(None, of(1.0)), None);
        assert_eq!(ratio(of(1.0), None), None);
    }
}
