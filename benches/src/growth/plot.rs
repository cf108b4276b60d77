//! Draws curves: a plot for each thing that grows, both axes logarithmic. A flat line is linear growth of the whole.

use std::fmt::Write as _;

use super::{Measured, short};

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 34.0;
const GAP: f64 = 60.0;
const COLOURS: [&str; 4] = ["#b7410e", "#3f6fa8", "#4b8b5a", "#8a5a9e"];

/// The picture; empty without curves.
#[must_use]
pub fn render(measured: &[Measured]) -> String {
    let mut plots: Vec<(&str, Vec<&Measured>)> = Vec::new();
    for one in measured.iter().filter(|one| !one.points.is_empty()) {
        match plots.iter_mut().find(|(along, _)| *along == one.curve.along) {
            Some((_, curves)) => curves.push(one),
            None => plots.push((one.curve.along, vec![one])),
        }
    }
    let rows = plots.len().div_ceil(2) as f64;
    let (width, height) = (2.0 * (LEFT + WIDTH) + 30.0, rows * (TOP + HEIGHT + GAP));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (index, (along, curves)) in plots.iter().enumerate() {
        let (x, y) =
            ((index % 2) as f64 * (LEFT + WIDTH + 20.0) + LEFT, (index / 2) as f64 * (TOP + HEIGHT + GAP) + TOP);
        plot(&mut svg, (x, y), along, curves);
    }
    svg.push_str("</svg>\n");
    svg
}

fn plot(svg: &mut String, (left, top): (f64, f64), along: &str, curves: &[&Measured]) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let sizes: Vec<u64> = curves.iter().flat_map(|curve| curve.points.iter().map(|(size, _)| *size)).collect();
    let (from, to) = (sizes.iter().min().copied().unwrap_or(1), sizes.iter().max().copied().unwrap_or(1));
    let low = 10_f64.powf(points().map(|(_, nanos)| nanos.max(1.0).log10()).fold(f64::INFINITY, f64::min).floor());
    let high =
        10_f64.powf(points().map(|(_, nanos)| nanos.max(1.0).log10()).fold(0.0, f64::max).ceil()).max(low * 10.0);
    let x = |size: u64| {
        left + WIDTH * (size as f64 / from as f64).ln() / (to as f64 / from as f64).ln().max(f64::MIN_POSITIVE)
    };
    let y = |nanos: f64| top + HEIGHT * (1.0 - (nanos.max(1.0) / low).ln() / (high / low).ln());
    let _ = writeln!(
        svg,
        "<text x=\"{left:.0}\" y=\"{:.0}\" font-size=\"13\">ns per operation, by {along}</text>",
        top - 18.0
    );
    let mut tick = low;
    while tick <= high * 1.01 {
        let at = y(tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{left:.1}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#666\">{}</text>",
            left + WIDTH,
            left - 5.0,
            at + 4.0,
            short(tick as u64)
        );
        tick *= 10.0;
    }
    let mut marked = sizes;
    marked.sort_unstable();
    marked.dedup();
    for size in marked {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{}</text>",
            x(size),
            top + HEIGHT + 15.0,
            short(size)
        );
    }
    for (index, curve) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let line: Vec<String> =
            curve.points.iter().map(|(size, nanos)| format!("{:.1},{:.1}", x(*size), y(*nanos))).collect();
        let (at, under) = (left + 96.0 * index as f64, top + HEIGHT + 32.0);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{at:.0}\" y=\"{under:.0}\" fill=\"{colour}\">{}</text>",
            line.join(" "),
            curve.curve.name
        );
    }
}
