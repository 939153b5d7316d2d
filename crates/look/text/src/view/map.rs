//! From places in the folded view back to places in the original.

use std::ops::Range;

/// A stretch of the original that reads differently in the view. Between edits, both run alike.
#[derive(Clone, Copy, Debug)]
struct Edit {
    view_start: usize,
    view_end: usize,
    raw_start: usize,
    raw_end: usize,
}

/// Empty for a text that folding left alone.
#[derive(Debug, Default)]
pub(crate) struct Map {
    edits: Vec<Edit>,
}

impl Map {
    /// Records that `raw_len` bytes at `raw_start` became `view_len` bytes at `view_start`. Edits
    /// arrive in order.
    pub(crate) fn edit(&mut self, view_start: usize, view_len: usize, raw_start: usize, raw_len: usize) {
        let new = Edit { view_start, view_end: view_start + view_len, raw_start, raw_end: raw_start + raw_len };
        // A run of removed characters is one edit, however long.
        match self.edits.last_mut() {
            Some(prev)
                if view_len == 0
                    && prev.view_start == prev.view_end
                    && prev.view_end == view_start
                    && prev.raw_end == raw_start =>
            {
                prev.raw_end = new.raw_end;
            }
            _ => self.edits.push(new),
        }
    }

    /// Where the view's character at `view` starts in the original.
    pub(crate) fn raw_start(&self, view: usize) -> usize {
        let after = self.edits.partition_point(|edit| edit.view_start <= view);
        match after.checked_sub(1).map(|index| self.edits[index]) {
            None => view,
            Some(edit) if view < edit.view_end => edit.raw_start,
            Some(edit) => edit.raw_end + (view - edit.view_end),
        }
    }

    /// Where the view's character before `view` ends in the original: characters that were removed
    /// after it do not count.
    fn raw_end(&self, view: usize) -> usize {
        let after = self.edits.partition_point(|edit| edit.view_start < view);
        match after.checked_sub(1).map(|index| self.edits[index]) {
            None => view,
            Some(edit) if view <= edit.view_end => edit.raw_end,
            Some(edit) => edit.raw_end + (view - edit.view_end),
        }
    }

    /// The original's bytes behind a stretch of the view.
    pub(crate) fn raw_span(&self, view: Range<usize>) -> Range<usize> {
        self.raw_start(view.start)..self.raw_end(view.end)
    }

    /// How many stretches differ.
    pub(crate) fn edits(&self) -> usize {
        self.edits.len()
    }

    /// Forgets what lies before `view`, once that is worth the move.
    pub(crate) fn forget_before(&mut self, view: usize) {
        // The last edit before `view` stays: it carries the distance between both counts.
        let keep_from = self.edits.partition_point(|edit| edit.view_end < view).saturating_sub(1);
        if keep_from > self.edits.len() / 2 {
            self.edits.drain(..keep_from);
        }
    }
}
