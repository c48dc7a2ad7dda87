//! Thinning: a line of a day has more points than a plot has pixels.

/// Points of a line that can be told apart on a plot.
const BUCKETS_MAX: usize = 600;

/// The line with at most four points for each bucket: the first, the lowest, the highest and the
/// last. No extreme is lost, so an overbooking of one millisecond in a day is still drawn.
pub(super) fn downsampled(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<_> =
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if finite.len() <= 4 * BUCKETS_MAX {
        return finite;
    }
    finite.chunks(finite.len().div_ceil(BUCKETS_MAX)).flat_map(extremes).collect()
}

fn extremes(bucket: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let by_height = |&a: &usize, &b: &usize| bucket[a].1.total_cmp(&bucket[b].1);
    let lowest = (0..bucket.len()).min_by(by_height).unwrap_or(0);
    let highest = (0..bucket.len()).max_by(by_height).unwrap_or(0);
    let mut kept = vec![0, lowest, highest, bucket.len() - 1];
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| bucket[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_line_is_left_as_it_is_but_for_what_is_no_number() {
        assert_eq!(
            downsampled(&[(0.0, 1.0), (f64::NAN, 2.0), (1.0, 3.0)]),
            [(0.0, 1.0), (1.0, 3.0)]
        );
    }

    #[test]
    fn a_long_line_keeps_its_one_dip() {
        let mut points: Vec<_> = (0..100_000).map(|second| (f64::from(second), 5.0)).collect();
        points[77_777].1 = -1.0;
        let kept = downsampled(&points);
        assert!(kept.len() <= 4 * BUCKETS_MAX, "{}", kept.len());
        assert!(kept.contains(&(77_777.0, -1.0)));
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
