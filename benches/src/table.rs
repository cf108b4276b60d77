//! The report as text: one table of the rows' own figures, and one for each thing that they cost besides; and the same for the rows of one
//! primitive, which other libraries are in.

use std::fmt::Write as _;

use crate::contenders::Contender;
use crate::goals::{self, Goal};
use crate::machine;
use crate::report::{Outcome, Report, Series};
use crate::rows::Scale;
use crate::statistics::{Summary, ratio};

/// The tables, and a line on how they came about.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = heading(report);
    for lines in [figures(report), primitives(report)].iter().filter(|lines| lines.len() > 1) {
        text.push('\n');
        text += &lay_out(lines);
    }
    text.push('\n');
    text += &remarks(report);
    for cost in costs(report) {
        let _ = write!(text, "\n{}\n\n", cost.what);
        text += &lay_out(&cost.lines);
    }
    text
}

/// The tables in Markdown, with the line on how they came about.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = heading(report);
    for lines in [figures(report), primitives(report)].iter().filter(|lines| lines.len() > 1) {
        text.push('\n');
        text += &pipes(lines);
    }
    text.push('\n');
    text += &remarks(report);
    for cost in costs(report) {
        let _ = write!(text, "\n**{}**\n\n", cost.what);
        text += &pipes(&cost.lines);
    }
    text
}

/// What a row of the first table says in one line, for a log.
#[must_use]
pub fn one_line(outcome: &Outcome) -> String {
    let unit = outcome.row.metrics.first().map_or("", |metric| metric.unit);
    let figures =
        outcome.series.iter().map(|series| format!("{} {}", series.contender.name(), median(series.summary(0))));
    format!("{}: {} {unit}", outcome.row.name, figures.collect::<Vec<_>>().join(", "))
}

fn heading(report: &Report) -> String {
    let settings = &report.settings;
    let mut text = String::new();
    let sizes = if settings.scale == Scale::Quick { "small sizes (--quick)" } else { "full sizes" };
    let _ = writeln!(
        text,
        "{} workers, {sizes}, medians of {} interleaved repetitions; less is better, a ratio below 1 is for trioxide",
        settings.workers, settings.repetitions,
    );
    let versions = settings.contenders.iter().filter_map(|who| Some(format!("{} {}", who.name(), who.version()?)));
    let _ = writeln!(text, "{}; {}", machine::describe(), versions.collect::<Vec<_>>().join(", "));
    if let Some(cores) = report.cores_used_by_others.filter(|cores| *cores >= BUSY) {
        let _ = writeln!(text, "others used {cores:.2} cores meanwhile: the medians are not to be trusted");
    }
    text
}

/// How many cores others may use before the figures suffer.
const BUSY: f64 = 0.1;

/// Which goals are met, where trioxide is worse than others, and what failed.
fn remarks(report: &Report) -> String {
    let mut text = String::new();
    if report.settings.contenders.contains(&Contender::Trioxide) {
        let verdicts = report.outcomes.iter().flat_map(|outcome| {
            let metrics = 0..outcome.row.metrics.len();
            metrics.filter_map(|index| Goal::of(outcome.row, index)?.is_met(outcome, index))
        });
        let verdicts: Vec<bool> = verdicts.collect();
        let met = verdicts.iter().filter(|met| **met).count();
        let _ = writeln!(text, "{met} of {} goals are met.", verdicts.len());
        let rivals = [Contender::Tokio, Contender::Smol];
        let has_rows_of_runtimes = !part(report, false).0.is_empty();
        for rival in rivals.into_iter().filter(|_| has_rows_of_runtimes) {
            let worse =
                goals::worse_than(&report.outcomes, rival).map(|(label, times)| format!("{label} ({times:.2})"));
            let worse: Vec<String> = worse.collect();
            let worse = if worse.is_empty() { "none".to_owned() } else { worse.join(", ") };
            let _ = writeln!(text, "Figures that are worse than {}'s: {worse}.", rival.name());
        }
        let figure = |series: &Series| series.summary(0).map(|summary| summary.median);
        text += &behind(report, "Primitives in which another is ahead", figure);
        text += &behind(report, "The same by instructions", |series| series.instructions);
    }
    for outcome in &report.outcomes {
        for series in &outcome.series {
            if let Some(reason) = &series.failed {
                let _ = writeln!(text, "{} on {} has no figure: {reason}.", outcome.row.name, series.contender.name());
            }
        }
    }
    text
}

