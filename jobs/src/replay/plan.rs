//! Which items take the place of which.

/// What an item says, apart from its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape<'a> {
    pub(super) item_type: &'a str,
    pub(super) field_name: Option<&'a str>,
    pub(super) value: &'a str,
}

/// What is to be done, by places in the two lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Seen to by their user: they stay.
    pub(super) reviewed: usize,
    /// Pending, and found again as they are: they stay.
    pub(super) unchanged: usize,
    /// Pending, and replaced by one of the same field.
    pub(super) changed: Vec<(usize, usize)>,
    /// Pending, and found no more.
    pub(super) removed: Vec<usize>,
    /// Found for the first time.
    pub(super) added: Vec<usize>,
}

/// Compares what there is, and whether it is pending, with what is found now.
///
/// Nothing that the user has seen to is proposed a second time, nor is it touched; what is pending and found again keeps
/// its row.
pub(super) fn plan(old: &[(Shape<'_>, bool)], new: &[Shape<'_>]) -> Plan {
    let mut plan = Plan::default();
    let mut free: Vec<usize> = (0..new.len()).collect();
    let mut take = |wanted: &dyn Fn(&Shape<'_>) -> bool| {
        let at = free.iter().position(|n| wanted(&new[*n]))?;
        Some(free.remove(at))
    };
    let mut left = Vec::new();
    for (shape, _) in old.iter().filter(|(_, pending)| !pending) {
        plan.reviewed += 1;
        take(&|found| found == shape);
    }
    for (at, (shape, _)) in old.iter().enumerate().filter(|(_, (_, pending))| *pending) {
        match take(&|found| found == shape) {
            Some(_) => plan.unchanged += 1,
            None => left.push(at),
        }
    }
    for at in left {
        let (shape, _) = old[at];
        let same_field = |found: &Shape<'_>| {
            (found.item_type, found.field_name) == (shape.item_type, shape.field_name)
        };
        match take(&same_field) {
            Some(n) => plan.changed.push((at, n)),
            None => plan.removed.push(at),
        }
    }
    plan.added = free;
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag(value: &str) -> Shape<'_> {
        Shape {
            item_type: "tag",
            field_name: None,
            value,
        }
    }

    fn note(value: &str) -> Shape<'_> {
        Shape {
            item_type: "field",
            field_name: Some("customNotes"),
            value,
        }
    }

    #[test]
    fn what_is_found_again_stays_and_what_is_new_takes_the_place_of_its_like() {
        let old = [
            (note("a"), true),
            (tag("x"), true),
            (tag("y"), true),
            (tag("z"), true),
        ];
        let new = [note("b"), tag("y"), tag("w"), note("c")];
        let expected = Plan {
            reviewed: 0,
            unchanged: 1,
            changed: vec![(0, 0), (1, 2)],
            removed: vec![3],
            added: vec![3],
        };
        assert_eq!(plan(&old, &new), expected);
    }

    #[test]
    fn what_its_user_has_seen_to_stays_and_is_not_proposed_again() {
        let old = [(tag("x"), false), (note("a"), false)];
        let expected = Plan {
            reviewed: 2,
            added: vec![1],
            ..Plan::default()
        };
        assert_eq!(plan(&old, &[tag("x"), note("b")]), expected);
    }

    #[test]
    fn what_is_there_twice_is_matched_twice() {
        let old = [(tag("x"), true), (tag("x"), false)];
        let expected = Plan {
            reviewed: 1,
            unchanged: 1,
            ..Plan::default()
        };
        assert_eq!(plan(&old, &[tag("x"), tag("x")]), expected);
    }

    fn shapes() -> impl Strategy<Value = Vec<(usize, bool)>> {
        prop::collection::vec((0usize..6, any::<bool>()), 0..8)
    }

    const KINDS: [(&str, Option<&str>, &str); 6] = [
        ("tag", None, "a"),
        ("tag", None, "b"),
        ("tag", None, "c"),
        ("field", Some("customNotes"), "a"),
        ("field", Some("customNotes"), "b"),
        ("field", Some("location"), "a"),
    ];

    fn shape(n: usize) -> Shape<'static> {
        let (item_type, field_name, value) = KINDS[n];
        Shape {
            item_type,
            field_name,
            value,
        }
    }

    proptest! {
        #[test]
        fn afterwards_there_is_what_is_found_now_and_what_was_seen_to(old in shapes(), new in shapes()) {
            let old: Vec<_> = old.into_iter().map(|(n, pending)| (shape(n), pending)).collect();
            let new: Vec<_> = new.into_iter().map(|(n, _)| shape(n)).collect();
            let plan = plan(&old, &new);
            let gone = |at: &usize| {
                plan.removed.contains(at) || plan.changed.iter().any(|(old, _)| old == at)
            };
            // Whatever is touched was pending.
            for (at, (_, pending)) in old.iter().enumerate() {
                prop_assert!(*pending || !gone(&at));
            }
            let mut after: Vec<Shape<'_>> = (0..old.len()).filter(|at| !gone(at)).map(|at| old[at].0).collect();
            after.extend(plan.changed.iter().map(|(_, n)| new[*n]));
            after.extend(plan.added.iter().map(|n| new[*n]));
            // All that is found is there, as often as it is found.
            for found in &new {
                let count = |list: &[Shape<'_>]| list.iter().filter(|shape| *shape == found).count();
                prop_assert!(count(&after) >= count(&new));
            }
            // And nothing else, but what was seen to.
            for shape in &after {
                let reviewed = old.iter().filter(|(old, pending)| old == shape && !pending).count();
                let count = |list: &[Shape<'_>]| list.iter().filter(|other| *other == shape).count();
                prop_assert!(count(&after) <= count(&new).max(reviewed));
            }
            // Done again, it changes nothing.
            prop_assert_eq!(old.len(), plan.reviewed + plan.unchanged + plan.changed.len() + plan.removed.len());
        }
    }
}
