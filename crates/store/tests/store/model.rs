//! The store against a model that is too simple to be wrong: the whole content, copied, for every revision.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use synod_store::request::*;
use synod_store::response::*;
use synod_store::{Restore, Store};

use crate::random;
use crate::support::all;

type Content = BTreeMap<Key, KeyValue>;

/// `contents[r]` is the content at revision r.
#[derive(Clone)]
struct Model {
    contents: Vec<Content>,
    compacted: i64,
}

fn contains(keys: &KeyRange, key: &Key) -> bool {
    match keys {
        KeyRange::One(one) => key == one,
        KeyRange::Span(from, to) => key >= from && key < to,
        KeyRange::From(from) => key >= from,
    }
}

fn select<'a>(content: &'a Content, keys: &'a KeyRange) -> impl Iterator<Item = &'a KeyValue> {
    content.values().filter(|kv| contains(keys, &kv.key))
}

impl Model {
    fn new() -> Model {
        Model { contents: vec![Content::new(); 2], compacted: -1 }
    }

    fn revision(&self) -> i64 {
        self.contents.len() as i64 - 1
    }

    fn newest(&self) -> &Content {
        self.contents.last().unwrap()
    }

    fn apply(&mut self, command: &Command) -> Applied {
        let mut content = self.newest().clone();
        let mut changed = false;
        let result = match command {
            Command::Put(put) => self.put(&mut content, &mut changed, put).map(Response::Put),
            Command::DeleteRange(delete) => {
                Ok(Response::DeleteRange(Self::delete(&mut content, &mut changed, delete)))
            }
            Command::Txn(txn) => self.txn(&mut content, &mut changed, txn).map(|mut response| {
                Self::stamp(&mut response, self.revision() + i64::from(changed));
                Response::Txn(response)
            }),
            Command::Compact(compact) => self.compact(compact.revision),
        };
        if result.is_ok() && changed {
            self.contents.push(content);
        }
        Applied { result, revision: self.revision() }
    }

    fn compact(&mut self, revision: i64) -> Result<Response, Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision() {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        Ok(Response::Compact)
    }

    fn put(&self, content: &mut Content, changed: &mut bool, put: &Put) -> Result<PutResponse, Refusal> {
        let before = content.get(&put.key).cloned();
        if put.lease != 0 {
            return Err(Refusal::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease) && before.is_none() {
            return Err(Refusal::KeyNotFound);
        }
        let mod_revision = self.revision() + 1;
        let mut after = before.clone().unwrap_or(KeyValue {
            key: put.key.clone(),
            create_revision: mod_revision,
            mod_revision: 0,
            version: 0,
            value: Bytes::new(),
            lease: 0,
        });
        after.version += 1;
        after.mod_revision = mod_revision;
        if !put.ignore_value {
            after.value = put.value.clone();
        }
        content.insert(put.key.clone(), after);
        *changed = true;
        Ok(PutResponse { prev_kv: if put.prev_kv { before } else { None } })
    }

    fn delete(content: &mut Content, changed: &mut bool, delete: &DeleteRange) -> DeleteRangeResponse {
        let gone: Vec<KeyValue> = select(content, &delete.keys).cloned().collect();
        content.retain(|key, _| !contains(&delete.keys, key));
        *changed |= !gone.is_empty();
        DeleteRangeResponse {
            deleted: gone.len() as i64,
            prev_kvs: if delete.prev_kv { gone } else { vec![] },
        }
    }

    fn txn(&self, content: &mut Content, changed: &mut bool, txn: &Txn) -> Result<TxnResponse, Refusal> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let mut responses = Vec::new();
        for op in if succeeded { &txn.success } else { &txn.failure } {
            responses.push(match op {
                TxnOp::Range(range) => OpResponse::Range(self.range(content, range)?),
                TxnOp::Put(put) => OpResponse::Put(self.put(content, changed, put)?),
                TxnOp::DeleteRange(delete) => OpResponse::DeleteRange(Self::delete(content, changed, delete)),
                TxnOp::Txn(txn) => OpResponse::Txn(self.txn(content, changed, txn)?),
            });
        }
        Ok(TxnResponse { succeeded, responses, revision: 0 })
    }

