//! The format of the scripts: blocks of commands and what came of them.

use crate::stage::Stage;

/// Plays `script` and returns it with what came of the commands in place of what was written.
pub(crate) fn play(script: &str) -> String {
    let mut stage = Stage::default();
    let mut played = String::new();
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        played += line;
        played.push('\n');
        if line == "----" {
            for happened in stage.happened.drain(..) {
                played += &happened;
                played.push('\n');
            }
            // What was written about it ends with an empty line.
            let is_more = lines.by_ref().any(str::is_empty);
            if is_more {
                played.push('\n');
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            stage.play(line);
        }
    }
    played
}

/// The lines in which two texts differ, with two lines around them.
pub(crate) fn diff(written: &str, played: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (written.lines().collect(), played.lines().collect());
    // common[i][j]: the length of the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    let is_near =
        |at: usize| lines[at.saturating_sub(2)..lines.len().min(at + 3)].iter().any(|(mark, _)| *mark != ' ');
    (0..lines.len())
        .filter(|at| is_near(*at))
        .map(|at| format!("{} {}\n", lines[at].0, lines[at].1))
        .collect()
}