/// The rows of one primitive in which another than trioxide has the least of what `figure` shows, with how many times, and who. Nothing if there is no such
/// row to look at.
fn behind(report: &Report, what: &str, figure: impl Fn(&Series) -> Option<f64>) -> String {
    let mut compared = false;
    let mut worse = Vec::new();
    for outcome in report.outcomes.iter().filter(|outcome| outcome.row.is_of_a_primitive()) {
        let others = outcome.series.iter().filter(|series| series.contender != Contender::Trioxide);
        let others = others.filter_map(|series| Some((series.contender, figure(series)?)));
        let best = others.min_by(|(_, one), (_, other)| one.total_cmp(other));
        let Some((ours, (who, best))) = outcome.of(Contender::Trioxide).and_then(&figure).zip(best) else { continue };
        compared = true;
        if ours > best {
            worse.push(format!("{} ({:.2}, {})", outcome.row.name, ours / best, who.name()));
        }
    }
    match (compared, worse.is_empty()) {
        (false, _) => String::new(),
        (true, true) => format!("{what}: none.\n"),
        (true, false) => format!("{what}: {}.\n", worse.join(", ")),
    }
}

type Line = Vec<String>;

/// The outcomes of the rows of runtimes, or of those of one primitive, and who took part in any of them.
fn part(report: &Report, of_primitives: bool) -> (Vec<&Outcome>, Vec<Contender>) {
    let outcomes: Vec<&Outcome> =
        report.outcomes.iter().filter(|outcome| outcome.row.is_of_a_primitive() == of_primitives).collect();
    let takes_part = |who: &&Contender| outcomes.iter().any(|outcome| outcome.of(**who).is_some());
    let contenders = report.settings.contenders.iter().filter(takes_part).copied().collect();
    (outcomes, contenders)
}

/// The rows of one primitive, each with the best of the others.
fn primitives(report: &Report) -> Vec<Line> {
    let (outcomes, contenders) = part(report, true);
    let mut head: Line = vec!["row".into(), "unit".into()];
    head.extend(contenders.iter().map(|contender| contender.name().into()));
    head.extend(["/best", "the best", "met", "trioxide %"].map(String::from));
    let mut lines = vec![head];
    for outcome in outcomes {
        let ours = outcome.summary(Contender::Trioxide, 0);
        let best = goals::best_of_others(outcome, 0);
        let met = Goal::of(outcome.row, 0).and_then(|goal| goal.is_met(outcome, 0));
        let mut line = vec![outcome.row.name.to_owned(), outcome.row.metrics[0].unit.into()];
        line.extend(contenders.iter().map(|contender| median(outcome.summary(*contender, 0))));
        line.push(optional(ratio(ours, best.map(|(_, summary)| summary)), |ratio| format!("{ratio:.2}")));
        line.push(optional(best, |(who, _)| who.name().to_owned()));
        line.push(optional(met, |met| if met { "yes" } else { "no" }.to_owned()));
        line.push(spread(ours));
        lines.push(line);
    }
    lines
}

fn figures(report: &Report) -> Vec<Line> {
    let (outcomes, contenders) = part(report, false);
    let rivals = rivals(&contenders);
    let spreads: Vec<Contender> = contenders.iter().copied().filter(|who| SPREADS.contains(who)).collect();
    let with_goals = contenders.contains(&Contender::Trioxide) && contenders.contains(&Contender::Tokio);
    let mut head: Line = vec!["row".into(), "unit".into()];
    head.extend(contenders.iter().map(|contender| contender.name().into()));
    head.extend(rivals.iter().map(|rival| format!("/{}", rival.name())));
    if with_goals {
        head.extend(["goal".into(), "met".into()]);
    }
    head.extend(spreads.iter().map(|contender| format!("{} %", contender.name())));

    let mut lines = vec![head];
    for outcome in outcomes {
        for (index, metric) in outcome.row.metrics.iter().enumerate() {
            let of = |contender: &Contender| outcome.summary(*contender, index);
            let mut line = vec![metric.label(outcome.row.name), metric.unit.into()];
            line.extend(contenders.iter().map(|contender| median(of(contender))));
            line.extend(
                rivals.iter().map(|rival| optional(ratio(of(&Contender::Trioxide), of(rival)), |r| format!("{r:.2}"))),
            );
            if with_goals {
                let goal = Goal::of(outcome.row, index);
                let met = goal.and_then(|goal| goal.is_met(outcome, index));
                line.push(optional(goal, Goal::text));
                line.push(optional(met, |met| if met { "yes" } else { "no" }.to_owned()));
            }
            line.extend(spreads.iter().map(|contender| spread(of(contender))));
            lines.push(line);
        }
    }
    lines
}

