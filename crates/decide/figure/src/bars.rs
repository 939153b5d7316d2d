//! Stacked bars over time.

use crate::svg::Svg;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 6.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 22.0;
/// Labels under the axis: more would run into each other.
const LABELS_MAX: usize = 8;

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What stands under it.
    pub label: String,
    /// From the bottom up; one value for each part.
    pub values: Vec<u64>,
}

/// What a bar is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// In words.
    pub name: &'static str,
    /// The class that a page styles.
    pub class: &'static str,
}

/// Stacked bars with a scale.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    /// What the figure shows, in one line.
    pub title: &'a str,
    /// What each bar is made of.
    pub parts: &'a [Part],
    /// From left to right.
    pub bars: &'a [Bar],
}

impl Bars<'_> {
    /// The figure, 960 by 200 units.
    #[must_use]
    pub fn svg(&self) -> String {
        let total = |bar: &Bar| bar.values.iter().fold(0_u64, |sum, value| sum.saturating_add(*value));
        let highest = self.bars.iter().map(total).max().unwrap_or(0);
        let top = round_up(highest);
        let mut svg = Svg::new(WIDTH, HEIGHT, self.title, &self.description());
        let (inner_width, inner_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let y_of = |value: u64| TOP + inner_height * (1.0 - share(value, top));
        for step in 0..=2 {
            let value = top / 2 * step;
            let y = y_of(value);
            svg.line("figure-grid", (LEFT, y), (WIDTH - RIGHT, y));
            svg.text("figure-scale", (LEFT - 6.0, y + 3.5), "end", &short(value));
        }
        let slot = inner_width / count(self.bars.len().max(1));
        let every = self.bars.len().div_ceil(LABELS_MAX).max(1);
        for (place, bar) in self.bars.iter().enumerate() {
            let x = LEFT + slot * count(place);
            let mut below = 0_u64;
            for (value, part) in bar.values.iter().zip(self.parts) {
                let above = below.saturating_add(*value);
                if *value > 0 {
                    // A single blocked request among thousands must be seen.
                    let height = (y_of(below) - y_of(above)).max(1.0);
                    let tip = format!("{}: {value} {}", bar.label, part.name);
                    svg.rectangle(part.class, (x + slot * 0.1, y_of(below) - height), (slot * 0.8, height), &tip);
                }
                below = above;
            }
            if place % every == 0 {
                svg.text("figure-scale", (x + slot / 2.0, HEIGHT - 6.0), "middle", &bar.label);
            }
        }
        svg.finish()
    }

    /// The same in words.
    fn description(&self) -> String {
        let sums = self.parts.iter().enumerate().map(|(place, part)| {
            let sum =
                self.bars.iter().filter_map(|bar| bar.values.get(place)).fold(0_u64, |sum, v| sum.saturating_add(*v));
            format!("{sum} {}", part.name)
        });
        let sums = sums.collect::<Vec<_>>().join(", ");
        match (self.bars.first(), self.bars.last()) {
            (Some(first), Some(last)) => format!("From {} to {}: {sums}.", first.label, last.label),
            _ => "Nothing to show.".to_owned(),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a picture has a thousand steps at most")]
fn count(n: usize) -> f64 {
    n as f64
}

#[allow(clippy::cast_precision_loss, reason = "a picture has a thousand steps at most")]
fn share(value: u64, of: u64) -> f64 {
    value as f64 / of.max(1) as f64
}

/// The next even number of the form 2, 4, 6, 8 or 10 times a power of ten.
fn round_up(value: u64) -> u64 {
    let mut power = 1_u64;
    while value > power.saturating_mul(10) {
        power = power.saturating_mul(10);
    }
    [2, 4, 6, 8, 10].into_iter().map(|step| power.saturating_mul(step)).find(|top| *top >= value).unwrap_or(u64::MAX)
}

/// A number in few characters: 12k, 3.4M.
fn short(value: u64) -> String {
    let scaled = |unit: u64, letter| match (value / unit, value % unit * 10 / unit) {
        (whole, tenth) if whole < 10 && tenth > 0 => format!("{whole}.{tenth}{letter}"),
        (whole, _) => format!("{whole}{letter}"),
    };
    match value {
        0..1_000 => value.to_string(),
        1_000..1_000_000 => scaled(1_000, "k"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "M"),
        _ => scaled(1_000_000_000, "G"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &[Part] = &[Part { name: "allowed", class: "allow" }, Part { name: "blocked", class: "block" }];

    fn bar(label: &str, values: &[u64]) -> Bar {
        Bar { label: label.to_owned(), values: values.to_vec() }
    }

    #[test]
    fn every_value_is_seen_and_said() {
        let bars = [bar("10:00", &[10_000, 1]), bar("11:00", &[0, 0]), bar("12:00", &[5, 7])];
        let svg = Bars { title: "Requests", parts: PARTS, bars: &bars }.svg();
        assert_eq!(svg.matches("<rect").count(), 4, "nothing is drawn for nothing");
        assert!(
            svg.contains("<title>10:00: 1 blocked</title>")
                && svg.contains("From 10:00 to 12:00: 10005 allowed, 8 blocked.")
        );
        assert!(svg.contains(">20k<") && svg.contains(">10k<"), "{svg}");
    }

    #[test]
    fn hostile_labels_empty_figures_and_vast_values_are_well_formed() {
        let bars = [bar("<script>\u{0}\"'&", &[u64::MAX, u64::MAX])];
        let svg = Bars { title: "<b>", parts: PARTS, bars: &bars }.svg();
        assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains('\u{0}'));
        let empty = Bars { title: "Requests", parts: PARTS, bars: &[] }.svg();
        assert!(empty.starts_with("<svg") && empty.ends_with("</svg>") && empty.contains("Nothing to show."));
        assert!(!svg.contains("NaN") && !empty.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn scales_are_round() {
        for (value, top) in [(0, 2), (1, 2), (3, 4), (9, 10), (11, 20), (41, 60), (999, 1_000), (10_001, 20_000)] {
            assert_eq!(round_up(value), top, "{value}");
        }
        assert_eq!(
            [short(999), short(1_000), short(1_500), short(12_345), short(3_400_000)].join(" "),
            "999 1k 1.5k 12k 3.4M"
        );
    }
}
