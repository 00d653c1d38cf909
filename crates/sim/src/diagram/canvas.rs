//! Rows of cells, each with a sign and a colour. Every sign counts as one column wide.

/// What a cell looks like in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Strong,
    Faint,
    Bad,
    /// Belongs to the node with this index.
    Owner(usize),
}

/// The foreground colours of the nodes, told apart on dark and on light ground.
const OWNERS: [&str; 6] = ["36", "33", "35", "32", "34", "96"];

impl Style {
    /// The parameters of the escape sequence that turns it on.
    fn code(self) -> &'static str {
        match self {
            Style::Plain => "",
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Bad => "1;31",
            Style::Owner(index) => OWNERS[index % OWNERS.len()],
        }
    }
}

/// One line of the drawing.
#[derive(Debug)]
pub(super) struct Row {
    cells: Vec<Option<(char, Style)>>,
}

impl Row {
    pub(super) fn new(width: usize) -> Row {
        Row { cells: vec![None; width] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.iter().all(Option::is_none)
    }

    /// Whether nothing stands in `from..to`, except at `lifelines`.
    pub(super) fn is_free(&self, from: usize, to: usize, lifelines: &[usize]) -> bool {
        (from..to.min(self.cells.len())).all(|x| self.cells[x].is_none() || lifelines.contains(&x))
    }

    /// Writes `text` from `x` on; what does not fit is left away.
    pub(super) fn put(&mut self, x: usize, text: &str, style: Style) {
        for (cell, sign) in self.cells.iter_mut().skip(x).zip(text.chars()) {
            *cell = Some((printable(sign), style));
        }
    }

    pub(super) fn put_if_free(&mut self, x: usize, sign: &str, style: Style) {
        if self.is_free(x, x + 1, &[]) {
            self.put(x, sign, style);
        }
    }

    /// Repeats `sign` in `from..to`, except at `lifelines`.
    pub(super) fn fill(&mut self, from: usize, to: usize, sign: char, lifelines: &[usize], style: Style) {
        for x in from..to.min(self.cells.len()) {
            if !lifelines.contains(&x) {
                self.cells[x] = Some((sign, style));
            }
        }
    }

    /// Appends the row to `out`, without blanks at its end.
    pub(super) fn render(&self, colour: bool, out: &mut String) {
        let length = self.cells.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut current = Style::Plain;
        for cell in &self.cells[..length] {
            let (sign, style) = cell.unwrap_or((' ', current));
            if colour && style != current {
                out.push_str(&format!("\x1b[0;{}m", style.code()));
                current = style;
            }
            out.push(sign);
        }
        if current != Style::Plain {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }
}

/// A trace may hold what clients sent: nothing of it may steer the terminal.
fn printable(sign: char) -> char {
    if sign.is_control() { '·' } else { sign }
}

/// The first `room` signs of `text`, the last one `…` if there were more.
pub(super) fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept = text.chars().take(room.saturating_sub(1));
    kept.chain((room > 0).then_some('…')).collect()
}

/// `text` in lines of at most `width` signs, broken between words where that is possible.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines
}