/// Whose spread is shown: those that goals and the rule "no row is slower" are about.
const SPREADS: [Contender; 3] = [Contender::Trioxide, Contender::Tokio, Contender::Smol];

/// What a table shows of a row on one runtime.
type Cell = fn(&Series) -> Option<String>;

/// A table of something that an operation costs besides its time.
struct CostTable {
    what: String,
    lines: Vec<Line>,
}

fn costs(report: &Report) -> Vec<CostTable> {
    let tables: [(&str, Cell); 6] = [
        ("CPU time of all threads, ns per operation", |series| series.cpu().map(|cpu| number(cpu.median))),
        ("voluntary context switches per operation", |series| series.switches().map(|s| format!("{:.3}", s.median))),
        ("system calls per operation", |series| series.calls.map(|calls| format!("{:.3}", calls.all))),
        ("calls of futex per operation", |series| series.calls.map(|calls| format!("{:.3}", calls.futex))),
        ("allocations per operation", |series| series.allocations().map(|count| format!("{count:.2}"))),
        ("instructions per operation, with one worker", |series| {
            series.instructions.map(|count| format!("{count:.0}"))
        }),
    ];
    let parts = [("", part(report, false)), ("; one primitive", part(report, true))];
    let table = |(what, cell): (&str, Cell),
                 (which, (outcomes, contenders)): &(&str, (Vec<&Outcome>, Vec<Contender>))| {
        let head = std::iter::once("row".to_owned()).chain(contenders.iter().map(|who| who.name().to_owned()));
        let mut lines: Vec<Line> = vec![head.collect()];
        for outcome in outcomes {
            let cells: Vec<Option<String>> = contenders.iter().map(|who| outcome.of(*who).and_then(cell)).collect();
            if cells.iter().any(Option::is_some) {
                let name = std::iter::once(outcome.row.name.to_owned());
                lines.push(name.chain(cells.into_iter().map(|cell| optional(cell, |cell| cell))).collect());
            }
        }
        CostTable { what: format!("{what}{which}"), lines }
    };
    // What was not counted has no lines.
    let all = tables.into_iter().flat_map(|kind| parts.iter().map(move |part| (kind, part)));
    all.map(|(kind, part)| table(kind, part)).filter(|table| table.lines.len() > 1).collect()
}

/// Whom trioxide must not be worse than: nobody, if it did not take part.
fn rivals(contenders: &[Contender]) -> Vec<Contender> {
    if !contenders.contains(&Contender::Trioxide) {
        return Vec::new();
    }
    contenders.iter().copied().filter(|contender| matches!(contender, Contender::Tokio | Contender::Smol)).collect()
}

fn median(summary: Option<Summary>) -> String {
    optional(summary, |summary| number(summary.median))
}

fn spread(summary: Option<Summary>) -> String {
    // Adding zero turns a -0 into a +0.
    let whole = |per_cent: f64| per_cent.round() + 0.0;
    optional(summary.and_then(|summary| summary.spread()), |(below, above)| {
        format!("{:+} {:+}", whole(below), whole(above))
    })
}

fn optional<T>(value: Option<T>, format: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), format)
}

