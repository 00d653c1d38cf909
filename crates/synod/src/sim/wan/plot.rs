//! The latencies, drawn.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use synod_sim::wan::workload::Keys;

use super::study::{Findings, Row, Study};

/// Pixels.
const SIZE: (u32, u32) = (1080, 760);

/// One colour a protocol, told apart by everybody (Okabe and Ito).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// A bar and the space beside it, of the width of a site.
const GAP: f64 = 0.12;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws execution latencies at each site into `file`: without conflicts, and with nothing else.
pub(super) fn draw(file: &Path, study: &Study, findings: &Findings) -> Drawn {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, panels) = root.split_vertically(46);
    legend(&head, study)?;
    let least = study.keys.first().copied().unwrap_or(Keys::Zipf);
    let shown: Vec<Keys> =
        [least, Keys::Conflicts(100)].into_iter().filter(|keys| study.keys.contains(keys)).collect();
    let highest = findings.rows.iter().filter(|row| shown.contains(&row.keys)).flat_map(|row| &row.sites);
    let highest = highest.map(|at| at.execution.percentile(99)).max().unwrap_or(1) as f64 / 1e6;
    for (panel, keys) in panels.split_evenly((shown.len(), 1)).iter().zip(shown) {
        let rows: Vec<&Row> = findings.rows.iter().filter(|row| row.keys == keys).collect();
        bars(panel, study, &rows, keys, highest * 1.1)?;
    }
    root.present()?;
    Ok(())
}

fn legend(area: &Area, study: &Study) -> Drawn {
    let style = ("sans-serif", 17).into_font().color(&BLACK);
    let mut x = 70;
    for (contender, colour) in study.contenders.iter().zip(COLOURS) {
        area.draw(&Rectangle::new([(x, 18), (x + 16, 34)], colour.filled()))?;
        area.draw(&Text::new(contender.title, (x + 23, 17), style.clone()))?;
        x += 23 + 10 * i32::try_from(contender.title.len()).unwrap_or(20) + 20;
    }
    let note = format!("leaders in {}; bar and number: median, line: 99th percentile", study.leader);
    let end = style.pos(Pos::new(HPos::Right, VPos::Top));
    area.draw(&Text::new(note, (i32::try_from(SIZE.0).unwrap_or(0) - 20, 17), end))?;
    Ok(())
}

fn bars(area: &Area, study: &Study, rows: &[&Row], keys: Keys, highest: f64) -> Drawn {
    let sites = study.sites.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(format!("execution latency, {keys} conflicts"), ("sans-serif", 19))
        .x_label_area_size(30)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..sites, 0.0..highest)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(215, 215, 215))
        .y_labels(8)
        .y_desc("ms")
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 15))
        .draw()?;
    let width = (1.0 - 2.0 * GAP) / rows.len().max(1) as f64;
    let number = ("sans-serif", 12).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Bottom));
    let name = ("sans-serif", 17).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
    for (place, row) in rows.iter().enumerate() {
        let colour = study.contenders.iter().position(|contender| contender.name == row.contender.name);
        let colour = COLOURS[colour.unwrap_or(0) % COLOURS.len()];
        for (index, at) in row.sites.iter().enumerate() {
            let left = index as f64 + GAP + place as f64 * width;
            let (middle, right) = (left + width * 0.46, left + width * 0.92);
            let median = at.execution.median() as f64 / 1e6;
            let tail = at.execution.percentile(99) as f64 / 1e6;
            let cap = width * 0.15;
            chart.draw_series([Rectangle::new([(left, 0.0), (right, median)], colour.filled())])?;
            chart.draw_series([
                PathElement::new(vec![(middle, median), (middle, tail)], BLACK),
                PathElement::new(vec![(middle - cap, tail), (middle + cap, tail)], BLACK),
            ])?;
            chart.draw_series([Text::new(
                format!("{median:.0}"),
                (middle, tail + highest * 0.012),
                number.clone(),
            )])?;
        }
    }
    let below = -highest * 0.03;
    for (index, site) in study.sites.iter().enumerate() {
        chart.plotting_area().draw(&Text::new(site.name(), (index as f64 + 0.5, below), name.clone()))?;
    }
    Ok(())
}
