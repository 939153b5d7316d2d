//! From matches to detections: who keeps a place that two rules claim, and what belongs together.
//!
//! Within a layer the match that starts first wins what lies inside it; of those that start at one
//! place, the higher rank. Matches that overlap in part are both kept, so that redaction never
//! leaves the rest of one behind.

use std::ops::Range;

use haris_domain::Detection;

use crate::detectors::Layer;

/// Matches that overlap one another form a cluster, which is released whole. An attacker can chain
/// matches without end, so a cluster is cut here.
const CLUSTER_BYTES_MAX: usize = 64 * 1024;

/// A match of a known rule, in bytes of the original text.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) layer: Layer,
    pub(crate) rank: u8,
    pub(crate) detection: Detection,
    pub(crate) why: &'static str,
}

/// Detections that overlap, directly or through each other.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) span: Range<usize>,
    /// By start, then end, then rule.
    pub(crate) claims: Vec<Claim>,
}

/// Orders the claims of one text.
#[derive(Default)]
pub(crate) struct Resolver {
    /// Not yet decided: a claim that starts earlier may still come.
    claims: Vec<Claim>,
    /// Per layer: start and end of what is taken.
    taken: [Option<Range<usize>>; 3],
    cluster: Option<Cluster>,
}

impl Resolver {
    pub(crate) fn add(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    /// Decides all claims that start before `horizon` and releases the clusters that end by it.
    pub(crate) fn settle(&mut self, horizon: usize, release: &mut Vec<Cluster>) {
        if !self.claims.is_empty() {
            self.claims.sort_by(|a, b| {
                let key =
                    |c: &Claim| (c.detection.span.start, c.layer, u8::MAX - c.rank, usize::MAX - c.detection.span.end);
                key(a).cmp(&key(b)).then_with(|| a.detection.rule.cmp(&b.detection.rule))
            });
            let known = self.claims.partition_point(|claim| claim.detection.span.start < horizon);
            let mut claims = std::mem::take(&mut self.claims);
            self.claims = claims.split_off(known);
            for claim in claims {
                self.decide(claim, release);
            }
        }
        if self.cluster.as_ref().is_some_and(|cluster| cluster.span.end <= horizon) {
            release.extend(self.cluster.take().map(sorted));
        }
    }

    /// Where the text that may not be released yet starts, if there is an open cluster.
    pub(crate) fn held_from(&self) -> Option<usize> {
        self.cluster.as_ref().map(|cluster| cluster.span.start)
    }

    fn decide(&mut self, mut claim: Claim, release: &mut Vec<Cluster>) {
        let span = claim.detection.span.clone();
        let taken = &mut self.taken[claim.layer as usize];
        match taken {
            Some(taken) if taken.start == span.start || span.end <= taken.end => return,
            Some(taken) => *taken = span.start..span.end,
            None => *taken = Some(span.clone()),
        }
        let Some(cluster) = &mut self.cluster else {
            self.cluster = Some(Cluster { span, claims: vec![claim] });
            return;
        };
        // Another layer's match may lie wholly in a part that was cut off and released.
        if span.end <= cluster.span.start {
            return;
        }
        let start = span.start.max(cluster.span.start);
        if start < cluster.span.end && (span.end <= cluster.span.end || cluster.span.len() < CLUSTER_BYTES_MAX) {
            claim.detection.span.start = start;
            cluster.span.end = cluster.span.end.max(span.end);
            cluster.claims.push(claim);
            return;
        }
        claim.detection.span.start = start.max(cluster.span.end);
        let next = Cluster { span: claim.detection.span.clone(), claims: vec![claim] };
        release.push(sorted(std::mem::replace(cluster, next)));
    }
}

fn sorted(mut cluster: Cluster) -> Cluster {
    cluster.claims.sort_by(|a, b| {
        let key = |c: &Claim| (c.detection.span.start, c.detection.span.end);
        key(a).cmp(&key(b)).then_with(|| a.detection.rule.cmp(&b.detection.rule))
    });
    cluster
}
