//! One line of a diagram.

/// No colour.
pub(super) const PLAIN: u8 = 0;

/// Characters with their colours.
pub(super) struct Line {
    cells: Vec<(char, u8)>,
}

impl Line {
    pub(super) fn new(width: usize) -> Line {
        Line { cells: vec![(' ', PLAIN); width] }
    }

    /// Writes over what is there; what does not fit is cut off.
    pub(super) fn put(&mut self, x: usize, text: &str, colour: u8) {
        for (cell, sign) in self.cells.iter_mut().skip(x).zip(text.chars()) {
            *cell = (sign, colour);
        }
    }

    /// A horizontal line from `x` to the end.
    pub(super) fn rule(&mut self, x: usize, sign: char) {
        for cell in self.cells.iter_mut().skip(x) {
            *cell = (sign, PLAIN);
        }
    }

    /// An arrow between two lines of nodes, with `label` at its head.
    pub(super) fn arrow(&mut self, start: usize, end: usize, label: &str, colour: u8) {
        let rightwards = start < end;
        for x in start.min(end) + 1..start.max(end) {
            let crosses = self.cells[x].0 != ' ';
            self.cells[x] = (if crosses { '┼' } else { '─' }, colour);
        }
        let width = label.chars().count();
        if rightwards {
            self.put(start, "├", colour);
            self.put(end - 1, "▶", colour);
            self.put(end.saturating_sub(width + 3), &format!(" {label} "), colour);
        } else {
            self.put(start, "┤", colour);
            self.put(end + 1, "◀", colour);
            self.put(end + 2, &format!(" {label} "), colour);
        }
    }

    /// As text, with the codes of ANSI terminals if it is to be coloured.
    pub(super) fn text(&self, coloured: bool) -> String {
        let end = self.cells.iter().rposition(|(sign, _)| *sign != ' ').map_or(0, |last| last + 1);
        let (mut text, mut now) = (String::new(), PLAIN);
        for (sign, colour) in &self.cells[..end] {
            if coloured && *colour != now {
                text.push_str(&format!("\u{1b}[{colour}m"));
                now = *colour;
            }
            text.push(*sign);
        }
        if now != PLAIN {
            text.push_str("\u{1b}[0m");
        }
        text
    }
}
