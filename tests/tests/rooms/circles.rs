//! Circles in a graph of names.

use std::collections::{BTreeMap, BTreeSet};

/// Which names each name leads to.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// A shortest circle through each name that is on one, without repeating a circle. Each ends where it starts.
pub(crate) fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for start in graph.keys().filter(|start| !start.is_empty()) {
        if found.iter().any(|circle| circle.contains(start)) {
            continue;
        }
        // Breadth first, so the way that is found is a shortest one.
        let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
        let mut open = vec![start];
        'search: while !open.is_empty() {
            let mut next = Vec::new();
            for from in open {
                for to in graph.get(from).into_iter().flatten() {
                    if came_from.contains_key(to) {
                        continue;
                    }
                    came_from.insert(to, from);
                    if to == start {
                        break 'search;
                    }
                    next.push(to);
                }
            }
            open = next;
        }
        if came_from.contains_key(start) {
            let mut circle = vec![start.clone()];
            let mut at = came_from[start];
            while at != start {
                circle.push(at.clone());
                at = came_from[at];
            }
            circle.push(start.clone());
            circle.reverse();
            found.push(circle);
        }
    }
    found
}
