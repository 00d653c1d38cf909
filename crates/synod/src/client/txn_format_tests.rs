use super::*;

fn parse(text: &str) -> Result<pb::TxnRequest, ParseError> {
    super::parse(text.as_bytes())
}

fn put(key: &str, value: &str) -> Step {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    Step::RequestPut(Box::new(pb::PutRequest { key, value, ..Default::default() }))
}

fn get(key: &str) -> Step {
    Step::RequestRange(Box::new(pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }))
}

fn del(key: &str) -> Step {
    let key = key.to_owned().into();
    Step::RequestDeleteRange(Box::new(pb::DeleteRangeRequest { key, ..Default::default() }))
}

fn steps(ops: &[pb::RequestOp]) -> Vec<Step> {
    ops.iter().map(|op| op.request.clone().expect("every step is something")).collect()
}

#[track_caller]
fn compares(line: &str, target: CompareTarget, result: CompareResult, operand: TargetUnion) {
    let compare = &parse(line).unwrap().compare[0];
    assert_eq!(compare.key, "key");
    assert_eq!((compare.target(), compare.result()), (target, result));
    assert_eq!(compare.target_union, Some(operand));
}

#[track_caller]
fn wrong(text: &str, line: usize, because: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.line, line, "{error}");
    assert!(error.text.contains(because), "{error}");
}

#[test]
fn the_example_of_etcdctl_is_understood() {
    let txn = parse(
        r#"mod("key1") > "0"

put key1 "overwrote-key1"

put key1 "created-key1"
put key2 "some extra key"
"#,
    )
    .unwrap();
    assert_eq!(txn.compare.len(), 1);
    assert_eq!(steps(&txn.success), [put("key1", "overwrote-key1")]);
    assert_eq!(steps(&txn.failure), [put("key1", "created-key1"), put("key2", "some extra key")]);
}

#[test]
fn every_target_and_every_comparison() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    compares(r#"ver("key") = "3""#, CompareTarget::Version, Equal, TargetUnion::Version(3));
    compares("version(key) == 3", CompareTarget::Version, Equal, TargetUnion::Version(3));
    compares("create(key)!=0", CompareTarget::Create, NotEqual, TargetUnion::CreateRevision(0));
    compares("m(key) < 7", CompareTarget::Mod, Less, TargetUnion::ModRevision(7));
    compares("val( \"key\" ) > 'a b'", CompareTarget::Value, Greater, TargetUnion::Value("a b".into()));
    compares("lease(key) = ff", CompareTarget::Lease, Equal, TargetUnion::Lease(255));
}

#[test]
fn lists_may_be_empty_or_missing_and_comments_are_skipped() {
    let txn = parse("# no conditions\n\nget a\n# and one more\ndel b\n").unwrap();
    assert_eq!((txn.compare.len(), txn.failure.len()), (0, 0));
    assert_eq!(steps(&txn.success), [get("a"), del("b")]);
    assert_eq!(parse(""), Ok(pb::TxnRequest::default()));
    let only_failure = parse("mod(a) = 1\n\n\nget a\n\n\n").unwrap();
    assert_eq!((only_failure.success.len(), steps(&only_failure.failure)), (0, vec![get("a")]));
}

#[test]
fn steps_have_the_options_of_the_commands() {
    let txn = parse("\nget a --prefix --limit 3\ndel b --prev-kv\nput c --ignore-value\n").unwrap();
    let [Step::RequestRange(get), Step::RequestDeleteRange(del), Step::RequestPut(put)] =
        &steps(&txn.success)[..]
    else {
        panic!("{txn:?}")
    };
    assert_eq!((get.range_end.as_ref(), get.limit), (&b"b"[..], 3));
    assert!(del.prev_kv && put.ignore_value);
}

#[test]
fn a_word_that_begins_with_a_quote_ends_with_it_and_any_other_at_the_next_space() {
    let txn = parse("\nput \"a \\\"b\\\"\\n\" 'it is \\n'\nput \"\" x\"y\"z\nput j {\"a\":1}\n").unwrap();
    let expected = [put("a \"b\"\n", "it is \\n"), put("", "x\"y\"z"), put("j", "{\"a\":1}")];
    assert_eq!(steps(&txn.success), expected);
}

#[test]
fn keys_and_values_are_bytes() {
    let txn =
        super::parse(b"\xef\xbb\xbfval(\xd6\xd0) = \"\\xd6\"\n\nget \xd6\xd0\nget \"\\xd6\\xd0\"\n").unwrap();
    assert_eq!(txn.compare[0].key.as_ref(), b"\xd6\xd0");
    assert_eq!(txn.compare[0].target_union, Some(TargetUnion::Value(b"\xd6"[..].into())));
    for step in steps(&txn.success) {
        let Step::RequestRange(get) = step else { panic!("{step:?}") };
        assert_eq!(get.key.as_ref(), b"\xd6\xd0");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    wrong("mod(key) = 1\nnonsense\n", 2, "a condition looks like");
    wrong("mod(key = 1", 1, "a condition looks like");
    wrong("mod(key) 1", 1, "a condition looks like");
    wrong("mod(key) =", 1, "a condition looks like");
    wrong("mod(key) = one", 1, "'one' is no number, and mod is one");
    wrong("mod(key) = 1 2", 1, "'2' is one word too many");
    wrong("mod(key) => 1", 1, "'=>' does not compare");
    wrong("size(key) = 1", 1, "'size' cannot be compared");
    wrong("\nput key\n", 2, "put needs a value here");
    wrong("\nput\n", 2, "a step is put KEY VALUE");
    wrong("\nfetch key\n", 2, "unrecognized subcommand 'fetch'");
    wrong("\nput a \"b\n", 2, "a \" is missing at the end");
    wrong("\nput a \"b\\q\"\n", 2, "\\q is no escape");
    wrong("\nput a \"b\"c\n", 2, "a space is missing");
    wrong("\ndel --prefix\n", 2, "which keys?");
    wrong("\n\n\nget a\n", 4, "a transaction has three lists");
}