    fn stamp(response: &mut TxnResponse, revision: i64) {
        response.revision = revision;
        for nested in &mut response.responses {
            if let OpResponse::Txn(nested) = nested {
                Self::stamp(nested, revision);
            }
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let mut kvs: Vec<Option<&KeyValue>> = select(self.newest(), &compare.keys).map(Some).collect();
        if kvs.is_empty() {
            kvs.push(None);
        }
        kvs.into_iter().all(|kv| {
            let figure = |of: fn(&KeyValue) -> i64| kv.map_or(0, of);
            let ordering = match &compare.target {
                CompareTarget::Version(n) => figure(|kv| kv.version).cmp(n),
                CompareTarget::Create(n) => figure(|kv| kv.create_revision).cmp(n),
                CompareTarget::Mod(n) => figure(|kv| kv.mod_revision).cmp(n),
                CompareTarget::Lease(n) => figure(|kv| kv.lease).cmp(n),
                CompareTarget::Value(value) => match kv {
                    Some(kv) => kv.value.cmp(value),
                    None => return false,
                },
            };
            match compare.result {
                CompareResult::Equal => ordering == Ordering::Equal,
                CompareResult::NotEqual => ordering != Ordering::Equal,
                CompareResult::Less => ordering == Ordering::Less,
                CompareResult::Greater => ordering == Ordering::Greater,
            }
        })
    }

    /// `newest` is what the read sees if it names no revision.
    fn range(&self, newest: &Content, range: &Range) -> Result<RangeResponse, Refusal> {
        if range.revision > self.revision() {
            return Err(Refusal::FutureRevision);
        }
        if range.revision > 0 && range.revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        let content = if range.revision > 0 { &self.contents[range.revision as usize] } else { newest };
        let mut kvs: Vec<KeyValue> = select(content, &range.keys).cloned().collect();
        let count = kvs.len() as i64;
        if range.count_only {
            return Ok(RangeResponse { kvs: vec![], more: false, count });
        }
        let limit = if range.limit == 0 { usize::MAX } else { range.limit as usize };
        let bounds = [
            range.min_mod_revision,
            range.max_mod_revision,
            range.min_create_revision,
            range.max_create_revision,
        ];
        if range.sort_order == SortOrder::None && bounds == [0; 4] {
            kvs.truncate(limit.saturating_add(1));
        }
        let [min_mod, max_mod, min_create, max_create] = bounds;
        kvs.retain(|kv| min_mod == 0 || kv.mod_revision >= min_mod);
        kvs.retain(|kv| max_mod == 0 || kv.mod_revision <= max_mod);
        kvs.retain(|kv| min_create == 0 || kv.create_revision >= min_create);
        kvs.retain(|kv| max_create == 0 || kv.create_revision <= max_create);
        kvs.sort_by(|a, b| {
            let ordering = match range.sort_target {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create_revision.cmp(&b.create_revision),
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            if range.sort_order == SortOrder::Descend { ordering.reverse() } else { ordering }
        });
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        if range.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        Ok(RangeResponse { kvs, more, count })
    }

    /// Everything at every revision, as the store should answer it.
    fn agrees_with(&self, store: &Store) {
        let view = store.view();
        assert_eq!((view.revision(), view.compacted()), (self.revision(), self.compacted));
        for revision in -1..=self.revision() + 1 {
            let range = Range { revision, ..Range::new(all()) };
            assert_eq!(view.range(&range), self.range(self.newest(), &range), "at revision {revision}");
        }
    }
}

fn restored(store: &Store) -> Store {
    let mut restore = Restore::new();
    store.view().encode().for_each(|chunk| restore.push(&chunk).unwrap());
    restore.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_command_is_answered_as_by_the_model(commands in random::commands()) {
        let (mut store, mut model) = (Store::new(), Model::new());
        for command in &commands {
            let is_tidy = !store.tidy();
            let (hash, bytes, before) = (store.hash(), store.bytes(), store.view());
            let tried = match command {
                Command::Txn(txn) => Some(before.txn(txn).map(Response::Txn)),
                _ => None,
            };
            let applied = store.apply(command);
            prop_assert_eq!(&applied, &model.apply(command), "{:?}", command);
            if applied.result.is_err() {
                prop_assert_eq!(store.hash(), hash, "a refused command changed something");
                prop_assert!(!is_tidy || store.bytes() == bytes, "a refused command changed the size");
            }
            if let Some(tried) = tried {
                prop_assert_eq!(tried, applied.result);
            }
            prop_assert_eq!((before.hash(), before.bytes()), (hash, bytes), "a view changed");
            model.agrees_with(&store);
        }
    }

    #[test]
    fn every_read_is_answered_as_by_the_model(
        commands in random::commands(),
        ranges in vec(random::range(), 20),
    ) {
        let (mut store, mut model) = (Store::new(), Model::new());
        for command in &commands {
            store.apply(command);
            model.apply(command);
        }
        for range in ranges {
            prop_assert_eq!(store.view().range(&range), model.range(model.newest(), &range), "{:?}", range);
        }
    }

    #[test]
    fn a_store_whose_answers_no_client_reads_comes_to_the_same_state(commands in random::commands()) {
        let (mut answered, mut unanswered) = (Store::new(), Store::new());
        for command in &commands {
            answered.apply(command);
            unanswered.apply_unanswered(command);
            prop_assert_eq!(answered.hash(), unanswered.hash(), "{:?}", command);
            prop_assert_eq!(answered.revision(), unanswered.revision());
        }
    }

    #[test]
    fn stores_that_applied_the_same_commands_are_equal(commands in random::commands(), viewed in any::<u64>()) {
        let (mut one, mut other) = (Store::new(), Store::new());
        let mut views = Vec::new();
        for (n, command) in commands.iter().enumerate() {
            // Views are taken of one only, and one of them goes by way of the log and a snapshot.
            if viewed >> (n % 64) & 1 == 1 {
                views.push(one.view());
            }
            let encoded = Command::decode(command.encode()).unwrap();
            prop_assert_eq!(one.apply(command), other.apply(&encoded));
            if viewed >> (n % 61) & 3 == 3 {
                other = restored(&other);
            }
            prop_assert_eq!(one.hash(), other.hash());
        }
        prop_assert!(one.view().encode().eq(other.view().encode()), "snapshots of equal stores are equal");
        while one.tidy() || other.tidy() {}
        prop_assert_eq!(one.bytes(), other.bytes());
    }
}
