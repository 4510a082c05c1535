use proptest::prelude::*;
use tlog_tiles::tlog;

use super::*;
use crate::merkle::{Frontier, leaf_hash};

/// A tree in memory: the levels of tiles.
#[derive(Default)]
struct Levels(Vec<Vec<Hash>>);

impl Hashes for Levels {
    type Error = Missing;
    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, Missing> {
        assert!(count <= within_tile(first));
        let level = self.0.get(usize::from(level));
        let (first, count) = (
            usize::try_from(first).unwrap(),
            usize::try_from(count).unwrap(),
        );
        let hashes = level.and_then(|level| level.get(first..first + count));
        Ok(hashes.unwrap_or_default().to_vec())
    }
}

fn leaf(n: u64) -> Hash {
    leaf_hash(&n.to_be_bytes())
}

/// Of so many leaves, with the root at every size.
fn levels(size: u64) -> (Levels, Vec<Hash>) {
    let (mut levels, mut frontier) = (Levels(vec![Vec::new(); 3]), Frontier::default());
    let mut roots = vec![frontier.root()];
    for n in 0..size {
        levels.0[0].push(leaf(n));
        let kept = &mut levels.0;
        frontier.push(leaf(n), |one| kept[usize::from(one.level)].push(one.hash));
        roots.push(frontier.root());
    }
    (levels, roots)
}

fn theirs(path: &[Hash]) -> Vec<tlog::Hash> {
    path.iter().map(|hash| tlog::Hash(*hash)).collect()
}

#[test]
fn every_proof_of_a_small_tree_is_taken_here_and_by_another_implementation() {
    let (levels, roots) = levels(40);
    for size in 1..=40u64 {
        let tree = |size: u64| Tree {
            size,
            root: roots[usize::try_from(size).unwrap()],
        };
        assert_eq!(root(&levels, size), Ok(tree(size).root));
        let their_root = tlog::Hash(tree(size).root);
        for index in 0..size {
            let path = inclusion(&levels, index, size).unwrap();
            assert!(proves_inclusion(
                &path,
                &leaf(index),
                index,
                size,
                &tree(size).root
            ));
            assert!(!proves_inclusion(
                &path,
                &leaf(index + 1),
                index,
                size,
                &tree(size).root
            ));
            let their_leaf = tlog::Hash(leaf(index));
            tlog::check_record(&theirs(&path), size, their_root, index, their_leaf).unwrap();
        }
        for old in 0..=size {
            let path = consistency(&levels, old, size).unwrap();
            assert!(
                proves_consistency(&path, &tree(old), &tree(size)),
                "{old} {size}"
            );
            if old > 0 {
                let their_old = tlog::Hash(tree(old).root);
                tlog::check_tree(&theirs(&path), size, their_root, old, their_old).unwrap();
                let other = Tree {
                    size: old,
                    root: [7; 32],
                };
                assert!(!proves_consistency(&path, &other, &tree(size)));
            }
        }
    }
}

#[test]
fn no_tree_proves_what_is_beyond_it() {
    let (levels, roots) = levels(5);
    assert_eq!(inclusion(&levels, 5, 5), Ok(vec![]));
    assert!(!proves_inclusion(&[], &leaf(5), 5, 5, &roots[5]));
    assert_eq!(consistency(&levels, 6, 5), Ok(vec![]));
    assert!(subtree(&levels, 3, 0).is_err() && root(&levels, 6).is_err());
}

proptest! {
    #[test]
    fn proofs_over_several_tiles_hold_and_hold_no_longer_when_bent(
        size in 2u64..1_500, at in any::<prop::sample::Index>(), bent in any::<prop::sample::Index>(),
    ) {
        let (levels, roots) = levels(size);
        let index = u64::try_from(at.index(usize::try_from(size).unwrap())).unwrap();
        let whole = Tree { size, root: roots[usize::try_from(size).unwrap()] };
        let mut path = inclusion(&levels, index, size).unwrap();
        prop_assert!(path.len() <= PROOF_HASHES_MAX);
        prop_assert!(proves_inclusion(&path, &leaf(index), index, size, &whole.root));
        let place = bent.index(path.len());
        path[place][0] ^= 1;
        prop_assert!(!proves_inclusion(&path, &leaf(index), index, size, &whole.root));
        path.pop();
        prop_assert!(!proves_inclusion(&path, &leaf(index), index, size, &whole.root));
        let old = Tree { size: index + 1, root: roots[usize::try_from(index).unwrap() + 1] };
        let mut path = consistency(&levels, old.size, size).unwrap();
        prop_assert!(proves_consistency(&path, &old, &whole));
        if !path.is_empty() {
            let place = bent.index(path.len());
            path[place][31] ^= 128;
            prop_assert!(!proves_consistency(&path, &old, &whole));
        }
    }
}
