//! Decides which items a replay keeps, changes, removes and adds.

/// What an item says, without its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ItemContent<'a> {
    pub(super) item_type: &'a str,
    pub(super) field_name: Option<&'a str>,
    pub(super) value: &'a str,
}

/// What a replay does with items. Numbers are positions in the list of old items, or of new items.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReplayPlan {
    /// How many items the user has reviewed. They stay.
    pub(super) reviewed: usize,
    /// How many pending items were extracted again, unchanged. They stay.
    pub(super) unchanged: usize,
    /// Pending old items, each with the new item of the same field that replaces it.
    pub(super) changed: Vec<(usize, usize)>,
    /// Pending old items that were not extracted again.
    pub(super) removed: Vec<usize>,
    /// New items that replace none.
    pub(super) added: Vec<usize>,
}

/// Compares the old items, each with whether it is pending, to the new ones.
///
/// An item that the user has reviewed is neither changed nor proposed again. A pending item that is
/// extracted again keeps its row.
pub(super) fn plan(old: &[(ItemContent<'_>, bool)], new: &[ItemContent<'_>]) -> ReplayPlan {
    let mut plan = ReplayPlan::default();
    let mut free: Vec<usize> = (0..new.len()).collect();
    let mut take = |wanted: &dyn Fn(&ItemContent<'_>) -> bool| {
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
        let same_field = |found: &ItemContent<'_>| {
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

    fn tag(value: &str) -> ItemContent<'_> {
        ItemContent {
            item_type: "tag",
            field_name: None,
            value,
        }
    }

    fn note(value: &str) -> ItemContent<'_> {
        ItemContent {
            item_type: "field",
            field_name: Some("customNotes"),
            value,
        }
    }

    #[test]
    fn an_unchanged_item_stays_and_a_new_one_replaces_one_of_the_same_field() {
        let old = [
            (note("a"), true),
            (tag("x"), true),
            (tag("y"), true),
            (tag("z"), true),
        ];
        let new = [note("b"), tag("y"), tag("w"), note("c")];
        let expected = ReplayPlan {
            reviewed: 0,
            unchanged: 1,
            changed: vec![(0, 0), (1, 2)],
            removed: vec![3],
            added: vec![3],
        };
        assert_eq!(plan(&old, &new), expected);
    }

    #[test]
    fn a_reviewed_item_stays_and_is_not_proposed_again() {
        let old = [(tag("x"), false), (note("a"), false)];
        let expected = ReplayPlan {
            reviewed: 2,
            added: vec![1],
            ..ReplayPlan::default()
        };
        assert_eq!(plan(&old, &[tag("x"), note("b")]), expected);
    }

    #[test]
    fn two_equal_items_match_two_items() {
        let old = [(tag("x"), true), (tag("x"), false)];
        let expected = ReplayPlan {
            reviewed: 1,
            unchanged: 1,
            ..ReplayPlan::default()
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

    fn shape(n: usize) -> ItemContent<'static> {
        let (item_type, field_name, value) = KINDS[n];
        ItemContent {
            item_type,
            field_name,
            value,
        }
    }

    proptest! {
        #[test]
        fn a_replay_leaves_the_new_items_and_the_reviewed_ones(old in shapes(), new in shapes()) {
            let old: Vec<_> = old.into_iter().map(|(n, pending)| (shape(n), pending)).collect();
            let new: Vec<_> = new.into_iter().map(|(n, _)| shape(n)).collect();
            let plan = plan(&old, &new);
            let gone = |at: &usize| {
                plan.removed.contains(at) || plan.changed.iter().any(|(old, _)| old == at)
            };
            // Only pending items are removed or changed.
            for (at, (_, pending)) in old.iter().enumerate() {
                prop_assert!(*pending || !gone(&at));
            }
            let mut after: Vec<ItemContent<'_>> = (0..old.len()).filter(|at| !gone(at)).map(|at| old[at].0).collect();
            after.extend(plan.changed.iter().map(|(_, n)| new[*n]));
            after.extend(plan.added.iter().map(|n| new[*n]));
            // Every new item is there, as often as it was extracted.
            for found in &new {
                let count = |list: &[ItemContent<'_>]| list.iter().filter(|shape| *shape == found).count();
                prop_assert!(count(&after) >= count(&new));
            }
            // Nothing else is there, except reviewed items.
            for shape in &after {
                let reviewed = old.iter().filter(|(old, pending)| old == shape && !pending).count();
                let count = |list: &[ItemContent<'_>]| list.iter().filter(|other| *other == shape).count();
                prop_assert!(count(&after) <= count(&new).max(reviewed));
            }
            // Each old item is counted once.
            prop_assert_eq!(old.len(), plan.reviewed + plan.unchanged + plan.changed.len() + plan.removed.len());
        }
    }
}
