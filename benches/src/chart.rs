//! The report as a picture: for each figure a bar per runtime, as a multiple of tokio's, on a logarithmic scale; a line across trioxide's marks
//! its goal.
//!
//! SVG that needs neither scripts nor fonts of its own, readable on light and dark pages.

use std::fmt::Write as _;

use crate::contenders::Contender;
use crate::goals::Goal;
use crate::report::Report;
use crate::statistics::ratio;

const LABELS: f64 = 170.0;
const PLOT: f64 = 560.0;
const NUMBERS: f64 = 60.0;
const BAR: f64 = 9.0;
const GAP: f64 = 10.0;
const TOP: f64 = 56.0;
/// The ends of the scale; what lies beyond is cut, and its number says how far.
const SCALE: (f64, f64) = (0.02, 4.0);
const TICKS: [f64; 8] = [0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];

/// The chart, or `None` if tokio did not take part.
#[must_use]
pub fn render(report: &Report) -> Option<String> {
    let shown = report.settings.contenders.iter().copied();
    let shown: Vec<Contender> =
        shown.filter(|contender| *contender != Contender::Tokio && !contender.is_library()).collect();
    let figures = figures(report, &shown);
    if figures.is_empty() {
        return None;
    }
    let group = |figure: &Figure| BAR * figure.ratios.len() as f64 + GAP;
    let (width, height) = (LABELS + PLOT + NUMBERS, TOP + figures.iter().map(group).sum::<f64>() + 12.0);
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
    let mut top = TOP;
    for figure in &figures {
        let y = top + GAP / 2.0;
        top += group(figure);
        let middle = y + BAR * figure.ratios.len() as f64 / 2.0 + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LABELS - 8.0,
            figure.label
        );
        let mut y = y;
        for (contender, ratio) in &figure.ratios {
            let length = at(*ratio) - LABELS;
            let _ = writeln!(
                svg,
                "<rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\">{}</text>",
                BAR - 1.0,
                colour(*contender),
                LABELS + length + 3.0,
                y + BAR - 2.0,
                number(*ratio)
            );
            if let Some(goal) = figure.goal.filter(|_| *contender == Contender::Trioxide) {
                let x = at(goal);
                let (from, to) = (y - 2.0, y + BAR + 1.0);
                let _ = writeln!(
                    svg,
                    "<line x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\" stroke=\"#0a7d33\" stroke-width=\"3\"/>"
                );
            }
            y += BAR;
        }
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

struct Figure {
    label: String,
    /// Of those that have one.
    ratios: Vec<(Contender, f64)>,
    goal: Option<f64>,
}

fn figures(report: &Report, shown: &[Contender]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for outcome in report.outcomes.iter().filter(|outcome| !outcome.row.is_of_a_primitive()) {
        for (index, metric) in outcome.row.metrics.iter().enumerate() {
            let label = metric.label(outcome.row.name);
            let tokio = outcome.summary(Contender::Tokio, index);
            let of = |contender: &Contender| Some((*contender, ratio(outcome.summary(*contender, index), tokio)?));
            let ratios: Vec<_> = shown.iter().filter_map(of).collect();
            let goal = Goal::of(outcome.row, index).and_then(|goal| match goal {
                Goal::OfTokio(limit) => Some(limit),
                // In a row of a primitive, which is not in this chart.
                Goal::OfBest(_) => None,
                Goal::AtMost(limit) => tokio.map(|tokio| limit / tokio.median),
            });
            if !ratios.is_empty() {
                figures.push(Figure { label, ratios, goal });
            }
        }
    }
    figures
}

fn legend(svg: &mut String, shown: &[Contender]) {
    for (index, contender) in shown.iter().enumerate() {
        let x = LABELS + 76.0 * index as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"24\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"33\">{}</text>",
            colour(*contender),
            x + 14.0,
            contender.name()
        );
    }
    let x = LABELS + 76.0 * shown.len() as f64;
    let _ = writeln!(
        svg,
        "<line x1=\"{x}\" y1=\"23\" x2=\"{x}\" y2=\"35\" stroke=\"#0a7d33\" stroke-width=\"3\"/><text x=\"{}\" y=\"33\">goal</text>",
        x + 6.0
    );
}

fn colour(contender: Contender) -> &'static str {
    match contender {
        Contender::Trioxide => "#b7410e",
        Contender::Tokio => "#333",
        Contender::TokioCt => "#999",
        Contender::Smol => "#7a9cc6",
        Contender::TokioHere
        | Contender::AsyncChannel
        | Contender::Flume
        | Contender::Crossfire
        | Contender::AsyncLock
        | Contender::EventListener => "#555",
        #[cfg(feature = "peers")]
        Contender::May => "#c9b458",
        #[cfg(feature = "peers")]
        Contender::Monoio => "#9a6fb0",
        #[cfg(feature = "peers")]
        Contender::Compio => "#c79bd2",
        #[cfg(feature = "peers")]
        Contender::Rayon => "#5f9e8f",
    }
}

fn number(ratio: f64) -> String {
    if ratio < 0.01 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
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
        assert_eq!(svg.matches("#0a7d33").count(), 1 + 1, "one in the legend, one goal: {svg}");
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