/// Three significant digits, and whole numbers from 100 on.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Columns as wide as their widest cell; the names to the left, the numbers to the right.
fn lay_out(lines: &[Line]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let left = |column: usize| lines[0][column] == "row" || lines[0][column] == "unit";

    let mut text = String::new();
    for line in lines {
        let mut out = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let _ = if left(column) { write!(out, "{cell:<width$}  ") } else { write!(out, "{cell:>width$}  ") };
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

fn pipes(lines: &[Line]) -> String {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | "));
        if index == 0 {
            let rule = line.iter().map(|name| if name == "row" || name == "unit" { "---" } else { "---:" });
            let _ = writeln!(text, "| {} |", rule.collect::<Vec<_>>().join(" | "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;
    use crate::rows::ROWS;

    #[test]
    fn markdown_has_the_same_cells() {
        let text = markdown(&example());
        assert!(text.contains("| row | unit | trioxide | tokio | smol |"), "{text}");
        assert!(text.contains("| --- | --- | ---: |"), "{text}");
        assert!(text.contains("| spawn_join | ns/task | 100 | 400 | 200 | 0.25 | 0.50 | 0.10 | no |"), "{text}");
    }

    #[test]
    fn table_shows_medians_ratios_spreads_and_costs() {
        let text = render(&example());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("2 workers, full sizes, medians of 3 interleaved repetitions"), "{text}");
        assert_eq!(
            lines[3..5],
            [
                "row         unit     trioxide  tokio  smol  /tokio  /smol  goal  met  trioxide %  tokio %  smol %",
                "spawn_join  ns/task       100    400   200    0.25   0.50  0.10   no      -5 +10    -1 +1   +0 +0",
            ],
            "{text}"
        );
        assert_eq!(lines[6], "0 of 1 goals are met.", "{text}");
        assert_eq!(
            lines[7..9].join(" "),
            "Figures that are worse than tokio's: none. Figures that are worse than smol's: none."
        );
        let costs = |number: usize| lines[13 + 5 * number].split_whitespace().collect::<Vec<_>>();
        assert_eq!(costs(0), ["spawn_join", "200", "800", "400"], "{text}");
        assert_eq!(costs(1), ["spawn_join", "0.005", "0.005", "0.005"], "{text}");
        assert_eq!(costs(2), ["spawn_join", "2.50", "2.50", "2.50"], "{text}");
        assert_eq!(lines.len(), 24, "no table for what was not counted: {text}");
    }

    #[test]
    fn what_failed_is_told() {
        let mut report = example();
        report.outcomes[0].series[2].failed = Some("it hangs".to_owned());
        report.outcomes[0].series[2].samples.clear();
        let text = render(&report);
        assert!(text.contains("spawn_join on smol has no figure: it hangs."), "{text}");
    }

    #[test]
    fn a_primitive_has_a_table_of_its_own_and_is_compared_with_the_best() {
        let mut report = example();
        let mutex = ROWS.iter().find(|row| row.name == "mutex_held").unwrap();
        let series = |who: Contender, of: usize, instructions| {
            let samples = report.outcomes[0].series[of].samples.clone();
            Series { samples, instructions: Some(instructions), ..Series::new(who) }
        };
        // 100, 400 and 200 ns.
        let series = vec![
            series(Contender::Trioxide, 0, 700.0),
            series(Contender::Tokio, 1, 900.0),
            series(Contender::AsyncLock, 2, 500.0),
        ];
        report.outcomes.push(Outcome { row: mutex, series });
        report.settings.contenders.push(Contender::AsyncLock);
        let text = markdown(&report);
        assert!(text.contains("| row | unit | trioxide | tokio | smol | /tokio |"), "{text}");
        assert!(text.contains("| row | unit | trioxide | tokio | async-lock | /best | the best | met |"), "{text}");
        assert!(text.contains("| mutex_held | ns/lock | 100 | 400 | 200 | 0.50 | async-lock | yes |"), "{text}");
        assert!(text.contains("1 of 2 goals are met."), "{text}");
        assert!(text.contains("Primitives in which another is ahead: none."), "{text}");
        assert!(text.contains("The same by instructions: mutex_held (1.40, async-lock)."), "{text}");
        assert!(text.contains("**instructions per operation, with one worker; one primitive**"), "{text}");
    }

    #[test]
    fn table_without_trioxide_has_no_ratios() {
        let mut report = example();
        report.settings.contenders.remove(0);
        report.outcomes[0].series.remove(0);
        let text = render(&report);
        assert!(!text.contains("/tokio") && !text.contains("trioxide %"), "{text}");
    }

    #[test]
    fn busy_machine_is_named() {
        let mut report = example();
        assert!(!render(&report).contains("others"));
        report.cores_used_by_others = Some(1.5);
        assert!(render(&report).contains("others used 1.50 cores"));
    }

    #[test]
    fn missing_figures_are_dashes() {
        let mut report = example();
        report.outcomes[0].series[1].samples.clear();
        let text = render(&report);
        let cells: Vec<&str> = text.lines().nth(4).unwrap().split_whitespace().collect();
        assert_eq!(cells[3..7], ["-", "200", "-", "0.50"], "{text}");
    }

    #[test]
    fn numbers_keep_three_digits() {
        let shown = [0.0, 0.123, 9.996, 12.34, 99.96, 1234.5].map(number);
        assert_eq!(shown, ["0.00", "0.12", "10.0", "12.3", "100", "1234"]);
    }

    #[test]
    fn line_of_a_log() {
        assert_eq!(one_line(&example().outcomes[0]), "spawn_join: trioxide 100, tokio 400, smol 200 ns/task");
    }
}
