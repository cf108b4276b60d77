//! The report as a picture: for each figure a bar per runtime, as a multiple of tokio's, on a logarithmic scale.
//!
//! SVG that needs neither scripts nor fonts of its own, readable on light and dark pages.

use std::fmt::Write as _;

use crate::contenders::Contender;
use crate::report::Report;
use crate::statistics::ratio;

const LABELS: f64 = 170.0;
const PLOT: f64 = 560.0;
const NUMBERS: f64 = 60.0;
const BAR: f64 = 9.0;
const GAP: f64 = 10.0;
const TOP: f64 = 56.0;
/// The ends of the scale; what lies beyond is cut, and its number says how far.
const SCALE: (f64, f64) = (0.05, 4.0);
const TICKS: [f64; 7] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];

/// The chart, or `None` if tokio did not take part.
#[must_use]
pub fn render(report: &Report) -> Option<String> {
    let shown: Vec<Contender> =
        report.settings.contenders.iter().copied().filter(|contender| *contender != Contender::Tokio).collect();
    let figures = figures(report, &shown);
    if figures.is_empty() {
        return None;
    }
    let group = BAR * shown.len() as f64 + GAP;
    let (width, height) = (LABELS + PLOT + NUMBERS, TOP + group * figures.len() as f64 + 12.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LABELS}\" y=\"16\" font-size=\"13\">cost as a multiple of tokio's (1.0), {} workers; shorter is better</text>\n",
        report.settings.workers
    );
    legend(&mut svg, &shown);
    for tick in TICKS {
        let (x, colour) = (at(tick), if tick == 1.0 { "#333" } else { "#ddd" });
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{:.0}\" stroke=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#666\">{tick}</text>",
            height - 8.0,
            TOP - 5.0
        );
    }
    for (index, figure) in figures.iter().enumerate() {
        let y = TOP + group * index as f64 + GAP / 2.0;
        let middle = y + BAR * shown.len() as f64 / 2.0 + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LABELS - 8.0,
            figure.label
        );
        for (place, (contender, ratio)) in figure.ratios.iter().enumerate() {
            let Some(ratio) = ratio else { continue };
            let (y, length) = (y + BAR * place as f64, at(*ratio) - LABELS);
            let _ = writeln!(
                svg,
                "<rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\">{ratio:.2}</text>",
                BAR - 1.0,
                colour(*contender),
                LABELS + length + 3.0,
                y + BAR - 2.0
            );
        }
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

struct Figure {
    label: String,
    ratios: Vec<(Contender, Option<f64>)>,
}

fn figures(report: &Report, shown: &[Contender]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for outcome in &report.outcomes {
        for (index, metric) in outcome.row.metrics.iter().enumerate() {
            let tokio = outcome.summary(Contender::Tokio, index);
            let of = |contender: &Contender| (*contender, ratio(outcome.summary(*contender, index), tokio));
            let ratios: Vec<_> = shown.iter().map(of).collect();
            if ratios.iter().any(|(_, ratio)| ratio.is_some()) {
                figures.push(Figure { label: metric.label(outcome.row.name), ratios });
            }
        }
    }
    figures
}

fn legend(svg: &mut String, shown: &[Contender]) {
    for (index, contender) in shown.iter().enumerate() {
        let x = LABELS + 90.0 * index as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"24\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"33\">{}</text>",
            colour(*contender),
            x + 14.0,
            contender.name()
        );
    }
}

fn colour(contender: Contender) -> &'static str {
    match contender {
        Contender::Trioxide => "#b7410e",
        Contender::Tokio => "#333",
        Contender::Smol => "#7a9cc6",
    }
}

/// Where on the x axis a ratio lies.
fn at(ratio: f64) -> f64 {
    let (low, high) = SCALE;
    LABELS + PLOT * ((ratio.clamp(low, high) / low).ln() / (high / low).ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn every_runtime_but_tokio_has_a_bar_with_its_ratio() {
        let svg = render(&example()).unwrap();
        assert!(svg.contains(">spawn_join</text>"), "{svg}");
        assert!(svg.contains(">0.25</text>") && svg.contains(">0.50</text>"), "{svg}");
        assert_eq!(svg.matches("<rect x=\"170\"").count(), 1 + 2, "one in the legend, two bars: {svg}");
    }

    #[test]
    fn without_tokio_there_is_nothing_to_compare_with() {
        let mut report = example();
        report.outcomes[0].series.retain(|series| series.contender != Contender::Tokio);
        assert_eq!(render(&report), None);
    }

    #[test]
    fn the_scale_is_logarithmic_and_ends_where_the_plot_does() {
        assert!((at(1.0) - at(0.5) - (at(0.5) - at(0.25))).abs() < 1e-9);
        assert!((at(1000.0) - LABELS - PLOT).abs() < 1e-9);
        assert!((at(0.0) - LABELS).abs() < 1e-9);
    }
}
